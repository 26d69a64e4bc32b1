"""Two requests write one session: both are kept, and what one removed stays removed."""

from __future__ import annotations

from tests.processes import Site
from tests.races.baselines import EVERY_ENGINE
from tests.races.browsers import Lane, Race
from tests.trust import WHOLE

WRITERS = 32
INCREMENTS = 100 if WHOLE else 40


def many_writers(lane: Lane, user: str) -> int:
    """Set one key each by many requests at once; return how many are missing."""
    cookie = lane.new_session()
    lane.together([("/set/", cookie, {"key": f"k{number}", "value": number}) for number in range(WRITERS)])
    items = lane.items(cookie)
    return sum(items.get(f"k{number}") != str(number) for number in range(WRITERS))


def many_increments(lane: Lane, user: str) -> int:
    """Add one by many requests at once; return how many are missing."""
    cookie = lane.new_session()
    lane.together([("/incr/", cookie, {"key": "counter"})] * INCREMENTS)
    return INCREMENTS - int(str(lane.items(cookie).get("counter", 0)))


def stale_writer(lane: Lane, user: str) -> int:
    """Remove a privilege while another request, which has it loaded, is about to set another key."""
    cookie = lane.new_session(sudo="yes")
    with lane.hold("/held/set/", cookie, key="key", value="other"):
        lane.get("/delete/", cookie, key="sudo")
    items = lane.items(cookie)
    assert items["key"] == "other"
    return "sudo" in items


def stale_reader(lane: Lane, user: str) -> int:
    """Remove a list that another request has read, and which has its session saved without a change."""
    cookie = lane.new_session()
    lane.get("/nested/", cookie, value=1)
    with lane.hold("/held/touch/", cookie):
        lane.get("/delete/", cookie, key="nested")
    return "nested" in lane.items(cookie)


def readers_and_a_removal(lane: Lane, user: str) -> int:
    """Remove a key among six requests which only read, or set another key."""
    cookie = lane.new_session(sudo="yes")
    crowd = [("/touch/", cookie, {}), ("/read/", cookie, {}), ("/set/", cookie, {"key": "other", "value": 1})] * 2
    lane.together([*crowd[:3], ("/delete/", cookie, {"key": "sudo"}), *crowd[3:]])
    return "sudo" in lane.items(cookie)


def test_writers_of_different_keys_at_once_are_all_kept(site: Site) -> None:
    assert Race(many_writers, connections=WRITERS).faults(site, 9) == 0


@EVERY_ENGINE
def test_stock_writers_of_different_keys_at_once_lose_each_others_keys(stock_site: Site) -> None:
    assert Race(many_writers, connections=WRITERS).shows(stock_site, 30)


def test_increments_at_once_are_all_counted(site: Site) -> None:
    assert Race(many_increments, connections=INCREMENTS).faults(site, 2, lanes=1) == 0


@EVERY_ENGINE
def test_stock_increments_at_once_are_lost(stock_site: Site) -> None:
    assert Race(many_increments, connections=INCREMENTS).shows(stock_site, 6)


def test_a_stale_save_does_not_give_back_a_key_that_another_request_removed(site: Site) -> None:
    assert Race(stale_writer).faults(site, 30) == 0


@EVERY_ENGINE
def test_a_stale_stock_save_gives_back_a_key_that_another_request_removed(stock_site: Site) -> None:
    assert Race(stale_writer).shows(stock_site, 3)


def test_a_key_removed_here_and_only_read_there_stays_removed(site: Site) -> None:
    assert Race(stale_reader).faults(site, 30) == 0


@EVERY_ENGINE
def test_a_key_removed_here_and_only_read_there_comes_back_in_stock_django(stock_site: Site) -> None:
    assert Race(stale_reader).shows(stock_site, 3)


def test_a_removed_key_stays_removed_among_many_requests(site: Site) -> None:
    assert Race(readers_and_a_removal).faults(site, 150) == 0


@EVERY_ENGINE
def test_a_removed_key_comes_back_among_many_stock_requests(stock_site: Site) -> None:
    assert Race(readers_and_a_removal).shows(stock_site, 600)
