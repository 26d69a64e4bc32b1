"""Sessions that are bound to a device, in Chromium with software keys, over TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.bound import BOUND, SESSION, BoundSite, bound_browser, cookies, give
from tests.browser.browsers import Browser, Driver

LOGIN = "/account/login/"


@pytest.fixture(scope="module")
def site() -> Iterator[BoundSite]:
    with BoundSite() as site:
        yield site


@pytest.fixture
def owner(driver: Driver, site: BoundSite) -> Iterator[Browser]:
    with bound_browser(driver) as browser:
        browser.site = site.url
        yield browser


@pytest.fixture
def other(driver: Driver, site: BoundSite) -> Iterator[Browser]:
    """A browser that cannot be bound."""
    with bound_browser(driver, can=False) as browser:
        browser.site = site.url
        yield browser


def sign_in(browser: Browser, name: str = "alice") -> None:
    browser.go(LOGIN)
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.find("main [name=password]").submit()
    browser.wait_for("location.pathname === '/'")


def sign_in_bound(browser: Browser) -> None:
    sign_in(browser)
    browser.until(lambda: BOUND in cookies(browser))


def test_the_stolen_cookie_is_refused_at_once_in_another_browser_while_the_owner_goes_on(
    site: BoundSite, owner: Browser, other: Browser
) -> None:
    sign_in_bound(owner)
    owner.go("/")
    assert owner.heading == "Hello, alice"
    other.go(LOGIN)
    give(other, site, **{SESSION: cookies(owner)[SESSION]})
    other.go("/account/sessions/")
    assert other.run("return location.pathname") == LOGIN
    owner.go("/account/sessions/")
    assert owner.texts(".sessions h3") == ["Chrome on Linux"]
