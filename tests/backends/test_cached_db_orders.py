"""Two requests of one browser on Redis in front of the database, in every order of their steps in both stores.

A step is a round trip to Redis or a statement of the database; the servers are real. Each request has a store of its
own, as two processes have. When both are done every process must see what the database has: an ended session is gone,
a change is there, and no copy says anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import RequestFactory

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.memory import SessionStore as MemorySession
from django_srvsession.engine import settling
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.registry import using_store
from django_srvsession.middleware import put_cookie
from django_srvsession.records import Delta, Ending, Loaded, Tombstone
from django_srvsession.store import Store
from django_srvsession.store.face import BlockingFace, run_blocking
from django_srvsession.testing.sessions import create, new_delta, new_sid
from tests.backends.cached_db_steps import Worker, steps_can_be_stopped
from tests.orders import most_orders
from tests.servers import RedisServer
from tests.test_interleavings import (
    CHANGES,
    ENDS,
    PAIRS,
    View,
    contents_after,
    expires,
    name_of,
)
from tests.trust import WHOLE

ENGINE = "django_srvsession.backends.cached_db"
MOST_ORDERS = 100 if WHOLE else 35
"""How many orders of two requests are tried, where there are more than this."""

SIGNED_IN = {"kept": 1, "list": [1], "_auth_user_id": "7", "_auth_user_hash": "h"}

on_sqlite = pytest.mark.parametrize("database_alias", ["sqlite", "postgresql"] if WHOLE else ["sqlite"], indirect=True)
warm_or_cold = pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])


class Request:
    """A view and the middleware's answer for one cookie, done by a worker in a process of its own."""

    def __init__(self, worker: Worker, store: Store, view: View, cookie: str) -> None:
        self._worker, self._store, self._view, self._cookie = worker, store, view, cookie
        self.response = HttpResponse()
        worker.begin(self._answer)

    def _answer(self) -> None:
        request = RequestFactory().get("/")
        request.COOKIES[django_settings.SESSION_COOKIE_NAME] = self._cookie
        with using_store(self._store):
            session, face = new_session(self._cookie), BlockingFace(self._store)
            run_blocking(self._view(session, face))
            extended = run_blocking(settling.settle(session._state, face, 200, session.accessed))
            put_cookie(request, self.response, session, extended)

    @property
    def is_done(self) -> bool:
        return self._worker.is_done

    @is_done.setter
    def is_done(self, value: bool) -> None:
        raise AttributeError

    def step(self) -> None:
        """Do the next step."""
        self._worker.step()
        if self._worker.error:
            raise self._worker.error

    @property
    def new_cookie(self) -> str | None:
        """Return the key that the answer gave the browser; "" if it deleted the cookie."""
        morsel = self.response.cookies.get(django_settings.SESSION_COOKIE_NAME)
        return None if morsel is None else morsel.value


def new_session(cookie: str | None = None) -> Any:
    return import_module(ENGINE).SessionStore(cookie)


class Processes:
    """Two processes that serve requests, and a third that looks at what came of them."""

    def __init__(self, alias: str, server: RedisServer, prefix: str) -> None:
        self.alias, self.server, self.prefix = alias, server, prefix
        store_class = import_module(ENGINE).SessionStore.store_class
        self.serving: list[Store] = [store_class(), store_class()]
        self.looking: Store = store_class()
        self.workers = [Worker(alias), Worker(alias)]

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def browser(self, signed_in: bool, is_warm: bool) -> str:
        """Make a session that both processes have read, and return its key; unless ``is_warm`` Redis has no copy."""
        with using_store(self.looking):
            session = new_session()
            session.update(
                {"kept": 1, "list": [1]} | ({"_auth_user_id": "7", "_auth_user_hash": "h"} if signed_in else {})
            )
            session.save()
            while self.looking.clock_ms <= session.record.created_ms:
                pass  # The store's clock counts milliseconds, and the requests come after the sign-in.
        for store in self.serving:
            store.bookkeeping_rests_until = 0.0  # What nobody asked for is tried in each run.
            assert isinstance(store.load(session.sid), Loaded)
        if not is_warm:
            self.forget()
        return str(session.session_key)

    def forget(self) -> None:
        """Have Redis lose all copies."""
        with self.server.client() as client:
            for key in client.scan_iter(match=f"{self.prefix}*", count=1000):
                client.delete(key)

    def runs(self, *views: View, signed_in: bool = True, is_warm: bool = True) -> Iterator[tuple[str, list[Any], str]]:
        """Yield (cookie, finished requests, order) for every order of the steps of these requests, or for some."""

        def prepare() -> tuple[str, list[Request]]:
            cookie = self.browser(signed_in, is_warm)
            made = zip(self.workers, self.serving, views, strict=True)
            return cookie, [Request(worker, store, view, cookie) for worker, store, view in made]

        for cookie, requests, order in most_orders(prepare, MOST_ORDERS):
            told = f"{order}: {[worker.seen for worker in self.workers]}"
            self.agree(cookie, told)
            yield cookie, requests, told

    def agree(self, cookie: str, told: str) -> None:
        """See to it that each process finds what the database has, and finds it again."""
        sid = sid_of(cookie)
        row = plain(DatabaseStore(self.alias).load(sid))
        for store in (*self.serving, self.looking, *self.serving):
            assert plain(store.load(sid)) == row, told


