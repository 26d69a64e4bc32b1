"""Live sessions in the admin, in a real browser, under a strict Content-Security-Policy."""

from __future__ import annotations

import time

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin, enter
from tests.browser.test_second_clicks import place_of
from tests.trust import WHOLE

LIST = "/admin/srvsession/livesession/"
EVENTS = "/admin/srvsession/sessionevent/"


@pytest.fixture
def admin(site: DemoSite, laptop: Browser) -> Browser:
    """A browser of the administrator; alice is signed in on four devices elsewhere."""
    begin(laptop, site, "/elsewhere/3/")
    laptop.command("Network.clearBrowserCookies")
    enter(laptop, "admin")
    laptop.go(LIST)
    _ = laptop.console  # What earlier tests made it say.
    return laptop


def rows(browser: Browser) -> list[str]:
    return browser.texts("#result_list tbody .field-user")


def submit(browser: Browser, selector: str) -> None:
    browser._leave_by(browser.find(selector))


def test_an_administrator_sees_who_is_here_and_ends_one_session(admin: Browser) -> None:
    assert rows(admin) == ["admin", "alice", "alice", "alice", "alice"]
    admin.run("document.querySelectorAll('#result_list tbody tr')[1].querySelector('.field-session a').click()")
    admin.wait_for("document.querySelector('.srvsession-contents') !== null")
    assert "_auth_user_hash" in admin.find(".srvsession-contents").text
    admin.follow("Sign out")
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Signed out 1 session."]
    assert rows(admin) == ["admin", "alice", "alice", "alice"]
    assert admin.console == []


def test_selected_sessions_are_ended_after_a_question(admin: Browser) -> None:
    for box in admin.remote.find_elements("css selector", "#result_list tbody [name=_selected_action]")[1:3]:
        box.click()
    admin.run("document.querySelector('.actions [name=action]').value = 'end_selected'")
    submit(admin, ".actions button")
    assert admin.texts("#content h1") == ["Sign out 2 sessions?"]
    assert len(admin.texts(".srvsession-asked tbody tr")) == 2
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Signed out 2 sessions."]
    assert rows(admin) == ["admin", "alice", "alice"]


def test_users_lead_to_their_sessions_and_are_signed_out_from_their_own_list(admin: Browser) -> None:
    admin.go("/admin/auth/user/?username=alice")
    admin.follow("alice")
    assert violations(admin, ".object-tools") == []
    admin.follow("SESSIONS (4)")
    assert rows(admin) == ["alice"] * 4
    admin.go("/admin/auth/user/?username=alice")
    admin.find("#result_list [name=_selected_action]").click()
    admin.run("document.querySelector('.actions [name=action]').value = 'log_out_selected_users'")
    submit(admin, ".actions button")
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Signed out 4 sessions."]
    admin.go(LIST)
    assert rows(admin) == ["admin"]


QUICK = """
const later = window.setTimeout, ask = window.fetch;
window.setTimeout = (work, wait) => later(work, wait / 100);
window.refreshes = 0;
window.fetch = async (...all) => { const answer = await ask(...all); window.refreshes++; return answer; };
"""


