"""The main story, with two real browsers, on every store by changing the engine alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.browsers import Browser, Driver
from tests.browser.demo import DemoSite

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
STORES = ["memory", "sqlite", "postgresql", "mariadb", "redis", "file"]


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """The chromedriver of all browsers."""
    driver = Driver()
    yield driver
    driver.job.stop()


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


@pytest.fixture(params=STORES)
def site(request: pytest.FixtureRequest) -> Iterator[DemoSite]:
    """The example project on each store in turn."""
    with new_site(request.param, request) as site:
        yield site


def new_site(store: str, request: pytest.FixtureRequest) -> DemoSite:
    if store == "redis":
        return DemoSite("redis", redis=request.getfixturevalue("redis_server").url)
    if store in ("postgresql", "mariadb"):
        server: Any = request.getfixturevalue(f"{store}_server")
        server.create_database("demo")
        return DemoSite("db", database=server.database_settings("demo"))
    return DemoSite("db" if store == "sqlite" else store)


def sign_in(browser: Browser, name: str) -> None:
    browser.follow("Sign in")
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.press("Sign in", within="main")
    assert browser.heading == f"Hello, {name}"


def views(browser: Browser) -> int:
    return int(browser.find("#views").text)


def test_a_person_sees_both_sessions_and_ends_one(site: DemoSite, laptop: Browser, phone: Browser) -> None:
    for browser in (laptop, phone):
        browser.visit(site.url)
        sign_in(browser, "alice")

    before = views(laptop)
    laptop.go("/")
    laptop.go("/")
    assert views(laptop) == before + 2

    laptop.follow("Your sessions")
    assert sorted(laptop.texts(".sessions h2")) == ["Firefox on Linux", "Mobile Safari on iOS"]
    assert laptop.texts(".sessions [aria-current] h2") == laptop.texts(".sessions li:has(strong) h2")
    assert laptop.texts(".sessions li[aria-current=true] h2") == ["Firefox on Linux"]

    laptop.press("Sign out", within=".sessions li:not([aria-current])")
    assert laptop.texts("[role=status] p") == ["Signed out: Mobile Safari on iOS."]
    assert laptop.texts(".sessions h2") == ["Firefox on Linux"]

    phone.go("/")
    assert phone.heading == "Hello"
    phone.go("/account/sessions/")
    assert phone.heading == "Sign in"
    laptop.go("/")
    assert laptop.heading == "Hello, alice"
    assert views(laptop) == before + 3
