"""A limit of three sessions per user, and fifty sign-ins at once.

The baseline counts, then deletes or refuses, as sites do it by hand (``tests.races.limited``).
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.processes import Site
from tests.races.baselines import on_stock
from tests.races.browsers import Lane, Race, cookie_after
from tests.trust import WHOLE

LIMIT = 3
LOGINS = 50

either_policy = pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
refusing = pytest.mark.parametrize("policy", ["end_oldest", "refuse"] if WHOLE else ["refuse"])


def miss(lane: Lane, user: str, policy: str, path: str) -> int:
    """Sign in by many browsers at once; return by how many sessions, of those that work or are listed, it misses."""
    set_limit(lane, limit=LIMIT, policy=policy)
    try:
        answers = lane.together([(path, None, {"user": user})] * LOGINS)
    finally:
        set_limit(lane, limit=0)
    refused = [answer for answer in answers if answer.json()["refused"]]
    still_in = [answer for answer in refused if answer.json()["user"] or cookie_after(answer, None)]
    alive = lane.names([cookie for answer in answers if (cookie := cookie_after(answer, None))])
    listed = lane.sessions(user)
    lane.get("/revoke_all/", user=user)
    return max(abs(len(alive) - LIMIT), len(alive ^ listed), len(still_in))


def set_limit(lane: Lane, **settings: object) -> None:
    """Change the settings of all processes: the connections are theirs in turn."""
    lane.together([("/limit/", None, settings)] * lane.site.workers)


def race(policy: str, path: str = "/log_in_within_limit/") -> Race:
    return Race(partial(miss, policy=policy, path=path), connections=LOGINS)


@either_policy
def test_of_fifty_sign_ins_at_once_as_many_sessions_live_as_the_limit_allows(site: Site, policy: str) -> None:
    assert race(policy).faults(site, 1, lanes=1) == 0


@refusing
def test_sign_ins_inside_of_transactions_keep_the_limit_too(site: Site, policy: str) -> None:
    assert race(policy, "/log_in_atomically/").faults(site, 1, lanes=1) == 0


@on_stock("cache", "sqlite", "postgresql", "mariadb")
@either_policy
def test_a_limit_that_counts_and_deletes_by_hand_is_not_kept(stock_site: Site, policy: str) -> None:
    assert race(policy).shows(stock_site, 5, lanes=1)
