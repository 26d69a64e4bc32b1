"""A second click never signs out what nobody chose: real double and late clicks at one place in the window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin
from tests.browser.test_pages import SESSIONS
from tests.trust import WHOLE

BUTTON = ".sessions li:not([aria-current]) button"
TOLD = "document.querySelector('[role=status] p') !== null"
ENDED_CARDS = "[data-srvsession-ended]"
ENDED = f"document.querySelector('{ENDED_CARDS}') !== null"
ASKED = "document.querySelector('[data-srvsession-question]') !== null"
OTHERS = 23


class Hand(NamedTuple):
    """How a person uses the pages: the size of the window in CSS pixels, and with what they press."""

    width: int
    height: int
    is_finger: bool


class Press(NamedTuple):
    """Which button is pressed and where it is in the window; then how often at once, and what comes later (seconds)."""

    number: int
    at: str
    times: int = 1
    later: tuple[float, ...] = ()


HANDS = {"desktop": Hand(1100, 800, is_finger=False), "phone": Hand(390, 700, is_finger=True)}
PRESSES = [
    Press(0, "nearest", 2),
    Press(9, "center", 1, (0, 0.45, 0.9)),
    Press(12, "start", 2),
    Press(-1, "end", 1, (0.3,)),
]
EVERY_PRESS = [
    Press(number, at, times, later)
    for number, at in [(0, "nearest"), (5, "start"), (5, "center"), (5, "end"), (-1, "end")]
    for times, later in [(1, (0, 0)), (1, (0.45, 0.45)), (1, (0.9,)), (1, (2.5,)), (2, ()), (3, (0.3,))]
]


@pytest.fixture(params=HANDS)
def hand(request: pytest.FixtureRequest, laptop: Browser) -> Iterator[Hand]:
    """Each hand in turn."""
    hand = HANDS[request.param]
    laptop.prefer(width=hand.width, height=hand.height)
    laptop.command("Emulation.setTouchEmulationEnabled", enabled=hand.is_finger)
    yield hand
    laptop.command("Emulation.setTouchEmulationEnabled", enabled=False)
    laptop.prefer()


@pytest.fixture(params=["scripts", "no scripts"])
def browser(request: pytest.FixtureRequest, laptop: Browser, site: DemoSite, hand: Hand) -> Iterator[Browser]:
    """A browser of alice's, who is signed in on many other devices; with and without JavaScript."""
    if hand.is_finger is (request.param == "scripts") and not WHOLE:
        pytest.skip("make trust: each with each")
    begin(laptop, site, f"/elsewhere/{OTHERS}/")
    laptop.command("Emulation.setScriptExecutionDisabled", value=request.param == "no scripts")
    laptop.go(SESSIONS)
    yield laptop
    laptop.command("Emulation.setScriptExecutionDisabled", value=False)


def place_of(browser: Browser, selector: str, number: int, at: str) -> tuple[int, int]:
    """Scroll so that an element is at the top, in the middle or at the bottom, and return where it is."""
    element = browser.run(f"return [...document.querySelectorAll('{selector}')].at({number})")
    browser.run(f"arguments[0].scrollIntoView({{block: '{at}', behavior: 'instant'}})", element)
    return browser.middle_of(element)


def signed_out(browser: Browser) -> int:
    """Return how many other devices are signed out; this one is not among them."""

    def is_list() -> bool:
        browser.go(SESSIONS)  # Again where the last press was still leading elsewhere.
        assert browser.heading != "Sign in"
        return bool(browser.run("return document.querySelector('.session[aria-current]') !== null"))

    browser.wait_for("document.readyState === 'complete'")
    browser.until(is_list)
    return OTHERS - int(browser.run(f"return document.querySelectorAll('{BUTTON}').length"))


def test_one_press_signs_out_one_device_however_often_it_is_repeated(browser: Browser, hand: Hand) -> None:
    for count, press in enumerate(EVERY_PRESS[: OTHERS - 6] if WHOLE else PRESSES, 1):
        place = place_of(browser, BUTTON, press.number, press.at)
        browser.press_at(place, touch=hand.is_finger, times=press.times)
        browser.wait_for(f"{ENDED} || {ASKED}")  # The question is what a quick second click on the next page leads to.
        for seconds in press.later:
            time.sleep(seconds)
            browser.press_at(place, touch=hand.is_finger)
        assert signed_out(browser) == count, press


def test_the_card_that_was_signed_out_and_all_others_stay_where_they_were(browser: Browser, hand: Hand) -> None:
    cards = "[...document.querySelectorAll('.session')]"
    places = f"return {cards}.map((card) => [card.id, card.offsetTop, card.offsetHeight])"
    for number in (3, 4):
        before = browser.run(places)
        signed_out_before = len(browser.texts(ENDED_CARDS))
        place = place_of(browser, BUTTON, number, "nearest")
        browser.press_at(place, touch=hand.is_finger)
        browser.wait_for(f"document.querySelectorAll('{ENDED_CARDS}').length > {signed_out_before} || {ASKED}")
        if browser.heading != "Your devices":  # Without scripts, the page that follows an end asks first.
            browser.press("Sign out", within="main")
        browser.wait_for(ENDED)
        assert browser.run(places) == before


def test_the_notice_is_seen_wherever_the_page_is_scrolled(browser: Browser, hand: Hand) -> None:
    place = place_of(browser, BUTTON, 12, "center")
    browser.press_at(place, touch=hand.is_finger)
    browser.wait_for(TOLD)
    for block in ("start", "end"):
        browser.run(f"document.querySelector('main').scrollIntoView({{block: '{block}', behavior: 'instant'}})")
        x, y = browser.middle_of(browser.find("[role=status] p"))
        assert 0 < x < hand.width
        assert 0 < y < hand.height


@pytest.mark.parametrize("later", [0.0, 0.45, 0.9] if WHOLE else [0.2])
def test_a_repeated_press_on_all_others_never_answers_its_question(browser: Browser, hand: Hand, later: float) -> None:
    place = place_of(browser, ".heading-row .button", 0, "nearest")
    browser.press_at(place, touch=hand.is_finger, times=2)
    for _ in range(2):
        time.sleep(later)
        browser.press_at(place, touch=hand.is_finger)
    assert browser.heading == f"Sign out {OTHERS} other devices?"
    assert signed_out(browser) == 0


@pytest.mark.parametrize("later", [0.0, 0.45, 0.9] if WHOLE else [0.2])
def test_a_repeated_answer_leaves_this_device_signed_in(browser: Browser, hand: Hand, later: float) -> None:
    browser.go(f"{SESSIONS}end-others/")
    place = place_of(browser, "main form button", 0, "end")
    browser.press_at(place, touch=hand.is_finger, times=2)
    for _ in range(2):
        time.sleep(later)
        browser.press_at(place, touch=hand.is_finger)
    assert signed_out(browser) == OTHERS


def test_nothing_moves_in_the_base_of_another_site_either(laptop: Browser, based_site: DemoSite) -> None:
    laptop.prefer()
    begin(laptop, based_site, "/elsewhere/6/")
    laptop.go(SESSIONS)
    tops = "return [...document.querySelectorAll('.session')].map((card) => card.getBoundingClientRect().top)"
    before = laptop.run(tops)
    place = place_of(laptop, BUTTON, 1, "nearest")
    laptop.press_at(place, times=2)
    laptop.wait_for(ENDED)
    assert laptop.run(tops) == before
    laptop.press_at(place)
    laptop.go(SESSIONS)
    assert len(laptop.texts(BUTTON)) == 5
