"""Moving all sessions at once, beside a running site; and, on the way back, saying who has not come yet.

What visitors' requests do one by one (``engine/carrying.py``) is done here for all: by the same steps, so that it may
meet requests, be stopped between two sessions, and run again. What has moved is not where it was any more: a further
run goes on with the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf, migrating
from django_srvsession.engine import carrying
from django_srvsession.records import Loaded, SessionRecord
from django_srvsession.store.face import BlockingFace, run_blocking

MOVED: Final = "moved"
KNOWN: Final = "moved before"
GONE: Final = "expired or empty"
WAITING: Final = "have not come yet"


class Move:
    """Move the sessions of one engine to another, or count them; ``counts`` says what became of how many.

    Raises ``ImproperlyConfigured`` where the settings do not lead visitors there, or nobody can go through the
    sessions; later ``StoreUnavailableError``.
    """

    def __init__(self, path: str, to_path: str | None, *, dry_run: bool = False) -> None:
        self.to_path = to_path or (conf.migrate_to if path == settings.SESSION_ENGINE else settings.SESSION_ENGINE)
        self.counts: Counter[str] = Counter()
        self.dry_run = dry_run
        if self.to_path is None or self.to_path == path:
            raise ImproperlyConfigured("Say where to: --to, or SRVSESSION_MIGRATE_TO.")
        self.engine, self.to_engine = migrating.engine_at(path), migrating.engine_at(self.to_path)
        if not (migrating.is_ours(self.engine) or migrating.is_ours(self.to_engine)):
            raise ImproperlyConfigured("One of the two engines must be of django-srvsession.")
        self._check_settings(path, self.to_path)
        self.source = None if migrating.is_ours(self.engine) else migrating.source(path)
        if self.source is not None and not self.source.can_list:
            raise ImproperlyConfigured(
                f"Nobody can go through the sessions of {path}. Each visitor is carried over at the next request."
            )

    def _check_settings(self, path: str, to_path: str) -> None:
        """Raise ``ImproperlyConfigured`` where requests would not find what is moved."""
        steps = (settings.SESSION_ENGINE, conf.migrate_to), (conf.migrate_from, settings.SESSION_ENGINE)
        is_known = (path, to_path) in steps
        has_switched = migrating.is_ours(self.engine) and to_path == settings.SESSION_ENGINE  # The keys are the same.
        if not (is_known or has_switched):
            raise ImproperlyConfigured(
                f"The site does not move from {path} to {to_path}: visitors would lose what is moved. Set "
                "SRVSESSION_MIGRATE_TO or SRVSESSION_MIGRATE_FROM first."
            )
        if is_known and not migrating.is_under_way():
            raise ImproperlyConfigured("SRVSESSION_MIGRATE_UNTIL has passed.")

    @property
    def goes_back(self) -> bool:
        """Whether sessions can only be counted: their keys are in the visitors' hands alone."""
        return not migrating.is_ours(self.to_engine)

    def run(self, on_progress: Callable[[], object]) -> None:
        """Move, or count, session by session."""
        for _ in self._count() if self.dry_run or self.goes_back else self._each():
            on_progress()

    def _each(self) -> Iterator[None]:
        if self.source is None:
            yield from self._within()
            return
        for key in self.source.walk():
            carried = carrying.carry_named(self.to_engine, self.source, key)
            self.counts[{True: MOVED, False: GONE, None: KNOWN}[carried]] += 1
            yield

    def _within(self) -> Iterator[None]:
        """Move between stores of ours; seals and verifiers stay as they are."""
        source, target = self.engine.store(), self.to_engine.store()
        for record in _live(source):
            moved = run_blocking(carrying.move(BlockingFace(target), BlockingFace(source), record.sid))
            self.counts[MOVED if isinstance(moved, Loaded) else GONE] += 1
            yield

    def _count(self) -> Iterator[None]:
        if self.source is not None:
            for _ in self.source.walk():
                self.counts[WAITING] += 1
                yield
            return
        for record in _live(self.engine.store()):
            self.counts[WAITING] += 1
            self.counts["signed in" if record.user_id is not None else "anonymous"] += 1
            yield


def _live(store: Any) -> Iterator[SessionRecord]:
    return (step.record for step in store.walk() if step.record is not None)
