"""``manage.py doctorsessions_srv``: examine the running set-up, and explain what it finds."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from typing import Any, Final

from django.core.management.base import CommandParser

from django_srvsession.escaping import escaped
from django_srvsession.management.base import SessionCommand, counted
from django_srvsession.management.tables import room_in
from django_srvsession.operations.doctor import examine
from django_srvsession.store.health import Finding, Level

_WIDTH: Final = 88
_NARROWEST: Final = 40
_INDENT: Final = 10
_WORSE: Final = {Level.ERROR: (Level.ERROR,), Level.WARNING: (Level.ERROR, Level.WARNING)}


class Command(SessionCommand):
    """Look at everything that sessions rest on, and say what to do about what is wrong."""

    help = """\
Examine how sessions are set up, and explain each finding and what to do about it:

  settings     what manage.py check --deploy says about sessions, and Django's own
               checks of the session cookie
  Redis        whether and how fast it answers, version, maxmemory-policy, memory,
               persistence, replicas, its clock beside this machine's; time-outs;
               in front of a database also whether it makes copies
  MongoDB      whether and how fast it answers, version, replica set, write concern,
               indexes, room on its disk, its clock
  database     its clock; for SQLite journal mode and time-out
  files        room on the disk
  memory       several workers, each with sessions of its own
  lists        whether they and the sessions fit each other (Redis, files)
  clearing     whether clearsessions_srv has run lately
  sizes        of the sessions that were used last

Reads only, unless --repair is given: then indexes that are missing are made, sessions
that no list shows are listed again, and entries that point nowhere are removed. Looks
at every session once, in batches, and is safe beside a running site.

Exit status: 0 when there is no error; 1 when there is one, or with --fail-level warning
when there is a warning; 130 when interrupted."""

    # What the checks say is a finding here, and must not keep the others from being seen.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``--repair`` and ``--fail-level``."""
        super().add_arguments(parser)
        parser.add_argument("--repair", action="store_true", help="Put indexes and lists right.")
        parser.add_argument(
            "--fail-level",
            choices=[Level.ERROR.value, Level.WARNING.value],
            default=Level.ERROR.value,
            help="From which level on a finding makes the exit status 1 (default: %(default)s).",
        )

    def work(self, *, repair: bool, as_json: bool, fail_level: str, **options: Any) -> None:
        """Print each finding as it comes, then how many there were; JSON at the end."""
        findings = []
        for finding in examine(repair=repair):
            findings.append(finding)
            if not as_json:
                self._print(finding)
        if as_json:
            self.say_json([finding._asdict() for finding in findings])
        else:
            self._print_totals(Counter(finding.level for finding in findings))
        if any(finding.level in _WORSE[Level(fail_level)] for finding in findings):
            sys.exit(1)

    def _print(self, finding: Finding) -> None:
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.ERROR: self.style.ERROR}
        style = styles.get(finding.level, str)
        first, *rest = self._wrapped(f"{finding.name}: {finding.text}")
        self.say(style(f"{finding.level.value:<{_INDENT}}") + first)
        for line in (*rest, *(self._wrapped(f"-> {finding.advice}") if finding.advice else ())):
            self.say(" " * _INDENT + line)

    def _print_totals(self, count: Counter[Level]) -> None:
        worse = [counted(count[level], level.value) for level in (Level.ERROR, Level.WARNING, Level.NOTE)]
        self.say(f"{', '.join(worse)}, {count[Level.OK]} ok.")

    def _wrapped(self, text: str) -> list[str]:
        width = max(min(room_in(self.stdout) or _WIDTH, _WIDTH), _NARROWEST)
        return textwrap.wrap(escaped(text.replace("\n", " ")), width - _INDENT)
