"""Redis in front of the database is out: nobody is signed out by that, and nobody who signed out comes back.

A story is what a browser does before, during and after the outage, told to two processes of a real site; it yields when
the scene changes. By default all stories are told at once, in some of the ways in which Redis may be out; under ``make
trust`` each is also told alone, in each way. What stock Django does is in ``test_cached_db_stock.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.backends.cached_db_sites import (
    HERE,
    OUTAGES,
    THERE,
    Browser,
    Stage,
    cached_db_site,
    frozen,
    new_sqlite,
    stage,
    wait_until_due,
    with_user,
)
from tests.databases import add_database, remove_database
from tests.patience import patient
from tests.servers import PostgreSQLServer, RedisServer
from tests.trust import WHOLE

ENGINE = "django_srvsession.backends.cached_db"
AT_MOST_SECONDS = 1
RECOVERY_SECONDS = 2
LATER_SECONDS = patient(1.5)
"""When a copy is due where a test needs it for a while."""

Story = Callable[[Stage], Iterator[None]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ours(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[Stage]:
    """A site on our store with a Redis of its own: gunicorn on a database of this kind, or uvicorn on SQLite."""
    kind, server = request.param, RedisServer(appendonly=True)
    server.start()
    with django_db_blocker.unblock():
        database = new_database(f"outages_{kind}", kind, request)
    with cached_db_site(ENGINE, server, database, is_async=kind == "async") as site, stage(site, server) as opened:
        yield opened
    server.kill()


def new_database(name: str, kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return a new database, with ann."""
    if kind not in ("postgresql", "mariadb"):
        return new_sqlite(name)
    server = request.getfixturevalue(f"{kind}_server")
    server.create_database(name)
    return with_user(name, server.database_settings(name))


# Each yields three times: Redis goes out, it is back, and what was read before is due.


def stays_signed_in(stage: Stage) -> Iterator[None]:
    """Ann goes on working, in both processes."""
    browser = stage.browser().log_in()
    yield
    for process in (HERE, THERE):
        assert browser.user(process) == "ann"
        assert browser.ask(process, "set", key=f"during {process}", value="kept").status == 200
        assert browser.items(process)[f"during {process}"] == "kept"
    yield
    wanted = {f"{when} {process}" for when in ("during", "after") for process in (HERE, THERE)}
    for process in (HERE, THERE):
        assert browser.user(process) == "ann"
        assert browser.ask(process, "set", key=f"after {process}", value="kept").status == 200
    for process in (HERE, THERE):
        assert {key for key, value in browser.items(process).items() if value == "kept"} == wanted
    yield
    for process in (HERE, THERE):
        assert wanted <= browser.items(process).keys()
        assert browser.user(process) == "ann"
    assert browser.slowest_seconds < patient(AT_MOST_SECONDS)


def signs_in_meanwhile(stage: Stage) -> Iterator[None]:
    """Somebody comes when Redis is out."""
    browser = stage.browser()
    yield
    assert browser.ask(THERE, "login", user="ann").status == 200
    assert [browser.user(process) for process in (THERE, HERE)] == ["ann", "ann"]
    yield
    assert [browser.user(process) for process in (THERE, HERE)] == ["ann", "ann"]
    yield
    assert [browser.user(process) for process in (THERE, HERE)] == ["ann", "ann"]
    assert browser.slowest_seconds < patient(AT_MOST_SECONDS)


def signs_out(stage: Stage) -> Iterator[None]:
    """Ann signs out, again if she is told that it did not quite work; somebody has her old cookie."""
    browser = stage.browser().log_in()
    thief = browser.copy()
    yield
    status = browser.ask(HERE, "logout").status
    assert thief.copy().user(HERE) == ""  # Also if that was a 503: its row is deleted.
    yield
    assert thief.copy().user(HERE) == ""
    sign_out_again_if(status, browser)
    assert [thief.copy().user(process) for process in (THERE, HERE)] == ["", ""]
    yield
    assert [thief.user(process) for process in (THERE, HERE)] == ["", ""]
    assert max(browser.slowest_seconds, thief.slowest_seconds) < patient(AT_MOST_SECONDS)


def signs_out_as_redis_goes_out(stage: Stage) -> Iterator[None]:
    """The request has loaded its session when Redis goes out; from another tab ann signs out again."""
    browser = stage.browser().log_in()
    thief = browser.copy()
    with browser.hold("logout") as logout:
        yield
    assert thief.copy().user(HERE) == ""
    yield
    sign_out_again_if(logout.answer.status, browser)
    assert [thief.copy().user(process) for process in (THERE, HERE)] == ["", ""]
    yield
    assert [thief.user(process) for process in (THERE, HERE)] == ["", ""]


