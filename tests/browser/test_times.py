"""Times on the pages: by the reader's clock and in the reader's words, kept up to date, and exact where one looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin
from tests.browser.test_pages import SESSIONS

ACTIVE = ".sessions li:not([aria-current]) time"
SHOWN = "getComputedStyle(document.querySelector(arguments[0]), '::after').content"


@pytest.fixture
def browser(laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of alice's, in Seoul; another device of hers was active three minutes ago."""
    laptop.prefer(width=900)
    begin(laptop, site, "/elsewhere/3/")
    laptop.command("Emulation.setTimezoneOverride", timezoneId="Asia/Seoul")
    yield laptop
    laptop.command("Emulation.setTimezoneOverride", timezoneId="")
    laptop.command("Emulation.setScriptExecutionDisabled", value=False)
    laptop.command("Emulation.setTouchEmulationEnabled", enabled=False)
    laptop.prefer()


def exact(browser: Browser, selector: str = ACTIVE) -> str:
    return str(browser.run("return document.querySelector(arguments[0]).dataset.srvsessionExact", selector))


def test_times_are_those_of_the_browser_s_zone(browser: Browser) -> None:
    browser.go(SESSIONS)
    assert browser.texts(ACTIVE)[0] == "3 minutes ago"
    assert exact(browser).endswith("GMT+9")
    wanted = "new Date(arguments[0].dateTime).toLocaleTimeString('en', {hour: 'numeric', minute: '2-digit'})"
    signed_in = browser.find(".sessions li[aria-current] time")
    assert signed_in.text.endswith(str(browser.run(f"return {wanted}", signed_in)))
    assert not {"UTC", "GMT", "2026"} & set(signed_in.text.split())


def test_without_scripts_they_are_those_of_the_site(browser: Browser) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.go(SESSIONS)
    assert browser.texts(ACTIVE)[0] == "3 minutes ago"
    assert exact(browser).endswith("UTC")


@pytest.mark.parametrize(("page", "reader", "language"), [("en", "en-GB", "en-GB"), ("ko", "en-GB", "ko")])
def test_they_are_written_as_the_reader_writes_the_language_of_the_page(
    browser: Browser, page: str, reader: str, language: str
) -> None:
    agent = browser.run("return navigator.userAgent")
    browser.remote.add_cookie({"name": "django_language", "value": page})
    browser.command("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=reader)
    browser.go(SESSIONS)
    month_ago = (
        "const time = document.querySelector(arguments[0]); const moment = new Date(Date.now() - 30 * 864e5);"
        "time.dateTime = moment.toISOString(); document.dispatchEvent(new Event('srvsession:shown'));"
        "return moment.toLocaleDateString(arguments[1], {month: 'short', day: 'numeric'})"
    )
    wanted = browser.run(month_ago, ACTIVE, language)
    assert browser.texts(ACTIVE)[0] == wanted
    browser.command("Network.setUserAgentOverride", userAgent=agent, acceptLanguage="en-US")


def test_how_long_ago_is_kept_up_to_date(browser: Browser) -> None:
    sooner = "const every = window.setInterval; window.setInterval = (run, ms) => every(run, ms / 100)"
    script = browser.command("Page.addScriptToEvaluateOnNewDocument", source=sooner)["identifier"]
    browser.go(SESSIONS)
    assert browser.texts(ACTIVE)[0] == "3 minutes ago"
    browser.run("const now = Date.now; Date.now = () => now() + 3600e3")
    browser.wait_for(f"document.querySelector('{ACTIVE}').textContent === '1 hour ago'")
    browser.command("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("way", ["hover", "focus", "touch"])
def test_the_whole_moment_is_shown_to_who_points_at_it_reaches_it_or_touches_it(
    browser: Browser, way: str, scripts: bool
) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=not scripts)
    browser.command("Emulation.setTouchEmulationEnabled", enabled=way == "touch")
    browser.go(SESSIONS)
    assert browser.run(f"return {SHOWN}", ACTIVE) == "none"
    before = browser.run("return document.documentElement.scrollHeight")
    x, y = browser.middle_of(browser.find(ACTIVE))
    if way == "hover":
        browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    elif way == "touch":
        browser.press_at((x, y), touch=True)
    else:
        while browser.run("return !document.activeElement.matches(arguments[0])", ACTIVE):
            browser.press_key("Tab")
    shown = f"return {SHOWN}.includes(document.querySelector(arguments[0]).dataset.srvsessionExact)"
    browser.until(lambda: browser.run(shown, ACTIVE))
    assert browser.run("return document.documentElement.scrollHeight") == before, "nothing moves"
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)


def test_a_card_that_is_new_on_the_page_has_the_reader_s_times_too(browser: Browser) -> None:
    browser.go(SESSIONS)
    browser.click("Sign out", within=".sessions li:not([aria-current])")
    browser.wait_for("document.querySelector('[data-srvsession-ended]') !== null")
    assert exact(browser, "[data-srvsession-ended] time").endswith("GMT+9")
