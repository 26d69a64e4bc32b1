"""The documentation's example for browsers, as it stands there, in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import FIREFOX, opened
from tests.browser.demo import DemoSite
from tests.docs.blocks import blocks_of

FRAME = """
const done = arguments[0];
const username = "alice", password = "demo-alice";
(async () => { %s
return %s; })().then(done, problem => done("failed: " + problem.message));
"""


def example() -> str:
    """Return the first block of JavaScript on the page about JSON."""
    return next(block.text for block in blocks_of("reference/json") if block.language == "javascript")


@pytest.fixture
def browser(driver: Driver) -> Iterator[Browser]:
    """A browser."""
    yield from opened(driver.open("json", FIREFOX))


def test_the_example_for_browsers_works(browser: Browser) -> None:
    start, use = example().split("\nawait ask", 1)
    with DemoSite("memory") as site:
        browser.visit(site.url)
        sign_in = 'await ask("GET", "/whoami/"); await ask("POST", "/login/", { username, password });'
        first = browser.remote.execute_async_script(
            FRAME % (f"{start}\n{sign_in}", '(await ask("GET", "/whoami/")).session.sid')
        )
        browser.visit(site.url)  # Without the cookies: now the person is on two devices.
        everything = f"{start}\nawait ask{use}"
        left = browser.remote.execute_async_script(FRAME % (everything, '(await ask("GET", "/sessions/")).sessions'))
        wrong = 'await ask("POST", "/login/", { username, password: "x" });'
        refused = browser.remote.execute_async_script(FRAME % (f'{start}\nawait ask("GET", "/whoami/"); {wrong}', "0"))
    assert [session["current"] for session in left] == [True]
    assert first not in [session["sid"] for session in left]
    assert refused.startswith("failed: Please enter a correct username and password")
