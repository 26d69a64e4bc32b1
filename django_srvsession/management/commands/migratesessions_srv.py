"""``manage.py migratesessions_srv``: move all sessions to another engine at once."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from django_srvsession.management.base import SessionCommand, counted
from django_srvsession.operations.migrating import MOVED, WAITING, Move


class Command(SessionCommand):
    """Move sessions, and say how many there were."""

    help = """\
Move all sessions of one engine to another one, beside a running site.

  migratesessions_srv --from django.contrib.sessions.backends.db
  migratesessions_srv --from django_srvsession.backends.db --to django_srvsession.backends.redis

Visitors are carried over at their next request anyway, as SRVSESSION_MIGRATE_FROM says.
This does it for all, so that each session is in its user's list at once. It needs the
settings of the move: without them visitors' keys would lead nowhere. See the how-to
"Switch an existing site, and back".

Between engines of django-srvsession each session stays as it is: key, sign-in, limits.
Back to an engine of Django's nothing can be moved, since the keys are in the browsers
alone: the command says how many sessions have not come yet.

Sessions in signed cookies, and in caches other than django-redis, cannot be gone through:
there visitors are carried over at their next request, and in no other way.

Safe to interrupt and to repeat: the next run goes on with the rest. Two may run at once.

Exit status: 0 when done; 1 when the settings do not lead there, an engine cannot be gone
through, or a store does not answer; 130 when interrupted."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where from and where to."""
        super().add_arguments(parser)
        parser.add_argument("--from", dest="engine", required=True, metavar="ENGINE", help="The engine to move from.")
        parser.add_argument(
            "--to",
            dest="to_engine",
            metavar="ENGINE",
            help="The engine to move to (default: SESSION_ENGINE, or SRVSESSION_MIGRATE_TO if that is where from).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count the sessions and change nothing.")

    def work(self, *, engine: str, to_engine: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        """Move; whatever happens, say how many sessions were moved."""
        started = time.monotonic()
        self.move = Move(engine, to_engine, dry_run=dry_run)
        with self.bar() as bar:
            self.move.run(bar.update)
        seconds = time.monotonic() - started
        if as_json:
            counts = {name.replace(" ", "_"): count for name, count in self.move.counts.items()}
            self.say_json({"dry_run": dry_run, **counts, "seconds": round(seconds, 3)})
        else:
            self._tell(seconds)

    def done_so_far(self) -> str:
        """Return the count as a sentence."""
        if not hasattr(self, "move"):
            return ""
        waiting = self.move.counts[WAITING]
        if self.move.goes_back:
            return f"{counted(waiting, 'session has', 'sessions have')} not come back yet."
        if self.move.dry_run:
            return f"{counted(waiting, 'session')} would be moved."
        return f"Moved {counted(self.move.counts[MOVED], 'session')} to {self.move.to_path}."

    def _tell(self, seconds: float) -> None:
        self.say(f"{self.done_so_far()} ({seconds:.2f} s)")
        for name, count in sorted(self.move.counts.items()):
            if count and name not in (MOVED, WAITING):
                self.say(f"{count} {name}.")
