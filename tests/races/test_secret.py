"""A change of ``SECRET_KEY`` under load: one session stays, nothing is lost, and then the old secret can go."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.processes import Site, WSGISite
from tests.races.browsers import Lane, cookie_after
from tests.races.conftest import OURS, Engines
from tests.trust import WHOLE

REQUESTS = 16
KEYS = {f"k{number}" for number in range(REQUESTS)}
OLD = "an old secret for tests only, an old secret for tests only"
NEW = "a new secret for tests only, a new secret for tests only"


def visit(settings: dict[str, Any], workers: int = 1) -> Site:
    """Return a site; several of them, one after the other, serve the sessions of one engine."""
    return WSGISite(workers=workers, threads=8, **settings)


def log_in_and_change_the_secret(settings: dict[str, Any]) -> tuple[list[str | None], set[str], dict[str, Any]]:
    """Sign in under the old secret and send writers at once under the new one.

    Return whom each was to its view, the names of the sessions that their cookies open, and what the last one holds.
    """
    with visit(settings | {"SECRET_KEY": OLD}) as site, closing(Lane(site, 2)) as lane:
        old = lane.log_in("user0")
    change = {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": [OLD]}
    with visit(settings | change, workers=2) as site, closing(Lane(site, REQUESTS)) as lane:
        # Each looks at its user, which is where Django notices the old secret.
        writers = [("/set_and_name_user/", old, {"key": f"k{number}", "value": number}) for number in range(REQUESTS)]
        answers = lane.together(writers)
        cookies = [cookie_after(answer, old) for answer in answers]
        users = [answer.json()["user"] for answer in answers if answer.status == 200]
        return users, lane.names(cookies), {"cookie": cookies[-1], "items": lane.items(cookies[-1])}


@pytest.fixture(params=[name for name in OURS if name != "memory"] if WHOLE else ["postgresql", "redis", "file"])
def our_settings(request: pytest.FixtureRequest, engines: Engines) -> dict[str, Any]:
    """Settings of each of our stores that outlives a process."""
    return engines.of(request.param)


def test_requests_at_once_across_a_change_of_the_secret_leave_one_session_and_lose_nothing(
    our_settings: dict[str, Any],
) -> None:
    users, names, last = log_in_and_change_the_secret(our_settings)
    assert users == ["user0"] * REQUESTS
    assert len(names) == 1
    assert last["items"].keys() >= KEYS
    with visit(our_settings | {"SECRET_KEY": NEW}) as site, closing(Lane(site, 2)) as lane:
        assert lane.user(last["cookie"]) == "user0", "the session went with the old secret"
        assert lane.items(last["cookie"]) == last["items"]


@pytest.mark.parametrize("name", ["cache", "sqlite"] if WHOLE else ["cache"])
def test_requests_at_once_across_a_change_of_the_secret_tear_a_stock_session_apart(name: str, engines: Engines) -> None:
    users, names, last = log_in_and_change_the_secret(engines.of(f"stock {name}"))
    assert users != ["user0"] * REQUESTS or len(names) > 1 or KEYS - last["items"].keys()
