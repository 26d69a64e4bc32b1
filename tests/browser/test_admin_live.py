"""The admin's list keeps itself up to date under the eyes, the pointer and the choice of an administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite, begin, enter
from tests.browser.test_admin import LIST, rows
from tests.trust import WHOLE

ROWS = "#result_list tbody tr"
QUICK = """
const later = window.setTimeout, ask = window.fetch;
window.setTimeout = (work, wait) => later(work, wait / 50);
window.asked = 0;
window.refused = [];
window.fetch = async (address, ...all) => {
  if (window.isDown) {
    window.refused.push(performance.now());
    return new Response("", { status: 503 });
  }
  const answer = await ask(address, ...all);
  if (!String(address).includes("/overview/")) window.asked++;
  return answer;
};
"""
TOP = f"return Math.round(document.querySelectorAll('{ROWS}')[arguments[0]].getBoundingClientRect().top)"
only_whole = pytest.mark.skipif(not WHOLE, reason="make trust: the script is one, and its rules are many")
STATUS = "document.querySelector('.srvsession-told').textContent"


@pytest.fixture
def admin(site: DemoSite, laptop: Browser, phone: Browser) -> Iterator[Browser]:
    """An administrator's browser on the list, whose clock is quick; alice is signed in on three devices."""
    begin(phone, site, "/elsewhere/2/")
    laptop.visit(site.url)
    enter(laptop, "admin")
    added = laptop.command("Page.addScriptToEvaluateOnNewDocument", source=QUICK)
    laptop.prefer(width=1600)
    laptop.go(f"{LIST}?kind=user")
    _ = laptop.console  # What earlier tests made it say.
    laptop.run("window.sameDocument = true")
    yield laptop
    laptop.command("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
    laptop.prefer()
    assert laptop.console == []


def has_rows(browser: Browser, count: int) -> None:
    browser.wait_for(f"document.querySelectorAll('{ROWS}').length === {count}")
    assert browser.run("return window.sameDocument") is True


def chosen(browser: Browser) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('.action-select:checked')].map((one) => one.value)"
    )
    return found


def test_devices_come_and_go_and_what_was_chosen_stays_so(admin: Browser, phone: Browser) -> None:
    has_rows(admin, 4)
    box = admin.remote.find_elements("css selector", f"{ROWS} .action-select")[3]
    box.click()
    sid = box.get_attribute("value")
    admin.run("document.querySelector('.actions [name=action]').value = 'end_selected'")
    admin.run("document.querySelector('#searchbar').focus()")
    hover(admin, 2, 2)
    phone.ask("/elsewhere/3/")
    has_rows(admin, 7)
    admin.wait_for(f"/^The list has changed: [123] new, 0 gone.$/.test({STATUS})")
    assert admin.run("return document.querySelector('.srvsession-told').role") == "status"
    assert chosen(admin) == [sid]
    assert admin.run("return document.querySelector('.actions [name=action]').value") == "end_selected"
    assert admin.texts(".action-counter") == ["1 of 7 selected"]
    assert admin.texts(".srvsession-paginator") == ["7 sessions"]
    assert violations(admin, "#changelist-form") == []
    # All boxes, the new ones too, are chosen at once.
    admin.find("#action-toggle").click()
    assert len(chosen(admin)) == 7
    assert admin.texts(".action-counter") == ["7 of 7 selected"]
    admin.find("#action-toggle").click()
    assert chosen(admin) == []
    hover(admin, 2, 2)
    phone.go("/account/")
    phone.press("Sign out", within="header")
    has_rows(admin, 6)
    admin.wait_for(f"{STATUS} === 'The list has changed: 0 new, 1 gone.'")
    assert rows(admin)[0] == "admin"


