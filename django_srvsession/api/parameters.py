"""What a list is asked for in the query: a bounded number, from behind a place on. Anything else is a problem."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_srvsession.api.problems import error_at, invalid

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100

P = TypeVar("P")


def cursor_of(request: HttpRequest, parse: Callable[[str], P | None]) -> P | None:
    """Return the place that a list is asked for from, as ``parse`` reads it; None: from its beginning.

    Raises a problem for what is no place.
    """
    text = _one_parameter(request, "cursor")
    if text is None:
        return None
    if (place := parse(text)) is None:
        raise invalid([error_at("?cursor", _("This is no cursor of a list."), "invalid")])
    return place


def limit_of(request: HttpRequest) -> int:
    """Return how many items are asked for at most; raises a problem for any number that is not offered."""
    text = _one_parameter(request, "limit")
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_LIMIT:
        detail = _("This must be a whole number from 1 to %(most)d.") % {"most": MAX_LIMIT}
        raise invalid([error_at("?limit", detail, "invalid")])
    return int(text)


def _one_parameter(request: HttpRequest, name: str) -> str | None:
    found = request.GET.getlist(name)
    if len(found) > 1:
        raise invalid([error_at(f"?{name}", _("Give this once."), "repeated")])
    return found[0] if found else None
