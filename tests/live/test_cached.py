"""Live connections where the database stands behind Redis: the database knows what is live, with Redis or without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.conftest import Users
from tests.live.listening import all_of
from tests.live.servers import KINDS, LiveSite
from tests.live.test_ends import (
    WITHIN,
    all_go_on,
    connections_of,
    end_by_logout,
    how_ends,
    sid_of,
)
from tests.servers import RedisServer


@pytest.fixture(scope="module")
def site(live_settings: Any) -> Iterator[LiveSite]:
    """A site on SQLite behind Redis."""
    with KINDS["uvicorn"](**live_settings("cached_db")) as site:
        site.store = "cached_db"
        yield site


def test_an_end_closes_what_is_open_and_nothing_else(site: LiveSite, users: Users) -> None:
    visitors = [site.visitor(user) for user in users(2)]
    with all_of(*connections_of(visitors[0]), *connections_of(visitors[1])) as opened:
        end_by_logout(site, visitors[0], "")
        assert [one.ended(WITHIN) for one in opened[:3]] == how_ends(site, "logout")
        assert all_go_on(opened[3:])


def test_without_redis_connections_go_on_and_an_end_closes_them_all_the_same(
    site: LiveSite, users: Users, redis_server: RedisServer
) -> None:
    visitors = [site.visitor(user) for user in users(2)]
    with all_of(*connections_of(visitors[0]), *connections_of(visitors[1])) as opened:
        with redis_server.frozen():
            assert all_go_on(opened)
            # The database has ended it. That Redis was not told is said by a 503.
            assert site.visitor().get("/revoke/", sid=sid_of(visitors[0])).status == 503
            assert [one.ended(WITHIN) for one in opened[:3]] == how_ends(site, "revoked")
            assert all_go_on(opened[3:])
        site.visitor().get("/revoke/", sid=sid_of(visitors[1]))  # It may be a while before Redis is asked again.
        assert [one.ended(WITHIN) for one in opened[3:]] == how_ends(site, "revoked")