def sign_out_again_if(status: int, browser: Browser) -> None:
    """Sign out until that is acknowledged, where it was not; Redis is back by now."""
    assert status in (200, 503)
    began = time.monotonic()
    while status == 503:
        assert browser.cookie is not None
        assert time.monotonic() - began < patient(RECOVERY_SECONDS)
        status = browser.ask(HERE, "logout").status


def signs_out_once(stage: Stage) -> Iterator[None]:
    """Nobody repeats the logout, and no process but one knows of it."""
    browser = stage.browser().log_in()
    thief = browser.copy()
    yield
    browser.ask(HERE, "logout")
    yield
    assert thief.copy().user(HERE) == ""
    yield
    assert [thief.copy().user(process) for process in (THERE, HERE)] == ["", ""]
    assert thief.ask(THERE, "set", key="a", value="b").status == 200
    assert thief.user(HERE) == ""


def gives_up_a_privilege(stage: Stage) -> Iterator[None]:
    """What ann gives up is gone HERE at once, and for other processes when their copy is due."""
    browser = stage.browser().log_in()
    assert browser.ask(HERE, "set", key="sudo", value="yes").status == 200
    assert "sudo" in browser.items(THERE)
    yield
    assert browser.ask(HERE, "delete", key="sudo").status == 200
    assert "sudo" not in browser.items(HERE)
    yield
    assert "sudo" not in browser.items(HERE)
    yield
    assert [process for process in (THERE, HERE) if "sudo" in browser.items(process)] == []


def signs_out_everywhere(stage: Stage) -> Iterator[None]:
    """Ann ends all her sessions, of which a thief has one, and does so again if she is told that it did not work."""
    thief = stage.browser().log_in(user="bob")
    yield
    status = stage.browser().ask(HERE, "revoke_all", user="bob").status
    assert thief.copy().user(HERE) == ""
    yield
    began = time.monotonic()
    while status == 503:
        assert time.monotonic() - began < patient(RECOVERY_SECONDS)
        status = stage.browser().ask(HERE, "revoke_all", user="bob").status
    assert status == 200
    assert [thief.copy().user(process) for process in (THERE, HERE)] == ["", ""]
    yield
    assert [thief.copy().user(process) for process in (THERE, HERE)] == ["", ""]


HERE_ONLY: list[Story] = [
    signs_out_as_redis_goes_out,
    signs_out_everywhere,
    signs_out,
    gives_up_a_privilege,
    signs_out_once,
]
"""In which one process knows nothing of the outage."""
WITHOUT_GATES: list[Story] = [gives_up_a_privilege, signs_out, signs_out_once, stays_signed_in, signs_in_meanwhile]
"""What the site has for event loops."""
EVERYWHERE: list[Story] = [stays_signed_in, signs_in_meanwhile]

SOME_SCENES = [
    ("sqlite", HERE_ONLY, ["frozen", "replica", "old snapshot"]),
    ("sqlite", EVERYWHERE, ["frozen, then killed"]),
]
ALL_SCENES = [
    *(("sqlite", [story], list(OUTAGES)) for story in HERE_ONLY + EVERYWHERE),
    *(("async", [story], list(OUTAGES)) for story in WITHOUT_GATES),
    *(
        (database, stories, list(OUTAGES))
        for database in ("postgresql", "mariadb")
        for stories in (HERE_ONLY, HERE_ONLY + EVERYWHERE)
    ),
]


def go_on(stories: list[Iterator[None]], outage: str) -> None:
    """Have each story go on to its next scene."""
    for story in stories:
        try:
            next(story, None)
        except BaseException as error:
            error.add_note(f"Redis: {outage}; {story!r}")
            raise


@pytest.mark.parametrize(
    ("ours", "stories", "outages"), ALL_SCENES if WHOLE else SOME_SCENES, indirect=["ours"], scope="module"
)
def test_whatever_happens_to_redis_who_is_in_stays_in_and_who_is_out_stays_out(
    ours: Stage, stories: list[Story], outages: list[str]
) -> None:
    told: dict[str, list[Iterator[None]]] = {}
    for number, outage in enumerate(outages):
        ours.wait_until_well()
        first = number % len(stories)  # Each is the first to see some outage.
        told[outage] = [story(ours) for story in stories[first:] + stories[:first]]
        go_on(told[outage], outage)
        with OUTAGES[outage](ours.server):
            go_on(told[outage], outage)
        go_on(told[outage], outage)
        ours.wait_until_well(RECOVERY_SECONDS)  # Without a restart, in each process.
    wait_until_due()
    for outage, each in told.items():
        go_on(each, outage)


