"""The list of devices keeps itself up to date, without a reload, and moves nothing under a pointer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin, enter
from tests.browser.test_pages import SESSIONS

CARDS = ".sessions li.session:not([aria-current])"
PLACES = f"return [...document.querySelectorAll('{CARDS}')].map((card) => [card.id, card.offsetTop, card.offsetHeight])"
LOOK = "document.dispatchEvent(new Event('visibilitychange'))"
ASKED = "return performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/digest/')).length"
HIDE = "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true})"


@pytest.fixture
def browser(laptop: Browser, phone: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of alice's, who is signed in nowhere else, on the list."""
    phone.visit(site.url)
    begin(laptop, site)
    laptop.console.clear()
    laptop.go(SESSIONS)
    laptop.run("window.sameDocument = true")
    yield laptop
    assert laptop.console == []


def looked(browser: Browser, condition: str) -> None:
    """Look as the page does when it is shown again, until a condition holds; nothing is loaded anew."""
    browser.wait_for(f"({LOOK}, {condition})")
    assert browser.run("return window.sameDocument") is True


def test_devices_that_sign_in_and_out_come_and_go_without_a_reload(browser: Browser, phone: Browser) -> None:
    assert "You are signed in on this device only." in browser.texts(".empty")
    enter(phone)
    looked(browser, f"document.querySelectorAll('{CARDS}').length === 1")
    assert browser.texts("[data-srvsession-count]") == ["(1)"]
    assert "Sign out all others" in browser.texts(".heading-row a")
    before = browser.run(PLACES)
    browser.run("return fetch('/elsewhere/3/')")
    looked(browser, f"document.querySelectorAll('{CARDS}').length === 4")
    assert browser.run(PLACES)[:1] == before, "the new ones are at the end"
    before = browser.run(PLACES)
    phone.go(SESSIONS)
    phone.press("Sign out", within="header")
    looked(browser, "document.querySelector('[data-srvsession-ended]') !== null")
    assert browser.run(PLACES) == before, "nothing moves"
    assert browser.texts("[data-srvsession-ended] .end") == ["Signed out"]
    assert browser.texts("[data-srvsession-ended] button") == []
    assert browser.texts("[data-srvsession-count]") == ["(3)"]
    # What is new works as what was there.
    browser.click("Sign out", within=f"{CARDS}:last-child")
    browser.wait_for("document.querySelectorAll('[data-srvsession-ended]').length === 2")
    assert browser.run("return window.sameDocument") is True


def test_a_page_that_is_not_seen_asks_nothing(browser: Browser) -> None:
    looked(browser, f"(() => {{ {ASKED} }})() > 0")
    browser.run(HIDE, True)
    browser.run(LOOK)
    asked = browser.run(ASKED)
    browser.run(f"{LOOK}; {LOOK}")
    assert browser.run(ASKED) == asked
    browser.run(HIDE, False)
    looked(browser, f"(() => {{ {ASKED} }})() > {asked}")


def test_who_was_signed_out_here_is_told_so(browser: Browser) -> None:
    browser.run("return fetch('/end-all/revoked/')")
    browser.wait_for(f"({LOOK}, document.querySelector('h1')?.textContent === 'Sign in')")
