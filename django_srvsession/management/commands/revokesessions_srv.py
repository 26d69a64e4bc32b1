"""``manage.py revokesessions_srv``: end live sessions, on the engine in use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.management import arguments
from django_srvsession.management.base import SessionCommand, add_no_input, ask, counted
from django_srvsession.operations.selection import Choice
from django_srvsession.records import Loaded, SessionRecord


class Command(SessionCommand):
    """End sessions by name, by user, by inactivity, or all."""

    help = """\
End live sessions for good, on whatever store SESSION_ENGINE names.

  revokesessions_srv 0123456789abcdef01     this one, as listsessions_srv names it
  revokesessions_srv --user ann             all of one user: signed out everywhere
  revokesessions_srv --inactive 30d         all that were not used for thirty days
  revokesessions_srv --everyone --signed-in everybody is signed out

Takes effect at the next request of each session, in every process; nothing revives one.
It asks first. Each ended session sends the signal session_ended. --user together with
--inactive ends what fits both. A session that is used while the command runs does not
count as inactive. Safe to interrupt and to repeat: what has ended stays ended, and a SID
that is not live is reported, and is no error.

Exit status: 0 when none of them is live any more; 1 when you said no, when there is no
such user, the engine is not one of django-srvsession or its store does not answer (what
was ended until then is printed); 130 when interrupted."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take which sessions are meant, and how to do it."""
        super().add_arguments(parser)
        parser.add_argument(
            "sids", nargs="*", type=arguments.public_name, metavar="SID", help="A session's public name."
        )
        arguments.add_user(parser, "All sessions")
        parser.add_argument(
            "--inactive", type=arguments.duration_ms, metavar="AGE", help="All not used for AGE, such as 12h or 30d."
        )
        parser.add_argument("--everyone", action="store_true", help="All sessions of everybody.")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--anonymous", action="store_true", help="Of those, only where nobody is signed in.")
        kind.add_argument("--signed-in", action="store_true", help="Of those, only where somebody is signed in.")
        parser.add_argument(
            "--keep", action="append", default=[], type=arguments.public_name, metavar="SID", help="But not this one."
        )
        parser.add_argument(
            "--by",
            default="revokesessions_srv",
            metavar="NAME",
            help="Who ends them, for the record (default: %(default)s).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count them and change nothing.")
        add_no_input(parser)

    def work(self, *, dry_run: bool, as_json: bool, interactive: bool, by: str, **options: Any) -> None:
        """Count, ask, end."""
        started, self.ended, self.not_live = time.monotonic(), 0, list[str]()
        choice = self._choice(options)
        meant = self._count(choice, options["sids"]) if dry_run or interactive else None
        some_wait = choice is not None and choice.some_wait
        if interactive and not dry_run and (meant or some_wait):
            waiting = ", and those that wait in the other engine" if some_wait else ""
            ask(f"End {_sessions(meant or 0)}{waiting}?")
        if not dry_run and (meant != 0 or some_wait):
            self._end(choice.end(by, "revoked") if choice else self._end_named(options["sids"], by), meant)
        if as_json:
            count = {"would_end": meant} if dry_run else {"ended": self.ended}
            self.say_json({**count, "not_live": self.not_live, "seconds": round(time.monotonic() - started, 3)})
        else:
            self._tell(meant if dry_run else None)

    def _choice(self, options: dict[str, Any]) -> Choice | None:
        """Return what is meant, or None when sessions are named one by one."""
        is_filter = any(options[name] is not None for name in ("user", "user_id", "inactive"))
        if bool(options["sids"]) + is_filter + options["everyone"] != 1:
            raise CommandError("Say which sessions: SIDs, or --user and --inactive, or --everyone.")
        if options["sids"]:
            return None
        is_one_kind = options["anonymous"] or options["signed_in"]
        return Choice(
            user_id=arguments.user_id(options),
            is_signed_in=options["signed_in"] if is_one_kind else None,
            inactive_ms=options["inactive"],
            kept=frozenset(options["keep"]),
        )

    def _count(self, choice: Choice | None, sids: Sequence[str]) -> int:
        if choice is None:
            self.not_live = [sid for sid in dict.fromkeys(sids) if not _is_live(sid)]
            return len(dict.fromkeys(sids)) - len(self.not_live)
        with self.bar() as bar:
            count = 0
            for count, _ in enumerate(choice.records(), 1):  # noqa: B007 - the last number is the count.
                bar.update()
            return count

    def _end_named(self, sids: Sequence[str], by: str) -> Iterator[SessionRecord]:
        self.not_live = []
        for sid in dict.fromkeys(sids):
            record = services.revoke(sid, by=by)
            if record is None:
                self.not_live.append(sid)
            else:
                yield record

    def _end(self, ended: Iterator[SessionRecord], meant: int | None) -> None:
        with self.bar(meant) as bar:
            for _ in ended:
                self.ended += 1
                bar.update()

    def done_so_far(self) -> str:
        """Return how many were ended until now."""
        return f"Ended {_sessions(self.ended)}."

    def _tell(self, would_end: int | None) -> None:
        for sid in self.not_live:
            self.say(f"{sid} is not live: it has ended, or never was.")
        self.say(self.done_so_far() if would_end is None else f"{_sessions(would_end)} would be ended.")


def _is_live(sid: str) -> bool:
    found = current_store().load(sid)
    return isinstance(found, Loaded) and found.record.is_live(found.now_ms)


def _sessions(count: int) -> str:
    return counted(count, "session")
