"""Whatever races with a session's end by time: it does not live longer than the last word said."""

from __future__ import annotations

import pytest

from tests.processes import Site
from tests.races.baselines import EVERY_ENGINE, on_stock
from tests.races.browsers import Lane, Race

TEN_MINUTES = 600


def late_request(path: str) -> Race:
    """Let a signed-in session expire while a request, which has it loaded, is about to do something."""

    def one_round(lane: Lane, user: str) -> int:
        cookie = lane.log_in(user)
        with lane.hold(path, cookie, key="key", value="late"):
            lane.get("/expire/", cookie)
        return bool(lane.user(cookie))

    return Race(one_round)


def stale_touch(shorten: str, touch: str) -> Race:
    """Shorten a session's life to ten minutes while a request, which has it loaded, is about to touch it."""

    def one_round(lane: Lane, user: str) -> int:
        cookie = lane.log_in(user)
        with lane.hold(touch, cookie):
            lane.get(shorten, cookie)
        return float(lane.get("/seconds_left/", cookie).json()["seconds"]) > TEN_MINUTES

    return Race(one_round)


@pytest.mark.parametrize("path", ["/held/set/", "/held/touch/", "/held/rotate/", "/held/incr/", "/held/read/"])
def test_nothing_that_comes_after_its_expiry_revives_a_session(site: Site, path: str) -> None:
    assert late_request(path).faults(site, 30) == 0


@pytest.mark.parametrize("path", ["/held/set/", "/held/touch/"])
@on_stock("file", "sqlite", "postgresql", "mariadb", "cached_db")  # on the cache alone it is a matter of luck
def test_a_stock_save_that_comes_after_its_expiry_revives_a_session(stock_site: Site, path: str) -> None:
    assert late_request(path).shows(stock_site, 3)


@pytest.mark.parametrize("touch", ["/held/touch/", "/held/touch_at_once/", "/held/read/"])
@pytest.mark.parametrize("shorten", ["/shorten/", "/shorten_lifetime/"])
def test_a_touch_does_not_undo_a_shorter_expiry(site: Site, shorten: str, touch: str) -> None:
    assert stale_touch(shorten, touch).faults(site, 15) == 0


@pytest.mark.parametrize("shorten", ["/shorten/", "/shorten_lifetime/"])
@EVERY_ENGINE
def test_a_stock_touch_undoes_a_shorter_expiry(stock_site: Site, shorten: str) -> None:
    assert stale_touch(shorten, "/held/touch/").shows(stock_site, 3)
