"""A thousand connections cost the store one question at a time, and nothing is left of ten thousand."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.listening import wait_for
from tests.live.servers import KINDS, LiveSite
from tests.processes import Visitor
from tests.runs import ROOT
from tests.trust import WHOLE

CROWD = 1000
ROUNDS = 10
ENDED = 250
EVERY_SECONDS = 1


@contextmanager
def crowd_of(site: LiveSite, cookies: Path, count: int, rounds: int) -> Iterator[Any]:
    """Have so many connections, in a process of their own."""
    argv = [sys.executable, "-m", "tests.live.crowd", Visitor(site.url).address, str(cookies), str(count), str(rounds)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        yield crowd
    assert crowd.returncode == 0


def census(site: LiveSite) -> Any:
    return Visitor(site.url).get("/census/").json()


def ends_of(crowd: Any) -> dict[str, int]:
    """Return how many connections have ended in which way."""
    print("count", file=crowd.stdin, flush=True)
    ends: dict[str, int] = ast.literal_eval(crowd.stdout.readline())
    return ends


@pytest.mark.skipif(not WHOLE, reason="make trust: ten thousand connections")
@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_is_one_question_at_a_time_and_leaves_nothing(live_settings: Any, tmp_path: Path, kind: str) -> None:
    with KINDS[kind](**live_settings("redis", TEST_LIVE_EVERY=EVERY_SECONDS)) as site:
        cookies = tmp_path / "cookies"
        cookies.write_text("\n".join(Visitor(site.url).get("/crowd/", count=CROWD).json()["keys"]))
        before = census(site)
        with crowd_of(site, cookies, CROWD, ROUNDS) as crowd:
            assert crowd.stdout.readline() == "open\n"
            census(site)
            asked: list[int] = []
            wait_for(lambda: len(asked.extend(census(site)["asked"]) or asked) >= 3)  # type: ignore[func-returns-value]
            assert asked == [CROWD] * len(asked)
            assert Visitor(site.url).get("/end_crowd/", count=ENDED).json()["ended"] == ENDED
            for number in range(ROUNDS):
                if number:
                    assert crowd.stdout.readline() == "open\n"
                wait_for(lambda: ends_of(crowd).get("open") == CROWD - ENDED)
                assert {*ends_of(crowd)} == {"open", "4401", "session-ended"}
                print("next", file=crowd.stdin, flush=True)
        wait_for(lambda: census(site)["held"] == 0)
        wait_for(lambda: census(site)["threads"] <= before["threads"])
        assert census(site)["tasks"] <= before["tasks"]
        assert "Traceback" not in site.log and "never retrieved" not in site.log
