"""Sessions in files, one each, below ``SESSION_FILE_PATH``: for one machine, without a server.

=============================  ========================================================================================
``<2 hex>/<sid>.json``         a session, or the tombstone of an ended one (``format.py``); its time of
                               modification is when ``clear_expired`` will have something to do with it
``<2 hex>/.lock``              the lock of the sessions in this directory
``users/<2 hex>/<digest>/``    whose sessions are whose (``users.py``)
``recent/<day>/<minute>/``     which sessions were last used in a minute (``recent.py``)
``.srvsession``                says that this is the directory: without it, it is not empty but *missing*
=============================  ========================================================================================

Directories are 0700 and files 0600, whatever the umask. A write is a new file that takes the old one's place, and is on
the disk when the verb returns (but for expiries, which time repeats). ``flock`` serialises writers, readers take no
lock; locks are taken in one order: a user's, then a session's. Times are this machine's clock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf, engine
from django_srvsession.backends.file import health as file_exam
from django_srvsession.backends.file.directory import SessionDirectory, now_ms, problem_with
from django_srvsession.backends.file.recent import MINUTE_MS, minute_of
from django_srvsession.backends.file.users import UserMarkers, digest_of
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
from django_srvsession.store import CorruptSessionError, CreateError, Store, StoreUnavailableError, rules
from django_srvsession.store.health import Finding, IndexHealth, StorageInfo
from django_srvsession.store.listings import EVERYONE, Filter, Step, note_damaged, parse_place, place_at
from django_srvsession.store.user_records import UserRecords


class _Answering(contextlib.ContextDecorator):
    """Report every error of the file system as ``StoreUnavailableError``: none of them says that a session is gone."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreUnavailableError(f"The session files do not answer: {error}") from error


answering = _Answering()


def session_path() -> str:
    """Return the absolute path that ``SESSION_FILE_PATH`` names.

    Raises ``ImproperlyConfigured`` without one. There is no default: in a shared temporary directory others can plant
    files, and a job that tidies it up would sign people out.
    """
    path = getattr(settings, "SESSION_FILE_PATH", None)
    if not path:
        raise ImproperlyConfigured(
            "Set SESSION_FILE_PATH to a directory of the site's own (mode 0700) for its sessions."
        )
    return os.path.abspath(str(path))


