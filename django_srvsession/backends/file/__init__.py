"""Sessions in files, one each, below ``SESSION_FILE_PATH``: for one machine, without a server.

=============================  ========================================================================================
``<2 hex>/<sid>.json``         a session, or the tombstone of an ended one (``format.py``); its time of
                               modification is when ``clear_expired`` will have something to do with it
``<2 hex>/.lock``              the lock of the sessions in this directory
``users/<2 hex>/<digest>/``    whose sessions are whose (``users.py``)
``recent/<day>/<minute>/``     which sessions were last used in a minute (``minutes.py``)
``.srvsession``                says that this is the directory: without it, it is not empty but *missing*
=============================  ========================================================================================

Directories are 0700 and files 0600, whatever the umask. A write is a new file that takes the old one's place, and is on
the disk when the verb returns (but for expiries, which time repeats). ``flock`` serialises writers, readers take no
lock; locks are taken in one order: a user's, then a session's. Times are this machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from django.core.checks import CheckMessage

from django_srvsession import engine
from django_srvsession.backends.file import checks as file_checks
from django_srvsession.backends.file import health as file_health
from django_srvsession.backends.file import limit as file_limit
from django_srvsession.backends.file.checks import session_path
from django_srvsession.backends.file.clearing import Clearing
from django_srvsession.backends.file.directory import SessionDirectory
from django_srvsession.backends.file.listing import Listing
from django_srvsession.backends.file.system import answering
from django_srvsession.backends.file.users import UserMarkers
from django_srvsession.records import (
    EXPIRED,
    UNSET,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    Unset,
    is_sid,
    new_session,
)
from django_srvsession.store import CorruptSessionError, CreateError, Store, rules
from django_srvsession.store.health import Finding, IndexHealth, StorageInfo
from django_srvsession.store.listings import EVERYONE, Filter, Step


class FileStore(Store):
    """Keep sessions in files.

    Raises ``ImproperlyConfigured`` when ``SESSION_FILE_PATH`` is unset, or names a directory that others can enter.
    """

    settings_used: ClassVar[frozenset[str]] = frozenset({"SESSION_FILE_PATH"})
    lock_timeout_seconds: ClassVar[float] = 10.0

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Report a directory that is not set, or that others can enter."""
        return () if deploy else file_checks.messages()

    def __init__(self) -> None:
        path = session_path()
        self._sessions = SessionDirectory(path, self.lock_timeout_seconds)
        self._listing = Listing(self._sessions, UserMarkers(f"{path}/users", self.lock_timeout_seconds))

    @property
    def clock_ms(self) -> int:
        """Return this machine's clock."""
        return self._sessions.now_ms

    # Verbs on one session.

    @answering
    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`Store.create`.

        Raises ``ValueError`` for what is no sid (18 lower-case hex digits), and ``TooLargeError`` for a session
        above 16 MiB.
        """
        return self._create(sid, verifier, delta.user_id, lambda now: new_session(sid, verifier, delta, now))

    @answering
    def restore(self, session: Loaded) -> Loaded:
        """Do as :meth:`Store.restore`; raises as :meth:`create`."""
        record = session.record
        user_id = UNSET if record.user_id is None else record.user_id
        return self._create(record.sid, record.verifier, user_id, lambda now: session._replace(now_ms=now), True)

    def _create(
        self,
        sid: str,
        verifier: str,
        user_id: str | Unset,
        new: Callable[[int], Loaded],
        restores: bool = False,
    ) -> Loaded:
        if not is_sid(sid):
            raise ValueError("A sid is 18 lower-case hex digits: it becomes the name of a file.")
        with self._listing.listed(user_id, sid), self._sessions.locked(sid):
            now = self._sessions.now_ms
            try:
                found = self._sessions.read(sid, now)
                existing = None if restores and rules.has_moved(found) else rules.already_created(found, verifier, now)
            except CorruptSessionError as error:
                raise CreateError("Something that is no session has this sid.") from error
            return existing or self._sessions.write(new(now))

    @answering
    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Do as :meth:`Store.load`; takes no lock."""
        return self._sessions.read(sid, self._sessions.now_ms)

    @answering
    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`Store.update`; raises ``TooLargeError`` for a session above 16 MiB."""
        if self._sessions.read_sound(sid, now := self._sessions.now_ms) is None:
            return rules.changed(None, verifier, delta, now)  # Nothing there: no lock, no directory, no mark.
        with self._listing.listed(delta.user_id, sid), self._sessions.locked(sid):
            now = self._sessions.now_ms
            current = self._sessions.read_sound(sid, now)
            changed = rules.changed(current, verifier, delta, now)
            if changed is current:
                return changed
            return self._sessions.write(changed, current if isinstance(current, Loaded) else None)

    @answering
    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """Do as :meth:`Store.end`; on a full disk no tombstone stays.

        A session whose time is up may, after a power failure, be there to end again.
        """
        return self._end(sid, ending)

    def _end(self, sid: str, ending: Ending, *, is_cleared: bool = False) -> SessionRecord | None:
        """End a session; ``is_cleared``: one that expired longer ago than tombstones are kept leaves none."""
        if rules.may_end(self._sessions.read_sound(sid, self._sessions.now_ms), ending, self._sessions.now_ms) is None:
            return None
        with self._sessions.locked(sid):
            now = self._sessions.now_ms
            record = rules.may_end(self._sessions.read_sound(sid, now), ending, now)
            if record is None:
                return None
            if is_cleared and record.expires_ms + rules.leaves_none_after_ms() <= now:
                self._sessions.remove(record)
            else:
                self._sessions.bury(record, rules.tombstone(record, ending, now), durable=ending.reason is not None)
        self._listing.unlist(record)
        return record

    @answering
    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`Store.admit`; a sid that is not one of the user's live sessions does not count."""
        return file_limit.admit(self._listing, user_id, sid, limit, policy)

    # Lists.

    @answering
    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`Store.records`; of all users it reads every file, at once."""
        return self._listing.records(user_id)

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Do as :meth:`Store.walk`, by the minutes in which sessions were last used."""
        with answering:
            yield from self._listing.walk(after)

    # Health.

    @answering
    def storage_info(self) -> StorageInfo:
        """Return how much room there is on the disk."""
        self._sessions.prepare()
        return file_health.storage_info(self._sessions.path)

    def examine(self) -> Iterator[Finding]:
        """Tell how much room is left on the disk."""
        with answering:
            self._sessions.prepare()
            yield file_health.room_on(self._sessions.path)

    @answering
    def check_index(self, *, repair: bool = False) -> IndexHealth:
        """Compare the marks with the sessions, both ways; ``repair``: mark what is not marked."""
        return file_health.check_index(self._listing, repair)

    # Clearing.

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """Do as :meth:`Store.clear_expired`; also removes what killed writers left. Ignores files that are not ours."""
        clearing = Clearing(self._listing, lambda sid: self._end(sid, EXPIRED, is_cleared=True))
        now = self._sessions.now_ms
        if dry_run:
            return clearing.count_due(now)
        return rules.hand_over(clearing.expire_all(now, on_swept or _nobody), batch_size, on_ended, on_progress)


def _nobody(what: str, count: int) -> None:
    """Take no note."""


class SessionStore(engine.SessionStore):
    """Be the session engine ``django_srvsession.backends.file``."""

    store_class = FileStore
