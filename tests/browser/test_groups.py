"""Sessions on one device stand together in the list; a press on one of them signs out that one, however often."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin
from tests.browser.test_activity import PHONE_WIDTH, refusals
from tests.browser.test_pages import SESSIONS
from tests.browser.test_second_clicks import ASKED, ENDED, place_of

BUTTON = ".group button"


@pytest.fixture(params=["scripts", "no scripts"])
def browser(request: pytest.FixtureRequest, laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of alice's, who is signed in three times on one device, and on two others."""
    laptop.prefer()
    begin(laptop, site, "/elsewhere/2/", "/again/3/")
    laptop.command("Emulation.setScriptExecutionDisabled", value=request.param == "no scripts")
    laptop.go(SESSIONS)
    yield laptop
    laptop.command("Emulation.setScriptExecutionDisabled", value=False)
    laptop.prefer()


def open_by_key(browser: Browser) -> None:
    browser.run("document.querySelector('.group summary').focus()")
    browser.press_key("ENTER")
    browser.wait_for("document.querySelector('.group details').open")


def test_a_group_opens_by_the_keyboard_and_shuts_nobody_out(browser: Browser) -> None:
    assert "Safari on iPhone 4 sessions" in browser.find(".group summary").text
    open_by_key(browser)
    assert len([button for button in browser.texts(BUTTON) if button == "Sign out"]) == 4
    browser.command("Emulation.setScriptExecutionDisabled", value=False)  # What looks at the page is a script.
    found: dict[str, object] = {}
    for scheme in ("light", "dark"):
        browser.prefer(scheme=scheme)
        found[scheme] = violations(browser)
    browser.prefer(width=PHONE_WIDTH)
    found["narrow"] = max(browser.run("return document.documentElement.scrollWidth - innerWidth"), 0)
    found["policy"] = refusals(browser)
    assert not any(found.values()), found


@pytest.mark.parametrize(("times", "later"), [(1, 0.45), (2, 0.2)])
def test_a_repeated_press_in_a_group_signs_out_one(browser: Browser, times: int, later: float) -> None:
    open_by_key(browser)
    cards = "[...document.querySelectorAll('.session')]"
    before = browser.run(f"return {cards}.map((card) => [card.id, card.offsetTop, card.offsetHeight])")
    place = place_of(browser, BUTTON, 1, "nearest")
    browser.press_at(place, times=times)
    browser.wait_for(f"{ENDED} || {ASKED}")
    if browser.heading == "Your devices":
        after = browser.run(f"return {cards}.map((card) => [card.id, card.offsetTop, card.offsetHeight])")
        assert after == before
    time.sleep(later)
    browser.press_at(place)
    browser.wait_for("document.readyState === 'complete'")
    browser.go(SESSIONS)
    assert "3 sessions" in browser.find(".group summary").text


def test_the_count_of_a_group_follows_its_sessions_without_a_new_page(laptop: Browser, site: DemoSite) -> None:
    laptop.prefer()
    begin(laptop, site, "/again/2/")
    laptop.go(SESSIONS)
    open_by_key(laptop)
    for left in ("1 session", "Signed out"):
        assert left not in laptop.find(".group summary").text
        laptop.press_at(place_of(laptop, BUTTON, 0, "nearest"))
        laptop.wait_for(f"document.querySelector('.group summary .count').textContent.trim() === '{left}'")
        laptop.wait_for(ENDED)
    assert laptop.texts("[data-srvsession-count]") == [""]
