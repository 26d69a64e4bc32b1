"""Browsers, and the example project to visit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser, Driver
from tests.browser.demo import DemoSite

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """The example project, on SQLite."""
    with DemoSite("db") as site:
        yield site


@pytest.fixture(scope="session")
def laptop(driver: Driver) -> Iterator[Browser]:
    """A browser that says it is Firefox on Linux."""
    yield from opened(driver.open("laptop", FIREFOX))


@pytest.fixture(scope="session")
def phone(driver: Driver) -> Iterator[Browser]:
    """A browser that says it is Safari on a phone."""
    yield from opened(driver.open("phone", SAFARI))


def opened(browser: Browser) -> Iterator[Browser]:
    yield browser
    browser.remote.quit()
