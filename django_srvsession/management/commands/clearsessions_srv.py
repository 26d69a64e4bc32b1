"""``manage.py clearsessions_srv``: end expired sessions, on the engine in use."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_srvsession.management import arguments
from django_srvsession.management.base import SessionCommand, counted
from django_srvsession.operations.clearing import PacedClearing


class Command(SessionCommand):
    """End expired sessions in batches, and say how many there were."""

    help = """\
End the sessions whose time is up, on whatever store SESSION_ENGINE names.

An expired session opens nothing, whether this command runs or not. The command frees
its space, forgets what ended sessions have left behind (after SRVSESSION_ENDED_KEEP),
and sends the signal session_ended for each. Run it regularly, say every hour. It works
in small batches beside a running site and pauses after each; it is safe to interrupt,
to repeat, and to run twice at once: each session is ended by one of them.

It also ends the sessions of users who were deleted or deactivated by SQL or by
QuerySet.update(), which tell nobody; takes entries that point nowhere out of the
indexes (Redis, files), and puts live sessions into them that are missing there (Redis);
removes what killed writers left (files); and deletes the events that are older than
SRVSESSION_EVENT_LOG days.

  clearsessions_srv --time-budget 5m    stops after five minutes; the next run goes on
  clearsessions_srv --pause 0           as fast as possible, say while the site is down

Exit status: 0 when all are ended, or the time budget is used up; 1 when the engine is
not one of django-srvsession, when its store does not answer, or for a wrong batch size;
130 when interrupted."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the pace, the budget and ``--dry-run``."""
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="Count the expired sessions and change nothing.")
        parser.add_argument(
            "--batch-size",
            type=int,
            metavar="N",
            help="End at most N sessions in one step. Default: 500; in a database so many that a step takes"
            " 50 ms (MariaDB, SQLite: 10).",
        )
        parser.add_argument(
            "--pause",
            type=_part,
            metavar="PART",
            help="Wait after each step for this part of the time it took; 0: not (default: 3 on SQLite, else 0.1).",
        )
        parser.add_argument(
            "--time-budget",
            type=arguments.duration_ms,
            metavar="TIME",
            help="Stop after the step that exceeds TIME, such as 90s or 5m.",
        )

    def work(self, *, batch_size: int | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        """Clear; whatever happens, say how many sessions were ended."""
        if batch_size is not None and batch_size < 1:
            raise CommandError(f"--batch-size is {batch_size}; it must be 1 or more.")
        self.is_dry_run = dry_run
        budget_ms = options["time_budget"]
        with self.bar() as bar:
            self.clearing = PacedClearing(
                batch_size=batch_size,
                pause=options["pause"],
                budget_seconds=None if budget_ms is None else budget_ms / 1000,
                dry_run=dry_run,
                on_progress=bar.update,
            )
            self.clearing.run()
        if as_json:
            self.say_json(self._as_dict())
        else:
            self._tell()

    def done_so_far(self) -> str:
        """Return the count as a sentence."""
        sessions = counted(self.clearing.expired, "expired session")
        return f"{sessions} would be ended." if self.is_dry_run else f"Ended {sessions}."

    def _tell(self) -> None:
        self.say(f"{self.done_so_far()} ({self.clearing.seconds:.2f} s)")
        if self.clearing.missing:
            self.say(self._missing_summary())
        for what, count in self.clearing.swept.items():
            self.say(f"Removed {count} {what}.")
        if self.clearing.relisted:
            self.say(f"Listed {self.clearing.relisted} live sessions that no list had.")
        if self.clearing.events:
            self.say(f"{self.clearing.events} old events{' would be' if self.is_dry_run else ''} deleted.")
        if not self.clearing.is_complete:
            self.say("The time budget is used up; the next run goes on.")

    def _missing_summary(self) -> str:
        """Return the sentence on sessions whose user is gone."""
        one, many = "session of a deleted or deactivated user", "sessions of deleted or deactivated users"
        sessions = counted(self.clearing.missing, one, many)
        return f"{sessions} would be ended." if self.is_dry_run else f"Ended {sessions}."

    def _as_dict(self) -> dict[str, Any]:
        clearing = self.clearing
        return {
            "dry_run": self.is_dry_run,
            "expired": clearing.expired,
            "of_missing_users": clearing.missing,
            "removed": dict(clearing.swept),
            "relisted": clearing.relisted,
            "events": clearing.events,
            "is_complete": clearing.is_complete,
            "seconds": round(clearing.seconds, 3),
        }


def _part(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = -1
    if not 0 <= part <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a number between 0 and 1000")
    return part
