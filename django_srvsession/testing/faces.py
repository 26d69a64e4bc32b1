"""The contract of ``face``: the verbs as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import ConflictError, CreateError, LimitReachedError, Store, UpdateError
from django_srvsession.store.face import Face
from django_srvsession.store.listings import Filter
from django_srvsession.testing.sessions import new_delta, new_sid, new_user, new_verifier, sids


class FaceContract:
    """The store's face does as the verbs do."""

    def thread_done(self) -> None:
        """Release what the thread that ends here has opened (a database connection, say)."""

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        async def run() -> None:
            try:
                await work
            finally:
                await sync_to_async(self.thread_done)()

        asyncio.run(run())

    def test_a_session_is_created_changed_rotated_and_ended_without_blocking_the_loop(self, store: Store) -> None:
        self._run(self._live_and_end(store.face()))

    async def _live_and_end(self, face: Face) -> None:
        sid, first, second, user_id = new_sid(), new_verifier(), new_verifier(), new_user()
        created = await face.create(sid, first, new_delta(user_id=user_id, changed={"a": b"a"}))
        loaded = await face.load(sid)
        assert isinstance(loaded, Loaded)
        assert (loaded.record, loaded.values) == (created.record, {"a": b"a"})
        changed = await face.update(sid, first, Delta(changed={"a": b"A"}), created)
        assert changed.values == {"a": b"A"}
        rotated = await face.update(sid, first, Delta(new_verifier=second, final=False), changed)
        assert (rotated.record.verifier, rotated.record.rotation_final) == (second, False)
        assert list(await face.admit(user_id, sid, 1, "end_oldest")) == []
        assert sids(await face.records(user_id)) == [sid]
        assert sid in sids((await face.records())[0:100])
        assert await face.end(sid, Ending("logout", by="me", verifier=new_verifier())) is None
        assert await face.end(sid, Ending("logout", by="me", verifier=second, expected={"a": b"A"})) == rotated.record
        tombstone = await face.load(sid)
        assert isinstance(tombstone, Tombstone)
        assert tombstone.by == "me"
        assert await face.records(user_id) == []
        assert await face.load(new_sid()) is None

    def test_errors_come_through_the_face(self, store: Store) -> None:
        self._run(self._fail(store.face()))

    async def _fail(self, face: Face) -> None:
        user_id = new_user()
        record = (await face.create(new_sid(), new_verifier(), new_delta(user_id=user_id))).record
        with pytest.raises(CreateError):
            await face.create(record.sid, new_verifier(), new_delta())
        with pytest.raises(UpdateError):
            await face.update(record.sid, new_verifier(), TOUCH)
        with pytest.raises(UpdateError):
            await face.update(record.sid, new_verifier(), Delta(new_verifier=new_verifier()))
        with pytest.raises(ConflictError):
            await face.update(record.sid, record.verifier, Delta(expected={"a": b"a"}))
        await face.admit(user_id, record.sid, 1, "refuse")
        other = (await face.create(new_sid(), new_verifier(), new_delta(user_id=user_id))).record
        with pytest.raises(LimitReachedError):
            await face.admit(user_id, other.sid, 1, "refuse")

    def test_sessions_expire_through_the_face(self, store: Store) -> None:
        self._run(self._expire(store.face()))

    async def _expire(self, face: Face) -> None:
        due = [(await face.create(new_sid(), new_verifier(), new_delta(lifetime_ms=0))).record for _ in range(2)]
        assert await face.end(due[0].sid, EXPIRED) == due[0]
        assert await face.end(due[0].sid, EXPIRED) is None
        ended: list[SessionRecord] = []
        assert await face.call(face.store.clear_expired, dry_run=True) >= 1
        assert await face.call(face.store.clear_expired, batch_size=10, on_ended=ended.append) == len(ended)
        assert due[1] in ended
        assert due[0] not in ended

    def test_several_are_asked_after_listed_and_ended_through_the_face(self, store: Store) -> None:
        self._run(self._list_and_end(store.face()))

    async def _list_and_end(self, face: Face) -> None:
        user_id = new_user()
        made = [
            await face.create(new_sid(), new_verifier(), new_delta(user_id=user_id, details=b"d")) for _ in range(3)
        ]
        due = (await face.create(new_sid(), new_verifier(), new_delta(lifetime_ms=0))).record
        chosen = [session.record.sid for session in made]
        assert await face.alive([*chosen, due.sid, new_sid()]) == {
            session.record.sid: (session.record.verifier,) for session in made
        }
        mine = Filter(matches=lambda record: record.user_id == user_id)
        assert set(sids((await face.portion(mine, 3)).records)) == set(chosen)
        assert len((await face.activity()).minutes) == 60
        ended = await face.end_many([*chosen[:2], due.sid], Ending("revoked", "me"))
        assert {record.sid: record for record in ended} == {session.record.sid: session.record for session in made[:2]}
        assert list(await face.end_many([*chosen, due.sid], EXPIRED)) == [due]
        assert list(await face.alive([*chosen, due.sid])) == [chosen[2]]
        assert list(await face.records(user_id)) == [made[2].record]

    def test_many_tasks_that_change_different_keys_all_win(self, store: Store) -> None:
        self._run(self._change_together(store.face()))

    async def _change_together(self, face: Face) -> None:
        session = await face.create(new_sid(), new_verifier(), new_delta())
        sid, verifier = session.record.sid, session.record.verifier
        await asyncio.gather(*(face.update(sid, verifier, Delta(changed={f"k{n}": b"x"}), session) for n in range(16)))
        loaded = await face.load(sid)
        assert isinstance(loaded, Loaded)
        assert loaded.values == {f"k{n}": b"x" for n in range(16)}
