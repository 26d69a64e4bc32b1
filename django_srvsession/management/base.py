"""What all commands share: help with paragraphs, JSON, a bar on long work, questions, and the exit status.

Exit status: 0 done, 1 an error that is explained on standard error, 130 interrupted. The bar goes to standard error, so
that standard output can be piped.
"""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError, connections

from django_srvsession.engine import current_store
from django_srvsession.engine.registry import using_store
from django_srvsession.escaping import escaped_json, escaped_lines
from django_srvsession.store import StoreUnavailableError

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""
EXIT_BROKEN_PIPE: Final = 141
"""128 + SIGPIPE: the reader, say ``head``, has seen enough."""


class _Paragraphs(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keep the line breaks of the description."""


class Bar(AbstractContextManager["Bar"]):
    """Stand where tqdm's bar stands, and show nothing."""

    def __exit__(self, *args: object) -> None:
        """Take nothing away."""

    def update(self, n: int = 1) -> object:
        """Hear that ``n`` more are done."""


class SessionCommand(BaseCommand):
    """Do :meth:`work`, and turn what may happen to it into messages and an exit status."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the paragraphs of the help text."""
        return super().create_parser(prog_name, subcommand, formatter_class=_Paragraphs, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``--json`` and ``--database``."""
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            help="Sessions of the database engine: those in this database, not where DATABASE_ROUTERS put them.",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print JSON, for other programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the work; whatever stops it, say what was done."""
        self.is_quiet = options["verbosity"] < 1
        try:
            with _on_database(options["database"]):
                self.work(**options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except StoreUnavailableError as error:
            done = self._so_far("It is safe to run this again.")
            raise CommandError(f"The session store did not answer: {escaped_lines(error)}{done}") from error
        except DatabaseError as error:
            hints = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
            text = escaped_lines(f"{error}{self._so_far('')}{hints}")
            raise CommandError(f"The database refused: {text}") from error
        except KeyboardInterrupt:
            self.stderr.write(f"\nInterrupted.{self._so_far('')}")
            sys.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # What is left in the buffer must not be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)

    def work(self, *args: Any, **options: Any) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def done_so_far(self) -> str:
        """Return a sentence on what was changed until now, or nothing."""
        return ""

    def _so_far(self, advice: str) -> str:
        done = self.done_so_far()
        return f" {done} {advice}".rstrip() if done else ""

    def say(self, text: str) -> None:
        """Print a line, unless ``--verbosity 0`` asks for silence."""
        if not self.is_quiet:
            self.stdout.write(text)

    def say_json(self, value: object) -> None:
        """Print a value as one line of JSON."""
        self.stdout.write(escaped_json(value))

    def bar(self, total: int | None = None) -> Bar:
        """Return a bar of progress, if tqdm is installed; it shows on a terminal only, and leaves no trace there."""
        if self.is_quiet or not sys.stderr.isatty():
            return Bar()
        try:
            from tqdm import tqdm
        except ImportError:
            return Bar()
        return cast(Bar, tqdm(total=total, unit=" sessions", file=sys.stderr, leave=False))


def counted(count: int, thing: str, many: str = "") -> str:
    """Return "1 session" or "2 sessions"."""
    return f"{count} {thing if count == 1 else many or f'{thing}s'}"


def _on_database(alias: str | None) -> AbstractContextManager[None]:
    if alias is None:
        return nullcontext()
    if alias not in connections:
        raise CommandError(f"There is no database {alias!r} in DATABASES.")
    choose = getattr(current_store(), "on_database", None)
    if choose is None:
        raise CommandError("--database is for the database engine; SESSION_ENGINE names another one.")
    return using_store(choose(alias))


def add_no_input(parser: CommandParser) -> None:
    """Take ``--no-input``, as Django's own commands do."""
    parser.add_argument(
        "--no-input", "--noinput", action="store_false", dest="interactive", help="Do it without asking first."
    )


def ask(question: str) -> None:
    """Ask; go on only after "y" or "yes".

    Raises ``CommandError`` for any other answer, and where nobody can answer.
    """
    if not sys.stdin.isatty():
        raise CommandError("There is nobody to ask: this is no terminal. Say --no-input if you mean it.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.")
