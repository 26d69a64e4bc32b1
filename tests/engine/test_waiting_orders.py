"""All sessions of a user end while one of them changes its place, in every order of the steps of both."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.signals import setting_changed

from django_srvsession.backends.memory import MemoryStore, SessionStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import ending, going_back, reading, waiting
from django_srvsession.engine.going_back import give_back
from django_srvsession.records import AUTH_KEYS, NO_CLIENT, Ending
from django_srvsession.store.face import BlockingFace, run_blocking
from tests.engine import second_memory
from tests.engine.other_engine import OtherEngine, other
from tests.orders import most_orders, some_orders
from tests.test_interleavings import HoldingFace, hold
from tests.trust import WHOLE, rounds

__all__ = ["other"]

pytestmark = pytest.mark.parametrize("other", ["cache"], indirect=True)
USER = dict(zip(AUTH_KEYS, ("7", "django.contrib.auth.backends.ModelBackend", "0" * 64), strict=True))
HOW = Ending("revoked")
ORDERS = 100_000 if WHOLE else 60
"""All, or some of them."""


class Held:
    """A procedure that goes on from one call of a store to the next."""

    def __init__(self, procedure: Coroutine[Any, Any, Any]) -> None:
        self.is_done = False
        self._procedure, self._context = procedure, copy_context()
        self.step()

    def step(self) -> None:
        """Do the call that it waits for, and all else up to the next one."""
        try:
            self._context.run(self._procedure.send, None)
        except StopIteration:
            self.is_done = True


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that empties both stores in memory."""

    def empty() -> None:
        monkeypatch.setattr(MemoryStore, "table", SessionTable())
        monkeypatch.setattr(second_memory.SecondStore, "table", SessionTable())

    return empty


async def end_all(engine: Any = SessionStore) -> None:
    await waiting.end_all_of("7", (), HOW, HoldingFace)
    await ending.end_all_of(HoldingFace(engine.store()), SessionStore, "7", (), HOW)


async def read(session: Any) -> Any:
    return await reading.contents(session._state, HoldingFace(session.store()))


def signed_in(engine: Any) -> str:
    """Return the key of a new session."""
    session = engine()
    session.update(USER)
    session.save()
    return str(session.session_key)


def user_of(engine: Any, key: str) -> Any:
    return engine(key).get(AUTH_KEYS[0])


@pytest.mark.parametrize("already_ended", [0, 1, 2])
def test_one_that_is_carried_over(other: OtherEngine, tables: Callable[[], None], already_ended: int) -> None:
    def prepare() -> tuple[str, list[Held]]:
        tables()
        key = signed_in(other.session_store)
        for _ in range(already_ended):
            run_blocking(waiting.end_all_of("8", (), HOW, BlockingFace))
        return key, [Held(read(SessionStore(key))), Held(end_all())]

    for key, _, order in most_orders(prepare, ORDERS):
        assert user_of(SessionStore, key) is None, order
        assert not SessionStore.store().records("7"), order


def test_one_that_two_requests_carry_over_while_two_end_all(other: OtherEngine, tables: Callable[[], None]) -> None:
    def prepare() -> tuple[str, list[Held]]:
        tables()
        key = signed_in(other.session_store)
        return key, [*(Held(read(SessionStore(key))) for _ in range(2)), *(Held(end_all()) for _ in range(2))]

    for key, _, order in some_orders(prepare, rounds(1000)):
        assert user_of(SessionStore, key) is None, order
        assert not SessionStore.store().records("7"), order


def test_one_that_goes_back(other: OtherEngine, tables: Callable[[], None], settings: Any) -> None:
    settings.SRVSESSION_MIGRATE_FROM, settings.SRVSESSION_MIGRATE_TO = None, other.path
    theirs = other.session_store

    async def go(key: str) -> None:
        session = SessionStore(key)
        face = HoldingFace(session.store())
        await reading.contents(session._state, face)
        await give_back(session._state, face, theirs, lambda: NO_CLIENT)

    def prepare() -> tuple[str, list[Held]]:
        tables()
        key = signed_in(SessionStore)
        return key, [Held(go(key)), Held(end_all())]

    for key, _, order in most_orders(prepare, ORDERS):
        assert user_of(SessionStore, key) is None, order
        parsed = SessionStore(key)._state.key
        assert parsed is not None
        contents = dict(theirs(parsed.elsewhere()).items())
        stands = BlockingFace(SessionStore.store())
        found = run_blocking(reading.look(stands, parsed))
        is_reached = found is None or getattr(found, "reason", "") == "moved"  # Else nobody is led there.
        assert not (is_reached and contents) or run_blocking(waiting.ended_by(stands, contents)), order


def test_what_one_request_saves_there_is_not_undone_by_another_that_gives_back(
    other: OtherEngine, tables: Callable[[], None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_MIGRATE_FROM, settings.SRVSESSION_MIGRATE_TO = None, other.path
    theirs = other.session_store

    async def held_there(face: Any, function: Any, *args: Any) -> Any:
        await hold()
        return function(*args)

    monkeypatch.setattr(going_back, "there", held_there)

    async def go(key: str, name: str) -> None:
        session = SessionStore(key)
        face = HoldingFace(session.store())
        await reading.contents(session._state, face)
        await give_back(session._state, face, theirs, lambda: NO_CLIENT)
        await hold()
        parsed = SessionStore(key)._state.key
        assert parsed is not None
        there = theirs(parsed.elsewhere())
        assert there[AUTH_KEYS[0]] == "7"
        there[name] = 1
        there.save()

    def prepare() -> tuple[str, list[Held]]:
        tables()
        key = signed_in(SessionStore)
        return key, [Held(go(key, "a")), Held(go(key, "b"))]

    for key, _, order in most_orders(prepare, ORDERS):
        parsed = SessionStore(key)._state.key
        assert parsed is not None
        there = theirs(parsed.elsewhere())
        assert (there.get("a"), there.get("b")) == (1, 1), order


@pytest.mark.parametrize("direction", ["FROM", "TO"])
def test_one_that_moves_between_two_stores_of_ours(
    other: OtherEngine, tables: Callable[[], None], settings: Any, direction: str
) -> None:
    here, there = "django_srvsession.backends.memory", second_memory.__name__
    second = second_memory.SessionStore
    steps = {
        "FROM": {"SESSION_ENGINE": there, "SRVSESSION_MIGRATE_FROM": here, "SRVSESSION_MIGRATE_TO": None},
        "TO": {"SESSION_ENGINE": here, "SRVSESSION_MIGRATE_FROM": None, "SRVSESSION_MIGRATE_TO": there},
    }

    def be(name: str) -> None:
        """Be a server of a step from now on, without a pile of settings."""
        for setting, value in steps[name].items():
            setattr(django_settings._wrapped, setting, value)
            setting_changed.send(sender=None, setting=setting, value=value, enter=True)

    settings.SESSION_ENGINE = here  # What is undone afterwards.
    settings.SRVSESSION_MIGRATE_FROM, settings.SRVSESSION_MIGRATE_TO = None, there

    async def end() -> None:
        be(direction)
        await end_all(second if direction == "FROM" else SessionStore)

    async def carry(key: str) -> None:
        be("FROM")
        await read(second(key))

    def prepare() -> tuple[str, list[Held]]:
        tables()
        be("TO")
        key = signed_in(SessionStore)
        be("FROM")
        return key, [Held(carry(key)), Held(end())]

    for key, _, order in most_orders(prepare, ORDERS):
        be("FROM")
        assert user_of(second, key) is None, order
        assert not second.store().records("7"), order
        assert not SessionStore.store().records("7"), order
