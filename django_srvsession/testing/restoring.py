"""The contract of ``restore``: a session that stood elsewhere, once."""

from __future__ import annotations

import pytest

from django_srvsession.records import MOVED, Client, Ending, Loaded, SessionRecord
from django_srvsession.store import CreateError, Store
from django_srvsession.testing.sessions import HOUR_MS, create, new_sid, new_user, new_verifier, sids, stored


def stood_elsewhere(store: Store, *, user_id: str | None = None) -> Loaded:
    """Return a session such as another store has: a day old, with half an hour left, its key replaced a minute ago."""
    now_ms = create(store).now_ms
    created_ms = now_ms - 24 * HOUR_MS
    record = SessionRecord(
        new_sid(),
        new_verifier(),
        created_ms,
        now_ms - HOUR_MS // 2,
        HOUR_MS,
        now_ms + HOUR_MS // 2,
        user_id,
        Client("192.0.2.7", "Mozilla/5.0"),
        None if user_id is None else created_ms + 1,
        now_ms + HOUR_MS,
        new_verifier(),
        now_ms - 60_000,
        rotation_final=False,
        version=7,
        details=b"\x01\x00\x01x",
    )
    return Loaded(record, {"a": b"1", "b": b"\0\xff"}, now_ms)


class RestoreContract:
    """``restore``: a session as it stood elsewhere. A store that leaves it to ``create`` gives it new instants."""

    @pytest.mark.parametrize("is_signed_in", [True, False])
    def test_a_restored_session_is_what_it_was(self, store: Store, is_signed_in: bool) -> None:
        session = stood_elsewhere(store, user_id=new_user() if is_signed_in else None)
        restored = store.restore(session)
        here = stored(store, session.record.sid)
        assert (restored.record, restored.values) == (here.record, here.values)
        assert here.values == session.values
        if type(store).restore is not Store.restore:
            assert here.record == session.record
        kept = ("sid", "verifier", "user_id", "client", "deadline_ms", "details")
        assert all(getattr(here.record, name) == getattr(session.record, name) for name in kept)
        assert here.record.expires_ms <= session.record.expires_ms + 60_000

    def test_it_is_listed_for_its_user(self, store: Store) -> None:
        user_id = new_user()
        session = store.restore(stood_elsewhere(store, user_id=user_id))
        assert sids(store.records(user_id)) == [session.record.sid]
        assert session.record.sid in sids(store.records())

    def test_restoring_what_is_there_succeeds_and_changes_nothing(self, store: Store) -> None:
        session = stood_elsewhere(store)
        first = store.restore(session)
        again = store.restore(session._replace(values={"other": b"2"}))
        assert (again.record, again.values) == (first.record, first.values)

    def test_what_has_ended_or_has_another_key_is_not_restored(self, store: Store) -> None:
        session = store.restore(stood_elsewhere(store))
        other = session._replace(record=session.record._replace(verifier=new_verifier()))
        with pytest.raises(CreateError):
            store.restore(other)
        assert store.end(session.record.sid, Ending("logout")) is not None
        with pytest.raises(CreateError):
            store.restore(session)

    def test_one_that_moved_away_may_come_back(self, store: Store) -> None:
        if type(store).restore is Store.restore:
            return
        session = stood_elsewhere(store, user_id=new_user())
        store.restore(session)
        assert store.end(session.record.sid, Ending(MOVED)) is not None
        assert store.restore(session).record == session.record
        assert stored(store, session.record.sid).values == session.values
        assert sids(store.records(session.record.user_id)) == [session.record.sid]
