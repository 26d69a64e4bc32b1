"""All that ``clearsessions_srv`` does, in turn: at a pace that leaves room for requests, and within a time budget.

Each part works in batches and may be stopped between two of them; what has been done stays done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction

from django_srvsession import conf, services
from django_srvsession.engine import current_store
from django_srvsession.events import log as event_log
from django_srvsession.models import ClearingRun

_RUNS_KEPT: Final = 50
_USERS_AT_ONCE: Final = 500

_AT_LISTS: Final = "lists"
"""Where a run stopped that was looking for sessions that no list has; no store has such a place."""

_PAUSE: Final = 0.1
_PAUSE_OF_ONE_WRITER: Final = 3.0
_GAP_OF_ONE_WRITER_S: Final = 0.03
"""Who waits for SQLite's lock asks every 25 ms, at least, in its first tenth of a second: it must meet a gap."""


class BudgetSpentError(Exception):
    """Report that the time is used up; what was done until then stays done."""


class PacedClearing:
    """Clear once, and count what was done.

    ``batch_size``: end so many at a time, at most; None: as suits the store. Databases make batches smaller that would
    keep locks for long.
    ``pause``: how long to wait after each batch, as a part of the time that the batch took: 1 is as long, 0 not at all.
    None: 3 where there is one writer (who waits for SQLite asks now and then, and must meet a gap), else a tenth.
    ``budget_seconds``: stop after the batch that exceeds it; None: go on to the end. ``on_progress`` gets how many
    sessions each batch has ended.
    """

    def __init__(
        self,
        *,
        batch_size: int | None = None,
        pause: float | None = None,
        budget_seconds: float | None = None,
        dry_run: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> None:
        self._batch_size = batch_size
        self._pause = pause
        self._least_gap = 0.0
        self._budget_seconds = budget_seconds
        self._dry_run = dry_run
        self._on_progress = on_progress
        self.expired = 0
        self.missing = 0
        """Sessions of users who were deleted or deactivated."""
        self.events = 0
        self.swept: Counter[str] = Counter()
        self.relisted = 0
        """Live sessions that no list had, and that are listed now."""
        self.is_complete = False
        self._resume_at = ""
        self._started_ms = time.time_ns() // 1_000_000
        self._started = self._batch_started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long it has taken."""
        return time.monotonic() - self._started

    def run(self) -> None:
        """Do all parts, as far as the time goes; raises as ``services``."""
        store = current_store()
        if self._pause is None:
            self._pause = _PAUSE_OF_ONE_WRITER if store.has_one_writer else _PAUSE
            self._least_gap = _GAP_OF_ONE_WRITER_S if store.has_one_writer else 0.0
        batch_size = self._batch_size or store.clears_at_once
        self._resume_at = "" if self._dry_run else _last_place()
        try:
            self.expired = services.clear_expired(
                batch_size=batch_size, dry_run=self._dry_run, on_progress=self._paced, on_swept=self._note_swept
            )
            if self._resume_at != _AT_LISTS:
                self._end_sessions_of_missing_users()
            if not self._dry_run:
                self._relist()
            self.events = event_log.purge(dry_run=self._dry_run, on_progress=self._events_paced)
            if conf.oidc and not self._dry_run:
                self._purge_provider_links()
            self.is_complete = True
        except BudgetSpentError:
            pass
        finally:
            if not self._dry_run:
                self._remember()

    def _end_sessions_of_missing_users(self) -> None:
        """Look at all signed-in sessions, from where the last run had to stop."""
        self.missing = services.end_sessions_of_missing_users(
            batch_size=self._batch_size or _USERS_AT_ONCE,
            dry_run=self._dry_run,
            after=self._resume_at,
            on_place=self._note_place,
            on_progress=self._missing_paced,
        )
        self._resume_at = ""

    def _relist(self) -> None:
        """List live sessions that no list has. The next run begins with it if this one has to stop in it."""
        self._resume_at = _AT_LISTS
        self.relisted = services.relist(on_batch=self._wait)
        self._resume_at = ""

    def _purge_provider_links(self) -> None:
        from django_srvsession.oidc import index

        self._note_swept("provider links", index.purge(self._wait))

    def _note_place(self, place: str) -> None:
        self._resume_at = place

    def _paced(self, total: int) -> None:
        self._count_batch(total - self.expired)
        self.expired = total
        self._wait()

    def _missing_paced(self, total: int) -> None:
        self._count_batch(total - self.missing)
        self.missing = total
        self._wait()

    def _events_paced(self, total: int) -> None:
        self.events = total
        self._wait()

    def _count_batch(self, ended: int) -> None:
        if self._on_progress is not None:
            self._on_progress(ended)

    def _wait(self) -> None:
        """Leave room for others, and stop when the time is used up."""
        time.sleep(max((self._pause or 0) * (time.monotonic() - self._batch_started), self._least_gap))
        if self._budget_seconds is not None and self.seconds >= self._budget_seconds:
            raise BudgetSpentError
        self._batch_started = time.monotonic()

    def _note_swept(self, what: str, count: int) -> None:
        if count:
            self.swept[what] += count

    def _remember(self) -> None:
        """Write down that this run was, for ``doctorsessions_srv``; a site without our tables goes without."""
        using = router.db_for_write(ClearingRun)
        try:
            with transaction.atomic(using=using):
                ClearingRun.objects.using(using).create(
                    started_ms=self._started_ms,
                    seconds=self.seconds,
                    ended=self.expired + self.missing,
                    is_complete=self.is_complete,
                    resume_at=self._resume_at,
                )
                runs = ClearingRun.objects.using(using).order_by("-pk")  # No number, where models are in MongoDB.
                for too_old in runs.values_list("pk", flat=True)[_RUNS_KEPT : _RUNS_KEPT + 1]:
                    runs.filter(pk__lte=too_old).delete()
        except (DatabaseError, ImproperlyConfigured):
            return


def _last_place() -> str:
    """Return where the last run stopped looking for sessions of missing users: "" for the beginning."""
    using = router.db_for_write(ClearingRun)
    try:
        with transaction.atomic(using=using):
            last = ClearingRun.objects.using(using).order_by("-pk").values_list("resume_at", flat=True).first() or ""
        if type(last) is not str:
            return ""  # Damaged: SQLite keeps anything in any column.
        if last != _AT_LISTS:
            current_store().portion(count=1, after=last)
    except (DatabaseError, ImproperlyConfigured, ValueError):
        return ""  # Not migrated yet, or another engine's place.
    return last
