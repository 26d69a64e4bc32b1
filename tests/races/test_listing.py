"""The list of a user's sessions, and ``revoke_all``, against logins that are under way.

The baseline is the list that sites make for themselves where stock Django has none (``tests.races.homemade``).
"""

from __future__ import annotations

from tests.processes import Site
from tests.races.baselines import on_stock
from tests.races.browsers import Lane, Race, cookie_after

LOGINS = 8
ROUNDS = 90

ON_A_HOME_MADE_LIST = on_stock("cache")


def unlisted(lane: Lane, user: str, others: list[str]) -> int:
    """Sign in by several browsers at once, among these requests; return how many sessions work and are not listed."""
    logins = [("/login/", None, {"user": user})] * LOGINS
    between = [(path, None, {"user": user}) for path in others]
    mixed = [request for pair in zip(logins, [*between, *[None] * LOGINS], strict=False) for request in pair if request]
    answers = lane.together(mixed)
    names = lane.names([cookie for answer in answers if (cookie := cookie_after(answer, None))])
    listed = lane.sessions(user)
    lane.get("/revoke_all/", user=user)
    return len(names - listed)


def logins(lane: Lane, user: str) -> int:
    """Sign in by several browsers at once."""
    return unlisted(lane, user, [])


def logins_and_revoke_all(lane: Lane, user: str) -> int:
    """End all sessions of a user who is just signing in."""
    return unlisted(lane, user, ["/revoke_all/"] * 3)


def logins_and_readers(lane: Lane, user: str) -> int:
    """Read the list of a user who is just signing in."""
    return unlisted(lane, user, ["/sessions/"] * LOGINS)


def test_parallel_logins_are_all_listed(site: Site) -> None:
    assert Race(logins, connections=LOGINS).faults(site, ROUNDS) == 0


@ON_A_HOME_MADE_LIST
def test_parallel_logins_are_not_all_in_a_home_made_list(stock_site: Site) -> None:
    assert Race(logins, connections=LOGINS).shows(stock_site, ROUNDS)


def test_every_session_that_works_after_revoke_all_is_listed(site: Site) -> None:
    assert Race(logins_and_revoke_all, connections=LOGINS + 3).faults(site, ROUNDS) == 0


@ON_A_HOME_MADE_LIST
def test_not_every_session_that_works_after_revoking_a_home_made_list_is_in_it(stock_site: Site) -> None:
    assert Race(logins_and_revoke_all, connections=LOGINS + 3).shows(stock_site, ROUNDS)


def test_a_reader_of_the_list_never_hides_a_login_in_progress(site: Site) -> None:
    assert Race(logins_and_readers, connections=2 * LOGINS).faults(site, ROUNDS) == 0


@ON_A_HOME_MADE_LIST
def test_a_reader_of_a_home_made_list_hides_a_login_in_progress(stock_site: Site) -> None:
    assert Race(logins_and_readers, connections=2 * LOGINS).shows(stock_site, ROUNDS)
