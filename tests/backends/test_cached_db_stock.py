"""What stock Django's ``cached_db`` does when its Redis is out: the baselines of ``test_cached_db_outages.py``.

Its races are in ``tests/races``: ``cached_db`` is among the engines of ``on_stock``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.cached_db_sites import (
    HERE,
    THERE,
    Outage,
    Stage,
    cached_db_site,
    frozen,
    frozen_then_killed,
    full,
    killed,
    new_sqlite,
    old_snapshot,
    replica,
    stage,
)
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def stock(django_db_setup: None, django_db_blocker: object) -> Iterator[Stage]:
    """A site of stock Django."""
    server = RedisServer(appendonly=True)
    server.start()
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        database = new_sqlite("stock_cached_db")
    engine = "django.contrib.sessions.backends.cached_db"
    with cached_db_site(engine, server, database) as site, stage(site, server) as opened:
        yield opened
    server.kill()


@pytest.mark.parametrize("outage", [frozen, killed, replica, old_snapshot])
def test_a_stock_session_comes_back_with_its_redis_after_a_logout(stock: Stage, outage: Outage) -> None:
    browser = stock.browser().log_in()
    thief = browser.copy()
    with outage(stock.server):
        browser.ask(HERE, "logout")
    assert [thief.user(process) for process in (HERE, THERE)] == ["ann", "ann"]


@pytest.mark.parametrize("outage", [frozen_then_killed, killed, replica])
def test_a_stock_session_comes_back_that_no_list_has_any_more(stock: Stage, outage: Outage) -> None:
    """Redis goes out when the logout has loaded the session: its row is deleted, its copy is not."""
    browser = stock.browser().log_in()
    thief = browser.copy()
    with browser.held("logout", outage, stock.server) as logout:
        assert logout.answer.status == 500
    assert [thief.user(process) for process in (HERE, THERE)] == ["ann", "ann"]
    assert thief.ask(HERE, "set", key="a", value="b").status == 400  # Django says that the session was deleted.


def test_a_stock_session_keeps_a_privilege_that_it_gave_up_while_redis_was_full(stock: Stage) -> None:
    browser = stock.browser().log_in()
    browser.ask(HERE, "set", key="sudo", value="yes")
    with full(stock.server):
        assert browser.ask(HERE, "delete", key="sudo").status == 200
        assert browser.items(HERE)["sudo"] == "yes"
    assert browser.items(THERE)["sudo"] == "yes"
