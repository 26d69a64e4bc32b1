"""Recent activity in a browser: for every eye, in every language, on a telephone, under a strict policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin, enter
from tests.browser.test_pages import PHONE_WIDTH, SESSIONS, refusals

ACTIVITY = "/account/activity/"
EVENTS = "/admin/srvsession/sessionevent/"


@pytest.fixture
def browser(laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser of alice's; thirty things happened in the hours before."""
    laptop.prefer()
    begin(laptop, site, "/past/30/")
    laptop.console.clear()
    yield laptop
    laptop.prefer()


@pytest.mark.parametrize("language", ["en", "ko", "ar"])
def test_nobody_is_shut_out_of_the_activity(browser: Browser, language: str) -> None:
    found: dict[str, object] = {}
    for scheme in ("light", "dark"):
        browser.prefer(scheme=scheme, language=language)
        browser.go(ACTIVITY)
        assert browser.run("return document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        assert len(browser.texts(".event")) == 25
        found[scheme] = violations(browser)
    browser.prefer(language=language, width=PHONE_WIDTH)
    found["narrow"] = max(browser.run("return document.documentElement.scrollWidth - innerWidth"), 0)
    found["policy"] = refusals(browser)
    assert not any(found.values()), found


def test_people_come_there_from_their_sessions_and_go_back_in_time(browser: Browser) -> None:
    browser.go(SESSIONS)
    browser.follow("Recent activity")
    assert browser.heading == "Recent activity"
    newest = browser.texts(".event")
    assert newest[0].startswith("Firefox on Linux (this device)")
    browser.follow("Older")
    older = browser.texts(".event")
    assert older
    browser.follow("Newest")
    assert browser.texts(".event") == newest
    browser.follow("Failed sign-ins")
    found = browser.texts(".event .what")
    assert found and set(found) == {"Failed sign-in", "Wrong password when asked for it again"}
    browser.follow("This wasn't me")
    assert browser.run("return location.pathname") == "/password_change/"
    browser.go(ACTIVITY)
    _ = browser.console  # What Chromium thinks of Django's page for passwords.
    browser.follow("Your devices")
    assert browser.heading == "Your devices"
    assert browser.console == []


def test_an_administrator_follows_a_session_through_the_events(browser: Browser) -> None:
    browser.command("Network.clearBrowserCookies")
    enter(browser, "admin")
    browser.go(EVENTS)
    _ = browser.console  # What earlier tests made it say.
    assert len(browser.texts("#result_list tbody tr")) > 30
    browser.follow("Signed out")
    assert {text.split("\n")[0] for text in browser.texts("#result_list .field-happened")} == {"Signed out"}
    sid = browser.find("#result_list .field-session a").text
    browser.follow(sid)
    assert set(browser.texts("#result_list .field-session")) == {sid}
    assert violations(browser, ".srvsession-paginator") == []
    assert browser.console == []
