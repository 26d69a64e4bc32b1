"""A burst of requests at the moment in which the session is about to run out, and each of them renews it.

Reported of rolling sessions: a page that sends twenty requests at once signs its reader out, or loses what all but one
of them have stored (CodeIgniter 154 and 1283; express-session, which saves the whole session for each).

Right: each request is signed in, each value is kept, and the session lives on from the last of them.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest

from tests.patience import patient
from tests.processes import Site
from tests.races.browsers import Lane
from tests.races.conftest import OURS
from tests.reports.sites import Sites
from tests.trust import WHOLE, rounds

BURST = 20
SECONDS = round(patient(2)) + 1
ROLLING: dict[str, Any] = {"SESSION_SAVE_EVERY_REQUEST": True}


def burst(site: Site, user: str) -> tuple[set[str], set[str], str]:
    """Send the requests when a third of the lifetime is left; return who was seen, what was kept, and who is there."""
    with closing(Lane(site, BURST)) as lane:
        cookie = lane.log_in(user)
        lane.get("/roll/", cookie, seconds=SECONDS)
        rolled = time.monotonic()
        time.sleep(SECONDS * 2 / 3)  # The session's time is what this is about: there is nothing else to wait for.
        values = {f"key{number}": str(number) for number in range(BURST)}
        answers = lane.together(
            [("/set_and_name_user/", cookie, {"key": key, "value": value}) for key, value in values.items()]
        )
        seen = {answer.json()["user"] if answer.status == 200 else str(answer.status) for answer in answers}
        time.sleep(max(rolled + SECONDS * 1.2 - time.monotonic(), 0))
        stands = lane.get("/read/", cookie).json()
        return seen, {key for key in values if stands["items"].get(key) == values[key]}, stands["user"]


@pytest.mark.parametrize("name", OURS if WHOLE else ["redis"])
def test_a_burst_of_requests_that_renew_a_session_about_to_go_loses_no_update_and_signs_nobody_out(
    sites: Sites, name: str
) -> None:
    for _ in range(rounds(3)):
        seen, kept, user = burst(sites.of(name, **ROLLING), "user3")
        assert seen == {"user3"}
        assert len(kept) == BURST
        assert user == "user3"


def test_a_stock_burst_loses_updates(sites: Sites) -> None:
    assert any(len(burst(sites.of("stock cache", **ROLLING), "user3")[1]) < BURST for _ in range(3))
