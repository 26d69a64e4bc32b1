"""The looks of the pages: how much is seen at once, what is red, and what is printed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin
from tests.browser.test_pages import LOGIN, SESSIONS

RED = "rgb(179, 38, 30)"


@pytest.fixture
def browser(laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of alice's, who is signed in on twelve devices."""
    laptop.prefer(width=1100)
    begin(laptop, site, "/elsewhere/11/")
    yield laptop
    laptop.prefer()


def colour_of(browser: Browser, selector: str, name: str = "borderTopColor") -> str:
    return str(
        browser.run("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name)
    )


def test_twelve_devices_take_a_screen_and_a_half(browser: Browser) -> None:
    browser.go(SESSIONS)
    assert len(browser.texts(".session")) == 12
    assert browser.run("return document.documentElement.scrollHeight") <= 1.5 * 900
    lines = "(dl) => new Set([...dl.children].map((fact) => fact.offsetTop)).size"
    assert set(browser.run(f"return [...document.querySelectorAll('.session dl')].map({lines})")) == {1}


def test_a_field_that_is_wrong_has_a_red_border(browser: Browser) -> None:
    browser.go("/account/confirm/")
    password = "main [name=password]"
    assert colour_of(browser, password) != RED
    browser.find(password).send_keys("wrong")
    browser.find(password).submit()
    browser.wait_for("document.querySelector('.errorlist') !== null")
    browser.run("document.activeElement.blur()")
    assert colour_of(browser, password) == RED
    browser.ask("/end-everything/")
    browser.go(LOGIN)
    browser.type("username", "alice")
    browser.find(password).send_keys("wrong")
    browser.find(password).submit()
    browser.wait_for("document.querySelector('[role=alert]') !== null")
    assert colour_of(browser, password) == RED


@pytest.mark.parametrize("based_site", ["admin"], indirect=True, scope="session")
def test_all_others_is_red_in_the_frame_of_the_admin_too(laptop: Browser, based_site: DemoSite) -> None:
    laptop.prefer()
    begin(laptop, based_site, "/elsewhere/2/")
    laptop.go(SESSIONS)
    assert colour_of(laptop, ".danger") == colour_of(laptop, ".danger", "color") == RED


def test_what_is_printed_is_the_list_without_buttons(browser: Browser) -> None:
    browser.go(SESSIONS)
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert len([text for text in browser.texts(".session h3") if text]) == 12
    assert not any(browser.texts("button, a.button, nav, form"))
    assert browser.run("return getComputedStyle(document.querySelector('.session time'), '::after').content") != "none"
    browser.command("Emulation.setEmulatedMedia", media="")
