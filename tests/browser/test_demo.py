"""``make demo``: its home in two languages, what it lets people try, and the outage that a button brings about."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite
from tests.patience import patient
from tests.processes import Visitor
from tests.runs import ROOT, Job, new_directory, wait_until
from tests.servers import RedisServer, find_program, free_port, missing

HEADLINE = "Sessions you can see, end and trust"
AWAY = "Temporarily unavailable"


@contextmanager
def running_demo(**variables: str) -> Iterator[tuple[str, Job]]:
    """Run what ``make demo`` runs; yields its address."""
    port = free_port()
    directory = new_directory(f"demo-{port}")
    env = {"PYTHONPATH": str(ROOT), "SRVSESSION_DEMO_DATA": str(directory), "SRVSESSION_DEMO_OUTAGE": "6", **variables}
    job = Job([sys.executable, "-m", "example_project", f"--port={port}"], directory, env=env)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}"), job)
        yield f"http://127.0.0.1:{port}", job
    finally:
        job.kill()


def _answers(url: str) -> bool:
    try:
        return Visitor(url, seconds=5).get("/").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def demo_on_sqlite() -> Iterator[tuple[str, Job]]:
    """The demo as it begins: there is no database yet."""
    with running_demo() as running:
        yield running


@pytest.fixture(scope="module")
def demo_on_redis() -> Iterator[tuple[str, Job]]:
    """The demo with a Redis of its own; the last test of it ends it."""
    if find_program("redis-server", "valkey-server") is None:
        missing("redis-server")
    with running_demo(SRVSESSION_DEMO_ENGINE="redis") as running:
        yield running


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_button_takes_the_store_away_and_nobody_is_signed_out(
    store: str, laptop: Browser, request: pytest.FixtureRequest
) -> None:
    url, _ = request.getfixturevalue(f"demo_on_{store}")
    laptop.visit(url)
    laptop.press("Sign in as alice")
    laptop.press("+ Pears")
    assert laptop.heading == "Hello, alice"
    began = time.monotonic()
    laptop.press("Take the store away")
    assert laptop.heading == AWAY, laptop.texts("[role=status] p")
    while laptop.heading == AWAY:
        assert time.monotonic() < began + patient(30), "The store did not come back."
        time.sleep(1)
        laptop.go("/")
    assert laptop.heading == "Hello, alice"
    assert laptop.texts("#cart dd") == ["Pears"]
    assert laptop.texts("[role=status] p") == [
        "The store was away a moment ago. You are still signed in, and your cart is as it was."
    ]


def test_the_redis_of_the_demo_ends_with_it_however_it_ends(demo_on_redis: tuple[str, Job]) -> None:
    _, job = demo_on_redis
    (keeper,) = psutil.Process(job.process.pid).children()
    (server,) = keeper.children()
    os.kill(job.process.pid, signal.SIGKILL)
    assert psutil.wait_procs([keeper, server], timeout=patient(20))[1] == []


def test_a_redis_that_the_demo_did_not_start_is_not_taken_away(redis_server: RedisServer, laptop: Browser) -> None:
    with DemoSite("redis", redis=redis_server.url) as site:
        laptop.visit(site.url)
        assert laptop.texts("#outage button") == []
        assert "a Redis that the demo itself has started" in laptop.find("#outage").text


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    with DemoSite("db") as site:
        yield site


@pytest.mark.parametrize(
    ("language", "width", "scheme"),
    [("en", 320, "light"), ("ko", 390, "dark"), ("en", 1280, "dark"), ("ko", 1280, "light")],
)
def test_the_home_is_accessible_and_fits_every_screen(
    site: DemoSite, laptop: Browser, language: str, width: int, scheme: str
) -> None:
    laptop.visit(site.url)
    _ = laptop.console  # What other tests have left there.
    try:
        for _ in ("stranger", "alice"):
            laptop.prefer(language=language, width=width, scheme=scheme)
            laptop.go("/")
            assert violations(laptop) == []
            assert laptop.run("return document.documentElement.scrollWidth") <= width
            assert laptop.run("return document.documentElement.lang") == language
            assert laptop.console == []
            if "alice" not in laptop.heading:
                laptop.find(".doors button").click()
                laptop.wait_for("document.querySelector('h1').textContent.includes('alice')")
    finally:
        laptop.prefer()


def test_who_prefers_another_language_says_so_with_a_button(site: DemoSite, laptop: Browser) -> None:
    laptop.visit(site.url)
    laptop.press("한국어")
    assert laptop.heading == "보고, 끝내고, 믿을 수 있는 세션"
    laptop.press("English")
    assert laptop.heading == HEADLINE


def test_two_browsers_see_each_other_and_the_counter_misses_nothing(
    site: DemoSite, laptop: Browser, phone: Browser
) -> None:
    for browser in (laptop, phone):
        browser.visit(site.url)
        browser.press("Sign in as bob")
    laptop.go("/")
    assert laptop.find("#devices").text == "2"
    before = int(laptop.find("#views").text)
    laptop.press("Count 20 at once")
    assert int(laptop.find("#views").text) == before + 21
    assert laptop.texts("[role=status] p") == [
        "20 requests at once: the counter went up by 20, and gave no number twice."
    ]
