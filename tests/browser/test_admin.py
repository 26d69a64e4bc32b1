"""Live sessions in the admin, in a real browser, under a strict Content-Security-Policy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite

LIST = "/admin/srvsession/livesession/"


@pytest.fixture
def admin(site: DemoSite, laptop: Browser) -> Browser:
    """A browser of the administrator; alice is signed in on four devices elsewhere."""
    laptop.visit(site.url)
    laptop.go("/end-everything/")
    sign_in(laptop, "alice")
    laptop.go("/elsewhere/3/")
    laptop.command("Network.clearBrowserCookies")
    sign_in(laptop, "admin")
    laptop.go(LIST)
    _ = laptop.console  # The favicon, which the admin has none of.
    return laptop


def sign_in(browser: Browser, name: str) -> None:
    browser.go("/account/login/")
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.press("Sign in", within="main")


def rows(browser: Browser) -> list[str]:
    return browser.texts("#result_list tbody .field-user")


def submit(browser: Browser, selector: str) -> None:
    browser._leave_by(browser.find(selector))


def test_an_administrator_sees_who_is_here_and_ends_one_session(admin: Browser) -> None:
    assert rows(admin) == ["admin", "alice", "alice", "alice", "alice"]
    admin.run("document.querySelectorAll('#result_list tbody tr')[1].querySelector('.field-session a').click()")
    admin.wait_for("document.querySelector('.srvsession-contents') !== null")
    assert "_auth_user_hash" in admin.find(".srvsession-contents").text
    admin.follow("End session")
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Ended 1 session."]
    assert rows(admin) == ["admin", "alice", "alice", "alice"]
    assert admin.console == []


def test_selected_sessions_are_ended_after_a_question(admin: Browser) -> None:
    for box in admin.remote.find_elements("css selector", "#result_list tbody [name=_selected_action]")[1:3]:
        box.click()
    admin.run("document.querySelector('.actions [name=action]').value = 'end_selected'")
    submit(admin, ".actions button")
    assert admin.heading == "End sessions"
    assert len(admin.texts("#content ul li")) == 2
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Ended 2 sessions."]
    assert rows(admin) == ["admin", "alice", "alice"]


def test_users_are_logged_out_from_their_own_list(admin: Browser) -> None:
    admin.go("/admin/auth/user/?username=alice")
    admin.find("#result_list [name=_selected_action]").click()
    admin.run("document.querySelector('.actions [name=action]').value = 'log_out_selected_users'")
    submit(admin, ".actions button")
    submit(admin, "#content input[type=submit]")
    assert admin.texts(".messagelist li") == ["Ended 4 sessions."]
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
        assert admin.texts(".srvsession-overview dd")[0] == "5"
        assert violations(admin, ".srvsession-overview") == violations(admin, ".srvsession-paginator") == []
        admin.run("document.querySelector('.srvsession-overview dl').remove()")
        admin.wait_for("refreshes > 1 && document.querySelector('.srvsession-overview dl') !== null")
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


def test_the_list_speaks_to_a_narrow_screen_too(admin: Browser, tmp_path: Any) -> None:
    admin.prefer(width=390)
    admin.go(LIST)
    assert admin.run("return document.documentElement.scrollWidth <= innerWidth")
    admin.prefer()
