"""``manage.py listsessions_srv``: list live sessions, on the engine in use."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from django_srvsession.management import arguments
from django_srvsession.management.base import SessionCommand
from django_srvsession.management.showing import json_of, layout_for, names_of
from django_srvsession.management.tables import TextTable, room_in
from django_srvsession.operations.selection import Choice
from django_srvsession.records import SessionRecord

_PORTION: Final = 500


class Command(SessionCommand):
    """List live sessions, newest activity first."""

    help = """\
List the live sessions, newest activity first, on whatever store SESSION_ENGINE names.

  listsessions_srv                       the last 100 that were used
  listsessions_srv --user ann            those of one user
  listsessions_srv --active 5m --limit 0 all that were used within five minutes
  listsessions_srv --json --limit 0      all, one JSON object in a line

The SID names a session and does not open it: end one with revokesessions_srv SID. Times
are in the site's TIME_ZONE, in JSON in UTC; in a narrow terminal they are given as spans,
and long names are cut. "Last active" is exact to SRVSESSION_TOUCH_INTERVAL. The sessions
of the memory engine are seen by their own process only, not by this one.

Exit status: 0, also when there are none; 1 when there is no such user, the engine is not
one of django-srvsession or its store does not answer; 130 when interrupted."""

    _table: TextTable | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the conditions and the limit."""
        super().add_arguments(parser)
        arguments.add_user(parser, "Only the sessions")
        arguments.add_limit(parser, 100)
        parser.add_argument(
            "--active", type=arguments.duration_ms, metavar="AGE", help="Only those used within AGE, such as 5m or 2h."
        )
        parser.add_argument(
            "--inactive", type=arguments.duration_ms, metavar="AGE", help="Only those not used for AGE, such as 30d."
        )
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--anonymous", action="store_true", help="Only sessions in which nobody is signed in.")
        kind.add_argument("--signed-in", action="store_true", help="Only sessions in which somebody is signed in.")

    def work(self, *, limit: int, as_json: bool, anonymous: bool, signed_in: bool, **options: Any) -> None:
        """List in portions, so that a million sessions need no memory."""
        if anonymous and (options["user"] or options["user_id"]):
            raise CommandError("An anonymous session has no user: say --anonymous or --user, not both.")
        choice = Choice(
            user_id=arguments.user_id(options),
            is_signed_in=signed_in if anonymous or signed_in else None,
            active_ms=options["active"],
            inactive_ms=options["inactive"],
        )
        records = choice.records()
        shown, self._table = 0, None
        while portion := list(itertools.islice(records, min(_PORTION, limit - shown) if limit else _PORTION)):
            names = names_of(portion)
            if as_json:
                for record in portion:
                    self.say_json(json_of(record, names))
            else:
                self._write(portion, names)
            shown += len(portion)
        if not as_json:
            self._say_rest(shown, is_cut=bool(limit) and next(records, None) is not None)

    def _write(self, portion: Sequence[SessionRecord], names: Mapping[str, str]) -> None:
        """Print lines; the first portion decides how wide they are, and comes below a head."""
        rows: list[Sequence[str]] = []
        if self._table is None:
            self._layout, self._table = layout_for(portion, names, room_in(self.stdout))
            rows.append(self._layout.head)
        rows += [self._layout.line(record, names) for record in portion]
        for line in self._table.lines(rows):
            self.stdout.write(line)

    def _say_rest(self, shown: int, *, is_cut: bool) -> None:
        if not shown:
            self.say("There is no such session.")
        elif is_cut:
            self.say(f"There are more than these {shown}: --limit 0 lists all.")
