"""``manage.py clearsessions_srv``: end expired sessions, on the engine in use."""

from __future__ import annotations

import sys
import time
from argparse import RawDescriptionHelpFormatter
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.utils.translation import ngettext

from django_srvsession import services
from django_srvsession.store import StoreUnavailableError

EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it.


class _Paragraphs(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keep the line breaks of the description."""


class Command(BaseCommand):
    """End expired sessions in batches, and say how many there were."""

    help = """\
End the sessions whose time is up, on whatever store SESSION_ENGINE names.

An expired session opens nothing, whether this command runs or not. The command frees
its space, forgets what ended sessions have left behind (after SRVSESSION_ENDED_KEEP),
and sends the signal session_ended for each. Run it regularly, say every hour. It works
in small batches beside a running site, and is safe to interrupt and to repeat.

It also ends the sessions of users who were deleted or deactivated by SQL or by
QuerySet.update(), which tell nobody.

Exit status: 0 when all are ended; 1 when the engine is not one of django-srvsession,
when its store does not answer, or for a wrong batch size; 130 when interrupted."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the paragraphs of the help text."""
        return super().create_parser(prog_name, subcommand, formatter_class=_Paragraphs, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``--dry-run`` and ``--batch-size``."""
        parser.add_argument("--dry-run", action="store_true", help="Count the expired sessions and change nothing.")
        parser.add_argument(
            "--batch-size",
            type=int,
            default=1000,
            metavar="N",
            help="End at most N sessions in one step (default: %(default)s). Small steps hold locks shorter.",
        )

    def handle(self, *args: Any, batch_size: int, dry_run: bool, verbosity: int, **options: Any) -> None:
        """Clear; whatever happens, say how many sessions were ended."""
        if batch_size < 1:
            raise CommandError(f"--batch-size is {batch_size}; it must be 1 or more.")
        self.done, self.missing, self.is_dry_run = 0, 0, dry_run
        self.shows_progress = verbosity > 0 and self.stdout.isatty()
        started = time.monotonic()
        self._clear(batch_size)
        if verbosity > 0:
            self.stdout.write(f"{self._summary()} ({time.monotonic() - started:.2f} s)")
            if self.missing:
                self.stdout.write(self._missing_summary())

    def _clear(self, batch_size: int) -> None:
        try:
            self.done = services.clear_expired(
                batch_size=batch_size, dry_run=self.is_dry_run, on_progress=self._progress
            )
            self.missing = services.end_sessions_of_missing_users(batch_size=batch_size, dry_run=self.is_dry_run)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except StoreUnavailableError as error:
            message = f"The session store did not answer: {error}"
            raise CommandError(f"{message}\n{self._summary()} It is safe to run this again.") from error
        except KeyboardInterrupt:
            self.stderr.write(f"\nInterrupted. {self._summary()}")
            sys.exit(EXIT_INTERRUPTED)

    def _progress(self, total: int) -> None:
        self.done = total
        if self.shows_progress:
            self.stdout.write(f"\r{total} ...", ending="")
            self.stdout.flush()

    def _missing_summary(self) -> str:
        """Return the sentence on sessions whose user is gone."""
        if self.is_dry_run:
            text = ngettext(
                "%(count)d session of a deleted or deactivated user would be ended.",
                "%(count)d sessions of deleted or deactivated users would be ended.",
                self.missing,
            )
        else:
            text = ngettext(
                "Ended %(count)d session of a deleted or deactivated user.",
                "Ended %(count)d sessions of deleted or deactivated users.",
                self.missing,
            )
        return text % {"count": self.missing}

    def _summary(self) -> str:
        """Return the count as a sentence, written over the line of the progress."""
        if self.is_dry_run:
            text = ngettext(
                "%(count)d expired session would be ended.", "%(count)d expired sessions would be ended.", self.done
            )
        else:
            text = ngettext("Ended %(count)d expired session.", "Ended %(count)d expired sessions.", self.done)
        return ("\r" if self.shows_progress else "") + text % {"count": self.done}