def test_the_overview_refreshes_itself_until_nobody_looks(admin: Browser) -> None:
    added = admin.command("Page.addScriptToEvaluateOnNewDocument", source=QUICK)
    try:
        admin.go(LIST)
        live = "document.querySelector('.srvsession-overview dd')?.textContent.trim()"
        admin.wait_for(f"{live} === '5'")  # In one step: a refresh puts other elements there.
        assert violations(admin, ".srvsession-overview") == violations(admin, ".srvsession-paginator") == []
        admin.run("document.querySelector('.srvsession-overview dl').remove()")
        top = "return Math.round(document.querySelector('#result_list').getBoundingClientRect().top)"
        before = admin.run(top)
        admin.wait_for("refreshes > 1 && document.querySelector('.srvsession-overview dl') !== null")
        assert admin.run(top) == before
        admin.run("document.querySelector('.srvsession-overview svg').style.height = '9rem'")
        before = admin.run(top)
        admin.run("window.seen = refreshes")
        admin.wait_for("refreshes > seen + 1")
        assert admin.run(top) == before
        admin.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        admin.run("document.dispatchEvent(new Event('visibilitychange'))")
        admin.run("window.seen = refreshes; setTimeout(() => { window.isLater = true }, 150000)")
        admin.wait_for("window.isLater")
        assert admin.run("return refreshes - seen") <= 1  # One may have been under way.
        admin.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        admin.wait_for("refreshes > seen + 1")
        assert admin.console == []
    finally:
        admin.command("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_what_is_looked_for_is_found(admin: Browser) -> None:
    admin.type("q", "alice")
    submit(admin, "#changelist-search [type=submit]")
    assert rows(admin) == ["alice"] * 4
    admin.follow("Phone")
    assert rows(admin) == ["alice"]
    assert admin.console == []


CUT = """
const wide = [...document.querySelectorAll("#content *")].filter((part) => {
  const style = getComputedStyle(part);
  if (style.position === "absolute" || style.overflowX === "visible") return false;
  return part.scrollWidth > part.clientWidth + 1;
});
const beyond = document.documentElement.scrollWidth - innerWidth;
return [...wide.map((part) => part.className || part.tagName), ...(beyond > 0 ? ["page: " + beyond] : [])];
"""
SIZES = {"1366": 1366, "1280": 1280, "1280 at 200 %": 640, "phone": 390, "narrow": 320}
AS_LONG_AS_THEY_GET = """
const row = document.querySelector("#result_list tbody tr:nth-child(2)");
row.querySelector(".field-user").textContent = "w".repeat(150);
row.querySelector(".srvsession-ip").textContent = "2001:0db8:1234:5678:9abc:def0:1234:5678";
row.querySelector(".srvsession-device > :last-child").textContent = "a".repeat(60);
"""
ASKED = "document.querySelector('.srvsession-asked') !== null"


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "ko")])
def test_nothing_is_cut_and_nobody_is_shut_out_in_any_window(admin: Browser, scheme: str, language: str) -> None:
    found: dict[str, object] = {}
    admin.prefer(scheme=scheme, language=language, width=1280)
    admin.go(LIST)
    admin.run(AS_LONG_AS_THEY_GET)
    found["axe"] = violations(admin, "#result_list")
    for name, width in SIZES.items():
        admin.prefer(scheme=scheme, language=language, width=width)
        found[name] = admin.run(CUT)
        stacked = admin.run("return getComputedStyle(document.querySelector('#result_list thead')).display === 'none'")
        assert stacked is (width < 1000)
    admin.run("document.querySelectorAll('.srvsession-end')[1].click()")
    admin.wait_for(ASKED)
    found["axe question"] = violations(admin, "#content")
    for name, width in SIZES.items():
        admin.prefer(scheme=scheme, language=language, width=width)
        found[f"question {name}"] = admin.run(CUT)
    admin.go(EVENTS)
    found["axe events"] = violations(admin, "#result_list")
    for name, width in SIZES.items():
        admin.prefer(scheme=scheme, language=language, width=width)
        found[f"events {name}"] = admin.run(CUT)
    admin.prefer()
    assert not any(found.values()), found


def test_the_keyboard_alone_signs_a_device_out_and_comes_back_to_the_filter(admin: Browser) -> None:
    admin.go(f"{LIST}?kind=user&device=phone")
    admin.run("document.querySelector('.srvsession-end').focus()")
    admin.press_key("ENTER")
    admin.wait_for(ASKED)
    admin.run("document.querySelector('#id_reason').focus()")
    admin.press_key("TAB")
    admin.press_key("ENTER")
    admin.wait_for("document.querySelector('.messagelist') !== null")
    assert admin.texts(".messagelist li") == ["Signed out 1 session."]
    assert admin.run("return location.search") == "?kind=user&device=phone"
    assert admin.texts(".srvsession-empty") == ["No session matches. Show all"]


PRESSES = [("end", 1, 0.45), ("start", 2, 0.2), ("center", 1, 0.2), ("end", 3, 0.9)]


@pytest.mark.parametrize(("width", "first"), [(1280, 0), (390, 1)])
def test_a_repeated_press_on_a_row_or_on_the_answer_signs_out_no_other(admin: Browser, width: int, first: int) -> None:
    admin.prefer(width=width)
    for ended, (at, times, later) in enumerate(PRESSES if WHOLE else PRESSES[first : first + 1], 1):
        admin.go(LIST)
        place = place_of(admin, ".srvsession-end", 1, at)
        admin.press_at(place, times=times)
        admin.wait_for(ASKED)
        time.sleep(later)
        admin.press_at(place)
        assert len(admin.texts(".srvsession-asked tbody tr")) == 1, "the second press has answered the question"
        place = place_of(admin, ".srvsession-confirm input[type=submit]", 0, "nearest")
        admin.press_at(place, times=times)
        admin.wait_for("document.querySelector('.messagelist') !== null")
        time.sleep(later)
        admin.press_at(place)
        admin.go(LIST)
        assert len(rows(admin)) == 5 - ended
    admin.prefer()
