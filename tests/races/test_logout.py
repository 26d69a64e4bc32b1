"""Whatever races with a logout: the session stays ended."""

from __future__ import annotations

import pytest

from tests.every_store import CACHED
from tests.processes import Site
from tests.races.baselines import EVERY_ENGINE, on_stock
from tests.races.browsers import Lane, Race, cookie_after
from tests.races.conftest import OURS

ROUNDS = 1000


def crowd_and_logout(lane: Lane, user: str) -> int:
    """Send three readers, three writers and a logout at once, and replay the old cookie as soon and as late as can be.

    The logout takes another place among the seven in each round, so that it meets the others at all their steps.
    """
    old = lane.log_in(user)
    crowd = [("/read/", {}) if number % 2 else ("/set/", {"key": f"k{number}", "value": user}) for number in range(6)]
    lane.rounds = getattr(lane, "rounds", 0) + 1
    place = lane.rounds % 7
    crowd.insert(place, ("/logout/", {}))
    for wire, (path, query) in zip(lane.wires, crowd, strict=False):
        wire.send(path, old, **query)
    assert lane[place].answer().json()["user"] == ""
    lane[7].send("/whoami/", old)
    for number in range(7):
        if number != place:
            lane[number].answer()
    at_once = lane[7].answer().json()["user"]
    return bool(at_once or lane.user(old))


def logout_of_a_stale_request(lane: Lane, user: str) -> int:
    """Let the session's key change between a logout's load and its end."""
    old = lane.log_in(user)
    with lane.hold("/held/logout/", old):
        new = cookie_after(lane.get("/rotate/", old), old)
    return any(lane.user(cookie) for cookie in (old, new))


def rotation_of_an_ended_session(lane: Lane, user: str) -> int:
    """Let the session end between a rotation's load and its change of key."""
    old = lane.log_in(user)
    with lane.hold("/held/rotate/", old) as rotation:
        lane.get("/logout/", old)
    return any(lane.user(cookie) for cookie in (old, cookie_after(rotation.answer, old)))


def rotation_and_logout_at_once(lane: Lane, user: str) -> int:
    """Send a rotation and a logout at once, right after the sign-in."""
    old = lane.log_in(user)
    rotation, _ = lane.together([("/rotate/", old, {}), ("/logout/", old, {})])
    return any(lane.user(cookie) for cookie in (old, cookie_after(rotation, old)))


def save_of_a_stale_request(lane: Lane, user: str) -> int:
    """Let the session end between a writer's load and its save (here stock Django is right: it looks, then saves)."""
    old = lane.log_in(user)
    with lane.hold("/held/set/", old, key="key", value="late") as late:
        lane.get("/logout/", old)
    return bool(lane.user(old) or late.answer.cookies.get("sessionid"))


@pytest.mark.parametrize("site", dict.fromkeys([*OURS, *CACHED]), indirect=True)
def test_no_reader_and_no_writer_brings_a_session_back_after_its_logout(site: Site) -> None:
    assert Race(crowd_and_logout).faults(site, ROUNDS) == 0


@on_stock("cached_db", "cache", "file")
def test_stock_readers_and_writers_bring_a_session_back_after_its_logout(stock_site: Site) -> None:
    assert Race(crowd_and_logout).shows(stock_site, 3 * ROUNDS)  # Ends with the first: luck alone needs that many.


def test_a_late_save_stores_nothing_and_sets_no_cookie_after_a_logout(site: Site) -> None:
    assert Race(save_of_a_stale_request).faults(site, 30) == 0


def test_a_logout_ends_a_session_whose_key_was_rotated_under_it(site: Site) -> None:
    assert Race(logout_of_a_stale_request).faults(site, 30) == 0


@on_stock("cache", "file", "sqlite", "cached_db")
def test_a_stock_logout_leaves_a_session_whose_key_was_rotated_under_it(stock_site: Site) -> None:
    assert Race(logout_of_a_stale_request).shows(stock_site, 3)


def test_a_rotation_does_not_bring_back_a_session_that_was_ended_under_it(site: Site) -> None:
    assert Race(rotation_of_an_ended_session).faults(site, 30) == 0


@on_stock("cache", "file", "sqlite", "cached_db")
def test_a_stock_rotation_brings_back_a_session_that_was_ended_under_it(stock_site: Site) -> None:
    assert Race(rotation_of_an_ended_session).shows(stock_site, 3)


def test_a_logout_and_a_rotation_at_once_sign_out(site: Site) -> None:
    assert Race(rotation_and_logout_at_once).faults(site, 150) == 0


@EVERY_ENGINE
def test_a_stock_logout_and_a_rotation_at_once_leave_a_session(stock_site: Site) -> None:
    assert Race(rotation_and_logout_at_once).shows(stock_site, 150)