def hover(browser: Browser, x: int, y: int) -> None:
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def test_the_row_that_is_looked_at_stays_where_it_is(admin: Browser, phone: Browser) -> None:
    admin.prefer(width=1600, height=500)
    link = admin.remote.find_elements("css selector", f"{ROWS} .srvsession-end")[2]
    x, y = admin.middle_of(link)
    hover(admin, x, y)
    link_url = link.get_attribute("href")
    phone.ask("/elsewhere/3/")
    has_rows(admin, 7)
    under = admin.run("return document.elementFromPoint(arguments[0], arguments[1]).href", x, y)
    assert under == link_url
    # Those that are signed out stay while the pointer is among them, and say so.
    phone.ask("/end-all/revoked/")
    admin.wait_for(f"document.querySelectorAll('{ROWS}.srvsession-gone').length === 6")
    assert admin.run("return document.elementFromPoint(arguments[0], arguments[1]).href", x, y) == link_url
    assert "not in the list any more" in admin.find(f"{ROWS}.srvsession-gone").get_attribute("textContent")
    hover(admin, 2, 2)
    has_rows(admin, 1)


@only_whole
def test_a_focused_link_keeps_its_focus_and_a_scrolled_list_its_place(admin: Browser, phone: Browser) -> None:
    phone.ask("/elsewhere/30/")
    has_rows(admin, 34)
    admin.prefer(width=1600, height=500)
    hover(admin, 2, 2)
    admin.run(f"document.querySelectorAll('{ROWS}')[20].scrollIntoView({{block: 'center'}})")
    before = admin.run(TOP, 20)
    phone.ask("/elsewhere/2/")
    has_rows(admin, 36)
    assert abs(admin.run(TOP, 22) - before) <= 1
    admin.run(f"document.querySelectorAll('{ROWS}')[22].querySelector('.field-session a').focus()")
    focused = admin.run("return document.activeElement.href")
    before = admin.run(TOP, 22)
    phone.ask("/elsewhere/2/")
    has_rows(admin, 38)
    assert admin.run("return document.activeElement.href") == focused
    assert abs(admin.run(TOP, 24) - before) <= 1


@only_whole
def test_an_empty_list_fills_and_empties(admin: Browser, phone: Browser) -> None:
    admin.go(f"{LIST}?device=phone")
    admin.run("window.sameDocument = true")
    phone.ask("/end-all/revoked/")
    admin.wait_for("document.querySelector('.srvsession-empty') !== null")
    assert admin.texts("#result_list") == []
    enter(phone)
    has_rows(admin, 1)
    admin.find("#action-toggle").click()
    assert len(chosen(admin)) == 1
    assert admin.texts(".action-counter") == ["1 of 1 selected"]
    assert admin.texts(".srvsession-empty") == []


def test_a_page_that_is_not_seen_asks_nothing(admin: Browser) -> None:
    admin.wait_for("asked > 1")
    admin.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    admin.run("document.dispatchEvent(new Event('visibilitychange'))")
    admin.run("window.before = asked; setTimeout(() => { window.isLater = true }, 40000)")
    admin.wait_for("window.isLater")
    assert admin.run("return asked - before") <= 1  # One may have been under way.
    admin.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    admin.wait_for("asked > before + 1")


@only_whole
def test_a_store_that_is_out_is_asked_ever_more_seldom_until_it_is_back(admin: Browser) -> None:
    admin.run("window.isDown = true")
    admin.wait_for("refused.length === 4")
    first, second, third, fourth = admin.run("return refused")
    assert second - first < third - second < fourth - third
    admin.run("window.before = asked; window.isDown = false")
    admin.wait_for("asked > before + 1")
    assert admin.texts(".srvsession-told") == [""]


@only_whole
def test_who_is_signed_out_is_asked_for_no_more(admin: Browser) -> None:
    admin.ask("/end-all/revoked/")
    admin.wait_for("(window.before === asked) || (window.before = asked, false)")
    admin.run("window.before = asked; setTimeout(() => { window.isLater = true }, 40000)")
    admin.wait_for("window.isLater")
    assert admin.run("return asked - before") <= 1
