"""A connection stands for its key: it ends when that opens the session no more, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_srvsession.engine import current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.live import LiveSessions
from django_srvsession.records import ROTATION_GRACE_MS, Delta, Ending
from django_srvsession.testing.sessions import new_delta
from tests.live.test_connections import new_session, scope_of
from tests.memory import later_fixture, memory_store_fixture

__all__ = ["later_fixture", "memory_store_fixture"]

pytestmark = pytest.mark.usefixtures("store")
EVERY_SECONDS = 0.02


class Connections:
    """Sockets of keys, with what each was told; and how often the store was asked, and for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: dict[SessionKey, list[tuple[int, str]]] = {}
        self.questions = 0
        self.loads: list[str] = []
        self._serving: list[asyncio.Task[None]] = []
        store: Any = current_store()
        alive, load = store.alive, store.load

        def ask(sids: Any) -> Any:
            self.questions += 1
            return alive(sids)

        monkeypatch.setattr(store, "alive", ask, raising=False)
        monkeypatch.setattr(store, "load", lambda sid: self.loads.append(sid) or load(sid), raising=False)

    async def open(self, *keys: SessionKey) -> None:
        """Open a socket for each."""
        for key in keys:
            told = self.told[key] = []

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await receive()

            async def send(message: Any, told: Any = told) -> None:
                told.append((message["code"], message["reason"]))

            serving = LiveSessions(app, every=EVERY_SECONDS)(scope_of(key), asyncio.Event().wait, send)
            self._serving.append(asyncio.create_task(serving))
        await self.asked(3)

    async def asked(self, times: int) -> None:
        """Wait until the store was asked so many times more, and once more for the answers."""
        until = self.questions + times + 1
        async with asyncio.timeout(20):
            while self.questions < until:
                await asyncio.sleep(EVERY_SECONDS / 4)

    async def close(self) -> None:
        """Hang up."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch, store: Any) -> Connections:
    return Connections(monkeypatch)


def rotated(key: SessionKey, *, final: bool) -> SessionKey:
    """Give the session of a key a new one."""
    new = key.rotated()
    current_store().update(key.sid, key.verifier, Delta(new_verifier=new.verifier, final=final))
    return new


def run(sockets: Connections, story: Any) -> None:
    async def then_close() -> None:
        try:
            await story()
        finally:
            await sockets.close()

    asyncio.run(then_close())


def test_a_key_that_was_replaced_for_good_ends_its_connection_and_the_new_one_s_goes_on(sockets: Connections) -> None:
    old, other = new_session(), new_session()

    async def story() -> None:
        await sockets.open(old, other)
        new = rotated(old, final=True)
        await sockets.open(new)
        assert sockets.told == {old: [(4401, "key_changed")], new: [], other: []}
        current_store().end(new.sid, Ending("revoked"))
        await sockets.asked(2)
        assert sockets.told == {old: [(4401, "key_changed")], new: [(4401, "revoked")], other: []}

    run(sockets, story)


def test_the_browser_has_the_time_between_two_questions_to_get_its_new_key(sockets: Connections) -> None:
    old = new_session()

    async def story() -> None:
        await sockets.open(old)
        before = sockets.questions
        rotated(old, final=True)
        async with asyncio.timeout(20):
            while not sockets.told[old]:
                await asyncio.sleep(EVERY_SECONDS / 10)
        assert sockets.questions - before >= 2

    run(sockets, story)


def test_a_key_that_was_renewed_is_good_for_its_minute_of_grace(sockets: Connections, later: list[int]) -> None:
    old = new_session()

    async def story() -> None:
        await sockets.open(old)
        new = rotated(old, final=False)
        await sockets.open(new)
        assert sockets.told == {old: [], new: []}
        later[0] += ROTATION_GRACE_MS
        await sockets.asked(3)
        assert sockets.told == {old: [(4401, "key_changed")], new: []}

    run(sockets, story)


def test_who_has_the_key_from_before_does_not_learn_why_the_session_ended(sockets: Connections) -> None:
    old = new_session()
    new = rotated(old, final=False)

    async def story() -> None:
        await sockets.open(old, new, new_session())
        current_store().end(new.sid, Ending("revoked"))
        await sockets.asked(2)
        assert (sockets.told[old], sockets.told[new]) == ([(4401, "ended")], [(4401, "revoked")])

    run(sockets, story)


def test_who_connects_with_an_old_key_is_closed_too(sockets: Connections) -> None:
    old = new_session()
    new = rotated(old, final=True)

    async def story() -> None:
        await sockets.open(old, new)
        assert sockets.told == {old: [(4401, "key_changed")], new: []}

    run(sockets, story)


def test_a_session_that_nobody_knows_is_loaded_seldom_and_watched_from_when_it_is_there(sockets: Connections) -> None:
    key, here = SessionKey.generate(), new_session()

    async def story() -> None:
        await sockets.open(key, here)
        await sockets.asked(40)
        assert 2 <= sockets.loads.count(key.sid) <= 8
        assert here.sid not in sockets.loads
        assert sockets.told == {key: [], here: []}, "it may be there one day"
        current_store().create(key.sid, key.verifier, new_delta())
        await sockets.asked(2)
        current_store().end(key.sid, Ending("logout"))
        await sockets.asked(2)
        assert sockets.told == {key: [(4401, "logout")], here: []}

    run(sockets, story)


def test_one_that_came_and_went_between_two_questions_is_found_where_the_store_tells_of_it(
    sockets: Connections,
) -> None:
    key, here = SessionKey.generate(), new_session()

    async def story() -> None:
        await sockets.open(key, here)
        await sockets.asked(9)  # The next look is at the 16th question.
        current_store().create(key.sid, key.verifier, new_delta())
        current_store().end(key.sid, Ending("logout"))
        await sockets.asked(2)
        assert sockets.told == {key: [(4401, "logout")], here: []}

    run(sockets, story)