class FileStore(Store):
    """Keep sessions in files.

    Raises ``ImproperlyConfigured`` when ``SESSION_FILE_PATH`` is unset, or names a directory that others can enter.
    """

    settings_used: ClassVar[frozenset[str]] = frozenset({"SESSION_FILE_PATH"})
    lock_timeout_seconds: ClassVar[float] = 10.0

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Report a directory that is not set, or that others can enter."""
        if deploy:
            return ()
        try:
            path = session_path()
            problem = problem_with(path) if os.path.lexists(path) else None
        except ImproperlyConfigured as error:
            return [checks.Error(str(error), id="srvsession.E104")]
        return [checks.Error(problem, id="srvsession.E105")] if problem else ()

    def __init__(self) -> None:
        path = session_path()
        self._sessions = SessionDirectory(path, self.lock_timeout_seconds)
        self._users = UserMarkers(f"{path}/users", self.lock_timeout_seconds)

    @property
    def clock_ms(self) -> int:
        """Return this machine's clock."""
        return now_ms()

    # Verbs on one session.

    @answering
    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`Store.create`.

        Raises ``ValueError`` for what is no sid (18 lower-case hex digits), and ``TooLargeError`` for a session
        above 16 MiB.
        """
        if not is_sid(sid):
            raise ValueError("A sid is 18 lower-case hex digits: it becomes the name of a file.")
        with self._listed(delta.user_id, sid), self._sessions.locked(sid):
            now = now_ms()
            try:
                existing = rules.already_created(self._sessions.read(sid, now), verifier, now)
            except CorruptSessionError as error:
                raise CreateError("Something that is no session has this sid.") from error
            return existing or self._sessions.write(new_session(sid, verifier, delta, now))

    @answering
    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Do as :meth:`Store.load`; takes no lock."""
        return self._sessions.read(sid, now_ms())

    @answering
    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`Store.update`; raises ``TooLargeError`` for a session above 16 MiB."""
        if self._sessions.read_sound(sid, now_ms()) is None:
            return rules.changed(None, verifier, delta, now_ms())  # Nothing there: no lock, no directory, no mark.
        with self._listed(delta.user_id, sid), self._sessions.locked(sid):
            now = now_ms()
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
        if rules.may_end(self._sessions.read_sound(sid, now_ms()), ending, now_ms()) is None:
            return None
        with self._sessions.locked(sid):
            now = now_ms()
            record = rules.may_end(self._sessions.read_sound(sid, now), ending, now)
            if record is None:
                return None
            if is_cleared and record.expires_ms + conf.ended_keep_ms <= now:
                self._sessions.remove(record)
            else:
                self._sessions.bury(record, rules.tombstone(record, ending, now), durable=ending.reason is not None)
        self._unlist(record)
        return record

    # Whose sessions.

    @contextlib.contextmanager
    def _listed(self, user_id: str | Unset, sid: str) -> Iterator[None]:
        """List a session before it is the user's; should it not become so, take it off the list again."""
        if user_id is UNSET:
            yield
            return
        self._sessions.prepare()
        digest, is_done = digest_of(user_id), False
        with self._users.locked(digest):
            self._users.add(digest, sid)
            try:
                yield
                is_done = True
            finally:
                if not is_done:
                    with contextlib.suppress(OSError, StoreUnavailableError):  # Readers skip what is left.
                        self._unlist_ghost(digest, sid)

    def _unlist_ghost(self, digest: str, sid: str) -> bool:
        """Take a session that is not live, or not the user's, off the list; under the user's lock."""
        is_ghost = self._live(sid, digest, now_ms()) is None
        if is_ghost:
            self._users.remove(digest, sid)
        return is_ghost

    def _unlist(self, record: SessionRecord) -> None:
        """Take an ended session off its user's list; what is left by a failure is skipped by readers."""
        if record.user_id is not None:
            digest = digest_of(record.user_id)
            with contextlib.suppress(OSError), self._users.locked(digest):
                self._users.remove(digest, record.sid)

    def _live(self, sid: str, digest: str | None, now: int) -> SessionRecord | None:
        """Return the record of a live session, of one user if given, or None."""
        return self._of_user(self._sessions.read_sound(sid, now), digest, now)

    def _listed_live(self, sid: str, digest: str | None, now: int) -> SessionRecord | None:
        """Do as :meth:`_live`, and log what is damaged: for lists that people see."""
        try:
            return self._of_user(self._sessions.read(sid, now), digest, now)
        except CorruptSessionError:
            note_damaged(sid)
            return None

    def _of_user(self, stored: rules.Stored, digest: str | None, now: int) -> SessionRecord | None:
        if not isinstance(stored, Loaded) or not stored.record.is_live(now):
            return None
        user_id = stored.record.user_id
        is_asked_for = digest is None or (user_id is not None and digest_of(user_id) == digest)
        return stored.record if is_asked_for else None

    @answering
    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`Store.admit`; a sid that is not one of the user's live sessions does not count."""
        self._sessions.prepare()
        digest = digest_of(user_id)
        with self._users.locked(digest):
            now = now_ms()
            live = [record.sid for record in self._newest_first(self._users.sids(digest), digest)]
            leaving, admitted = self._users.leaving(digest, now), self._users.admitted(digest)
            given = rules.to_end(sid, live, admitted, leaving, limit, policy)
            for other in given:
                self._users.tell_to_leave(digest, other, now)
            if sid in live and sid not in admitted | leaving:
                self._users.admit(digest, sid)
            return given

    @answering
    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`Store.records`; of all users it reads every file, at once."""
        if user_id is None:
            return self._newest_first(sid for shard in self._sessions.shards() for sid in self._sessions.sids(shard))
        self._sessions.prepare()
        digest = digest_of(user_id)
        return UserRecords(
            answering(lambda: self._users.sids(digest)),
            answering(self._sessions.by_last_use),
            answering(lambda sids: self._all_live(sids, digest)),
        )

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Do as :meth:`Store.walk`, minute by minute, and in each in the order in which the files were last written.

        Asks for the time of each file of a minute: of no more than can be written in one.
        """
        last = parse_place(after)[0] if after else None
        with answering:
            for minute in self._sessions.recent.minutes(None if last is None else last // (MINUTE_MS * 1000)):
                written = [one for one in self._sessions.by_last_write(minute) if last is None or one[0] <= last]
                for moment, group in groupby(sorted(written, reverse=True), key=itemgetter(0)):
                    steps = self._steps_at(minute, moment, [sid for _, sid in group])
                    yield from _behind(steps, after) if moment == last else steps

    def _steps_at(self, minute: int, moment: int, sids: Iterable[str]) -> list[Step]:
        """Return the files of one moment, which is some milliseconds long on most systems, by their last use."""
        live = [(sid, self._listed_live(sid, None, now_ms())) for sid in sids]
        # One that was used in another minute is listed there.
        found = [(sid, record if record and minute_of(record) == minute else None) for sid, record in live]
        newest_first = sorted(found, key=lambda one: (one[1].last_seen_ms if one[1] else 0, one[0]), reverse=True)
        return [Step(place_at(moment, sid), record) for sid, record in newest_first]

    def _newest_first(self, sids: Iterable[str], digest: str | None = None) -> list[SessionRecord]:
        return sorted(self._all_live(sids, digest), key=lambda record: record.last_seen_ms, reverse=True)

    def _all_live(self, sids: Iterable[str], digest: str | None) -> list[SessionRecord]:
        now = now_ms()
        found = (self._listed_live(sid, digest, now) for sid in sids)
        return [record for record in found if record is not None]

    # Health.

    @answering
    def storage_info(self) -> StorageInfo:
        """Return how much room there is on the disk."""
        self._sessions.prepare()
        return file_exam.storage_info(self._sessions.path)

    def examine(self) -> Iterator[Finding]:
        """Tell how much room is left on the disk."""
        with answering:
            self._sessions.prepare()
            yield file_exam.room_on(self._sessions.path)

    @answering
    def check_index(self, *, repair: bool = False) -> IndexHealth:
        """Compare users' marks with the sessions, both ways; ``repair``: mark what is not marked."""
        now, sids = now_ms(), [sid for shard in self._sessions.shards() for sid in self._sessions.sids(shard)]
        marks = [(digest, sid) for digest in self._users.digests() for sid in self._users.sids(digest)]
        ghosts = sum(self._live(sid, digest, now) is None for digest, sid in marks)
        recent = self._sessions.recent
        ghosts += sum(self._is_stale(sid, minute, now) for minute in recent.minutes() for sid in recent.sids(minute))
        live = [record for sid in sids if (record := self._live(sid, None, now))]
        unlisted = [record for record in live if not self._is_listed(record)]
        repaired = sum(self._list_again(record) for record in unlisted) if repair else 0
        return IndexHealth(len(live), ghosts, len(unlisted), repaired)

    def _is_listed(self, record: SessionRecord) -> bool:
        is_recent = self._sessions.recent.has(record.sid, minute_of(record))
        return is_recent and (record.user_id is None or self._users.has(digest_of(record.user_id), record.sid))

    def _is_stale(self, sid: str, minute: int, now: int) -> bool:
        stored = self._sessions.read_sound(sid, now)
        return not isinstance(stored, Loaded) or minute_of(stored.record) != minute

    def _list_again(self, record: SessionRecord) -> bool:
        listing = contextlib.nullcontext() if record.user_id is None else self._users.locked(digest_of(record.user_id))
        with listing, self._sessions.locked(record.sid):
            live = self._live(record.sid, None, now_ms())
            if live is None or live.user_id != record.user_id:
                return False  # It has ended, or somebody has just signed in, and it is listed.
            self._sessions.recent.add(live.sid, minute_of(live))
            if live.user_id is not None:
                self._users.add(digest_of(live.user_id), live.sid)
            return True

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
        now = now_ms()
        if dry_run:
            return self._count_due(now)
        return rules.hand_over(self._expire_all(now, on_swept or _nobody), batch_size, on_ended, on_progress)

    @answering
    def _count_due(self, now: int) -> int:
        due = (
            self._sessions.read_sound(sid, now)
            for shard in self._sessions.shards()
            for sid in self._sessions.due(shard, now)
        )
        return sum(rules.may_end(stored, EXPIRED, now) is not None for stored in due)

    def _expire_all(self, now: int, swept: Callable[[str, int], object]) -> Iterator[SessionRecord]:
        """End what is due at ``now``, one by one as it is asked for, and tidy up behind."""
        with answering:
            for shard in self._sessions.shards():
                forgotten = 0
                for sid in self._sessions.due(shard, now):
                    record = self._end(sid, EXPIRED, is_cleared=True)
                    if record is None:
                        forgotten += self._sessions.forget(sid, now)
                    else:
                        yield record
                swept("tombstones", forgotten)
                swept("leftovers", self._sessions.remove_leftovers(shard))
            for digest in self._users.digests():
                self._tidy_list(digest, now, swept)
            swept("index entries", self._sessions.remove_stale_marks())

    def _tidy_list(self, digest: str, now: int, swept: Callable[[str, int], object]) -> None:
        """Take ghosts off a user's list. Under the lock there is no login half done that could be taken for one."""
        ghosts = [sid for sid in self._users.sids(digest) if self._live(sid, digest, now) is None]
        if ghosts or self._users.has_leftovers(digest):
            with self._users.locked(digest):
                swept("index entries", sum(self._unlist_ghost(digest, sid) for sid in ghosts))
                swept("leftovers", self._users.remove_leftovers(digest))


def _nobody(what: str, count: int) -> None:
    """Take no note."""


def _behind(steps: list[Step], place: str) -> list[Step]:
    """Return the steps that follow one; all of them if it is not there any more."""
    places = [step.place for step in steps]
    return steps[places.index(place) + 1 :] if place in places else steps


class SessionStore(engine.SessionStore):
    """Be the session engine ``django_srvsession.backends.file``."""

    store_class = FileStore