@pytest.mark.parametrize("ours", ["sqlite", "async"] if WHOLE else ["sqlite"], indirect=True, scope="module")
def test_a_frozen_redis_is_not_waited_for_by_each_request(ours: Stage) -> None:
    ours.wait_until_well()
    browser = ours.browser().log_in()
    with frozen(ours.server):
        browser.user(HERE)
        began = time.monotonic()
        for _ in range(10):
            assert browser.user(HERE) == "ann"
        assert time.monotonic() - began < patient(AT_MOST_SECONDS)


# The database is out.


@pytest.fixture(scope="module")
def apart(django_db_setup: None, django_db_blocker: Any, postgresql_server: PostgreSQLServer) -> Iterator[Stage]:
    """A site whose sessions are in a PostgreSQL that may be killed, and whose users are elsewhere."""
    server = RedisServer(appendonly=True)
    server.start()
    postgresql_server.create_database("sessions_apart")
    sessions = postgresql_server.database_settings("sessions_apart")
    with django_db_blocker.unblock():
        users = new_sqlite("users_apart")
        add_database("sessions_apart", sessions)
    databases = {"default": users, "sessions": sessions | {"CONN_MAX_AGE": 600}}
    router = "tests.backends.sessions_apart.SessionsApart"
    check = {"SRVSESSION_CACHE_CHECK": LATER_SECONDS}
    made = cached_db_site(ENGINE, server, users, DATABASES=databases, DATABASE_ROUTERS=[router], **check)
    with made as site, stage(site, server) as opened:
        yield opened
    server.kill()
    with django_db_blocker.unblock():
        remove_database("sessions_apart")


def told(browser: Browser) -> list[int]:
    """Return with what each process answers a page that only reads."""
    return [browser.ask(process, "whoami").status for process in (HERE, THERE)]


def wait_for(wanted: list[int], browser: Browser, seconds: float) -> None:
    """Wait until each process answers as wanted."""
    began = time.monotonic()
    while (answers := told(browser)) != wanted:
        assert time.monotonic() - began < patient(seconds), answers
        time.sleep(0.05)


def test_without_the_database_what_is_cached_is_read_until_its_check_is_due_and_writes_are_refused(
    apart: Stage, postgresql_server: PostgreSQLServer
) -> None:
    apart.wait_until_well()
    browser, leaver = apart.browser().log_in(), apart.browser().log_in()
    cookie = browser.cookie
    postgresql_server.kill()
    try:
        assert [browser.user(process) for process in (HERE, THERE)] == ["ann", "ann"]
        assert browser.ask(HERE, "set", key="a", value="b").status == 503
        assert leaver.ask(THERE, "logout").status == 503
        assert apart.browser().ask(HERE, "login", user="ann").status == 503
        assert [browser.user(process) for process in (THERE, HERE)] == ["ann", "ann"]
        wait_for([503, 503], browser, LATER_SECONDS * 2)
        assert (browser.cookie, leaver.cookie is None) == (cookie, False)
    finally:
        postgresql_server.ensure()
    wait_for([200, 200], browser, RECOVERY_SECONDS)
    assert [visitor.user(process) for visitor in (browser, leaver) for process in (HERE, THERE)] == ["ann"] * 4
    assert "a" not in browser.items(HERE)
    assert leaver.ask(THERE, "logout").status == 200
    assert [leaver.user(process) for process in (HERE, THERE)] == ["", ""]


def test_without_either_nobody_is_let_in_and_nobody_is_signed_out(
    apart: Stage, postgresql_server: PostgreSQLServer
) -> None:
    apart.wait_until_well()
    browser = apart.browser().log_in()
    cookie = browser.cookie
    postgresql_server.kill()
    apart.server.kill()
    try:
        assert told(browser) == [503, 503]
        for view in ("logout", "set"):
            assert browser.ask(HERE, view, key="a", value="b").status == 503
        apart.server.start()
        wait_for([503, 503], browser, 0)  # Nobody knows whether the copies that it had are of now.
    finally:
        apart.server.ensure()
        postgresql_server.ensure()
    wait_for([200, 200], browser, RECOVERY_SECONDS)
    assert browser.cookie == cookie
    assert [browser.user(process) for process in (HERE, THERE)] == ["ann", "ann"]
