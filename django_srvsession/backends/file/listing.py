"""Whose sessions are whose, and lists of them: by marks beside the files, which are a superset of the live sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from django_srvsession.backends.file.directory import SessionDirectory
from django_srvsession.backends.file.minutes import MINUTE_MS, minute_of
from django_srvsession.backends.file.system import answering
from django_srvsession.backends.file.users import UserMarkers, digest_of
from django_srvsession.records import UNSET, Loaded, SessionRecord, Unset
from django_srvsession.store import CorruptSessionError, StoreUnavailableError, rules
from django_srvsession.store.listings import Step, note_damaged, parse_place, place_at
from django_srvsession.store.user_records import UserRecords


class Listing:
    """Mark sessions as a user's, and list them. Raises ``OSError``, where nothing else is said."""

    def __init__(self, sessions: SessionDirectory, users: UserMarkers) -> None:
        self.sessions = sessions
        self.users = users

    # Whose sessions.

    @contextlib.contextmanager
    def listed(self, user_id: str | Unset, sid: str) -> Iterator[None]:
        """List a session before it is the user's; should it not become so, take it off the list again."""
        if user_id is UNSET:
            yield
            return
        self.sessions.prepare()
        digest, is_done = digest_of(user_id), False
        with self.users.locked(digest):
            self.users.add(digest, sid)
            try:
                yield
                is_done = True
            finally:
                if not is_done:
                    with contextlib.suppress(OSError, StoreUnavailableError):  # Readers skip what is left.
                        self.unlist_ghost(digest, sid)

    def unlist_ghost(self, digest: str, sid: str) -> bool:
        """Take a session that is not live, or not the user's, off the list; under the user's lock."""
        is_ghost = self.live(sid, digest, self.sessions.now_ms) is None
        if is_ghost:
            self.users.remove(digest, sid)
        return is_ghost

    def unlist(self, record: SessionRecord) -> None:
        """Take an ended session off its user's list; what is left by a failure is skipped by readers."""
        if record.user_id is not None:
            digest = digest_of(record.user_id)
            with contextlib.suppress(OSError), self.users.locked(digest):
                self.users.remove(digest, record.sid)

    def live(self, sid: str, digest: str | None, now: int) -> SessionRecord | None:
        """Return the record of a live session, of one user if given, or None."""
        return self._of_user(self.sessions.read_sound(sid, now), digest, now)

    def _listed_live(self, sid: str, digest: str | None, now: int) -> SessionRecord | None:
        """Do as :meth:`live`, and log what is damaged: for lists that people see."""
        try:
            return self._of_user(self.sessions.read(sid, now), digest, now)
        except CorruptSessionError:
            note_damaged(sid)
            return None

    def _of_user(self, stored: rules.Stored, digest: str | None, now: int) -> SessionRecord | None:
        if not isinstance(stored, Loaded) or not stored.record.is_live(now):
            return None
        user_id = stored.record.user_id
        is_asked_for = digest is None or (user_id is not None and digest_of(user_id) == digest)
        return stored.record if is_asked_for else None

    # Lists.

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as ``Store.records``; of all users it reads every file, at once."""
        if user_id is None:
            return self.newest_first(sid for shard in self.sessions.shards() for sid in self.sessions.sids(shard))
        self.sessions.prepare()
        digest = digest_of(user_id)
        return UserRecords(
            answering(lambda: self.users.sids(digest)),
            answering(self.sessions.by_last_use),
            answering(lambda sids: self._all_live(sids, digest)),
        )

    def walk(self, after: str) -> Iterator[Step]:
        """Do as ``Store.walk``, minute by minute, and in each in the order in which the files were last written.

        Asks for the time of each file of a minute: of no more than can be written in one.
        """
        last = parse_place(after)[0] if after else None
        with answering:
            for minute in self.sessions.minutes.present(None if last is None else last // (MINUTE_MS * 1000)):
                written = [one for one in self.sessions.by_last_write(minute) if last is None or one[0] <= last]
                for moment, group in groupby(sorted(written, reverse=True), key=itemgetter(0)):
                    steps = self._steps_at(minute, moment, [sid for _, sid in group])
                    yield from _behind(steps, after) if moment == last else steps

    def _steps_at(self, minute: int, moment: int, sids: Iterable[str]) -> list[Step]:
        """Return the files of one moment, which is some milliseconds long on most systems, by their last use."""
        live = [(sid, self._listed_live(sid, None, self.sessions.now_ms)) for sid in sids]
        # One that was used in another minute is listed there.
        found = [(sid, record if record and minute_of(record) == minute else None) for sid, record in live]
        newest_first = sorted(found, key=lambda one: (one[1].last_seen_ms if one[1] else 0, one[0]), reverse=True)
        return [Step(place_at(moment, sid), record) for sid, record in newest_first]

    def newest_first(self, sids: Iterable[str], digest: str | None = None) -> list[SessionRecord]:
        """Return the live ones among some sessions, of one user if given."""
        return sorted(self._all_live(sids, digest), key=lambda record: record.last_seen_ms, reverse=True)

    def _all_live(self, sids: Iterable[str], digest: str | None) -> list[SessionRecord]:
        now = self.sessions.now_ms
        found = (self._listed_live(sid, digest, now) for sid in sids)
        return [record for record in found if record is not None]


def _behind(steps: list[Step], place: str) -> list[Step]:
    """Return the steps that follow one; all of them if it is not there any more."""
    places = [step.place for step in steps]
    return steps[places.index(place) + 1 :] if place in places else steps