def sid_of(cookie: str) -> str:
    key = SessionKey.parse(cookie)
    assert key is not None
    return key.sid


def plain(stored: Loaded | Tombstone | None) -> Any:
    """Return what a load says of a session, without when it was."""
    return (stored.record, stored.values) if isinstance(stored, Loaded) else type(stored)


def contents(store: Store, cookie: str | None) -> dict[str, Any]:
    """Return what a browser with this cookie has in its session, as a process sees it."""
    with using_store(store):
        return dict(new_session(cookie).load())


@pytest.fixture
def processes(
    database_alias: str, redis_alias: str, redis_server: RedisServer, redis_prefix: str
) -> Iterator[Processes]:
    """Two processes over a database and Redis."""
    with ExitStack() as stack:
        stack.enter_context(steps_can_be_stopped())
        made = Processes(database_alias, redis_server, redis_prefix)
        stack.callback(made.close)
        yield made


def of(views: list[View], *chosen: str) -> list[View]:
    """Return all of the views, or by default those that are chosen."""
    return views if WHOLE else [view for view in views if name_of(view) in chosen]


@warm_or_cold
@pytest.mark.parametrize("end", of(ENDS, "signs_out"), ids=name_of)
@pytest.mark.parametrize("change", of(CHANGES, "reads", "sets"), ids=name_of)
@on_sqlite
def test_an_ended_session_stays_ended_for_every_process(
    processes: Processes, change: View, end: View, is_warm: bool
) -> None:
    for cookie, requests, order in processes.runs(change, end, is_warm=is_warm):
        row = DatabaseStore(processes.alias).load(sid_of(cookie))
        if end is not expires:
            assert isinstance(row, Tombstone), order
        if not isinstance(row, Loaded):
            for key in (cookie, requests[0].new_cookie, requests[1].new_cookie):
                for store in (*processes.serving, processes.looking):
                    assert "kept" not in contents(store, key), order


@warm_or_cold
@pytest.mark.parametrize(("one", "other"), PAIRS if WHOLE else PAIRS[:1])
@on_sqlite
def test_two_changes_are_seen_by_every_process(processes: Processes, one: View, other: View, is_warm: bool) -> None:
    for cookie, _, order in processes.runs(one, other, is_warm=is_warm):
        expected = SIGNED_IN
        for view in (one, other):
            model = MemorySession()
            model.update(expected)
            expected = contents_after(view, model)
        for store in (*processes.serving, processes.looking):
            assert contents(store, cookie) == expected, order


CREATIONS: dict[str, Callable[[Store, Loaded], object]] = {
    "create": lambda store, wanted: store.create(wanted.record.sid, wanted.record.verifier, new_delta()),
    "restore": lambda store, wanted: store.restore(wanted),
}
CHANGES_MEANWHILE: dict[str, Callable[[Store, Loaded], object]] = {
    "end": lambda store, made: store.end(made.record.sid, Ending("revoked", by="admin")),
    "save": lambda store, made: store.update(made.record.sid, made.record.verifier, Delta(changed={"a": b"2"}), made),
}


@pytest.mark.parametrize(
    "is_repeated", [True, False] if WHOLE else [True], ids=lambda is_repeated: f"repeated-{is_repeated}"
)
@pytest.mark.parametrize("change", CHANGES_MEANWHILE.values(), ids=CHANGES_MEANWHILE)
@pytest.mark.parametrize("creation", CREATIONS.values(), ids=CREATIONS)
@on_sqlite
def test_what_happens_to_a_session_that_is_being_made_is_seen_by_every_process(
    processes: Processes, creation: Any, change: Any, is_repeated: bool
) -> None:
    """Whoever makes it, or makes it again, is slow; Redis loses all meanwhile."""
    database, worker = DatabaseStore(processes.alias), processes.workers[0]
    here, there = processes.serving
    for store in (here, there, processes.looking):
        store.load(create(store).record.sid)  # It knows Redis.
    done = 0
    for stop in range(100):
        wanted = Loaded(create(database).record._replace(sid=new_sid()), {}, database.clock_ms)
        if is_repeated:
            creation(database, wanted)
        worker.begin(lambda wanted=wanted: creation(here, wanted))  # type: ignore[misc]
        for _ in range(stop):
            worker.step()
        made = database.load(wanted.record.sid)
        if isinstance(made, Loaded):
            change(there, made)
            done += 1
        processes.forget()
        if worker.is_done:
            break
        while not worker.is_done:
            worker.step()
        row = plain(database.load(wanted.record.sid))
        for store in (here, there, processes.looking):
            assert plain(store.load(wanted.record.sid)) == row, (stop, worker.seen)
    assert done > 0
