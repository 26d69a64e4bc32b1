"""What people type: durations such as ``5m`` and ``30d``, the names of users, the sids of sessions."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentTypeError
from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db.models import Q

from django_srvsession import services
from django_srvsession.records import is_sid

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")
_KEY_LENGTH: Final = 40
_ALIKE: Final = 2
"""How many letters at its beginning or end a mistyped name shares with the one that was meant."""
_MOST_COMPARED: Final = 2000
_LONGEST_MISTYPED: Final = 255


def duration_ms(text: str) -> int:
    """Return a duration in milliseconds: a number and s, m, h, d or w (seconds to weeks)."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no duration: write a number and s, m, h, d or w, such as 90s, 5m or 30d")
    return int(found[1]) * _UNITS_MS[found[2]]


def whole_number(text: str) -> int:
    """Return a number that is 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def public_name(text: str) -> str:
    """Return a sid; a session key, which is a secret, is refused without repeating it."""
    if len(text) == _KEY_LENGTH:
        raise ArgumentTypeError(
            "this looks like a session key, the secret in a cookie. It opens the session, and is now in your shell's "
            "history. Use the session's public name, its sid: listsessions_srv shows it"
        )
    if not is_sid(text):
        raise ArgumentTypeError(
            f"{text!r} is no sid: one is 18 digits out of 0-9 and a-f, as listsessions_srv shows it"
        )
    return text


def add_user(parser: Any, what: str) -> None:
    """Take ``--user`` and ``--user-id``."""
    parser.add_argument("--user", metavar="NAME", help=f"{what} of this user: the user name, or the e-mail address.")
    parser.add_argument(
        "--user-id", metavar="ID", help=f"{what} of the user with this primary key, also of one who was deleted."
    )


def user_id(options: dict[str, Any]) -> str | None:
    """Return the id of the user that the options name, or None when they name none.

    Raises ``CommandError`` when there is no such user, or more than one.
    """
    if options["user"] is None or options["user_id"] is not None:
        return options["user_id"]  # type: ignore[no-any-return]
    name, model = options["user"], get_user_model()
    fields = list(dict.fromkeys(filter(None, (model.USERNAME_FIELD, getattr(model, "EMAIL_FIELD", None)))))
    for field in fields:
        found = list(model._base_manager.filter(**{field: name})[:2])
        if len(found) == 1:
            return services.user_id_of(found[0])
        if found:
            raise CommandError(f"Several users have the {field} {name!r}. Name one by --user-id.")
    near = _nearest(name, fields)
    question = f" Did you mean {near!r}?" if near else ""
    raise CommandError(f"There is no user {name!r}.{question} One who was deleted is named by --user-id.")


def _nearest(name: str, fields: Iterable[str]) -> str | None:
    """Return the user name or address that is most like one that nobody has, of those that begin or end as it does."""
    if not name or len(name) > _LONGEST_MISTYPED:
        return None
    names: dict[str, str] = {}
    for field in fields:
        alike = Q(**{f"{field}__istartswith": name[:_ALIKE]}) | Q(**{f"{field}__iendswith": name[-_ALIKE:]})
        found = get_user_model()._base_manager.filter(alike).values_list(field, flat=True)[:_MOST_COMPARED]
        names.update((str(other).casefold(), str(other)) for other in found)
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    return names[near[0]] if near else None


def add_limit(parser: CommandParser, default: int) -> None:
    """Take ``--limit``."""
    parser.add_argument(
        "--limit",
        type=whole_number,
        default=default,
        metavar="N",
        help="Show at most N (default: %(default)s; 0: all).",
    )
