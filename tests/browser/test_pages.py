"""The pages in a browser: with and without scripts, under a strict policy, for every eye, in every language."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import FIREFOX
from tests.browser.demo import DemoSite, begin, enter
from tests.browser.npm import AXE, FetchError, checked
from tests.patience import patient
from tests.runs import new_directory
from tests.trust import WHOLE

LOGIN, SESSIONS, CONFIRM, LOGGED_OUT = (f"/account/{page}/" for page in ("login", "sessions", "confirm", "logged-out"))
PHONE_WIDTH = 320  # CSS pixels: the narrowest that WCAG 2.2 (1.4.10) speaks of


@pytest.fixture
def browser(laptop: Browser, site: DemoSite) -> Iterator[Browser]:
    """A browser that has never been on the site."""
    laptop.prefer()
    laptop.turn_to(site.url)
    laptop.ask("/end-everything/")
    laptop.console.clear()
    yield laptop
    laptop.command("Emulation.setScriptExecutionDisabled", value=False)
    laptop.prefer()


def sign_in(browser: Browser, name: str = "alice", remember: bool = False) -> None:
    browser.go(LOGIN)
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    if remember:
        browser.find("[name=remember]").click()
    browser.find("main [name=password]").submit()
    browser.wait_for("location.pathname === '/'")


# Every page, in every language, light and dark, wide and narrow.


def walk(browser: Browser) -> Iterator[str]:
    """Go through every page, in every state that it has."""
    yield from at(browser, LOGIN, "sign in")
    browser.type("username", "alice")
    browser.find("main [name=password]").send_keys("wrong")
    browser.find("main [name=password]").submit()
    browser.wait_for("document.querySelector('[role=alert]') !== null")
    yield "sign in: a wrong password"
    sign_in(browser)
    yield "the demo's home"
    browser.ask("/end-all/password_changed/")
    yield from at(browser, SESSIONS, "sign in: why it ended")
    sign_in(browser)
    yield from at(browser, LOGIN + "?next=/", "sign in: signed in already")
    yield from at(browser, SESSIONS, "sessions: this one only")
    browser.ask("/elsewhere/4/")
    yield from at(browser, SESSIONS, "sessions: several")
    yield from at(browser, CONFIRM, "confirm")
    browser.find("main [name=password]").send_keys("wrong")
    browser.find("main [name=password]").submit()
    browser.wait_for("document.querySelector('.errorlist') !== null")
    yield "confirm: a wrong password"
    yield from at(browser, "/outage/", "outage")
    yield from at(browser, LOGGED_OUT, "signed out")


def at(browser: Browser, path: str, name: str) -> Iterator[str]:
    browser.go(path)
    yield name


SCHEMES = ("light", "dark")


@pytest.mark.parametrize(
    ("language", "schemes"),
    [("en", SCHEMES), ("ar", SCHEMES if WHOLE else SCHEMES[:1]), *([("ko", SCHEMES)] if WHOLE else [])],
)
def test_nobody_is_shut_out_of_any_page(browser: Browser, language: str, schemes: tuple[str, ...]) -> None:
    found: dict[str, object] = {}
    browser.prefer(language=language)
    for name in walk(browser):
        assert browser.run("return document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        for scheme in schemes:
            browser.prefer(scheme=scheme, language=language)
            found[f"{name}, {scheme}"] = violations(browser)
        browser.prefer(language=language, width=PHONE_WIDTH)
        overflow = browser.run("return document.documentElement.scrollWidth - window.innerWidth")
        found[f"{name}, narrow"] = [f"{overflow} pixels too wide"] if overflow > 0 else []
        browser.prefer(language=language)
        found[f"{name}, policy"] = refusals(browser)
    assert len(found) == 11 * (len(schemes) + 2)
    assert {name: list_ for name, list_ in found.items() if list_} == {}


def refusals(browser: Browser) -> list[str]:
    """What the browser did not do because of the site's policy."""
    return [line for line in browser.console if "Content Security Policy" in line]


def test_the_tests_would_notice_what_they_look_for(browser: Browser) -> None:
    browser.go(LOGIN)
    bad = "<img src=x><p style='color: red'>x</p>"
    browser.run("document.querySelector('main').insertAdjacentHTML('beforeend', arguments[0])", bad)
    assert any("image-alt" in line for line in violations(browser))
    assert any("style" in line for line in refusals(browser))


def test_an_archive_that_is_not_the_meant_one_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "axe-core.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(FetchError, match="not the one that is meant"):
        checked(archive, AXE)


def test_the_pages_work_inside_the_base_of_another_site(laptop: Browser, based_site: DemoSite) -> None:
    laptop.prefer()
    begin(laptop, based_site, "/elsewhere/3/")
    for path in (SESSIONS, CONFIRM, LOGGED_OUT, LOGIN):
        laptop.go(path)
        for scheme in ("light", "dark"):
            laptop.prefer(scheme=scheme)
            assert violations(laptop, ".srvsession") == [], (path, scheme)
        assert [line for line in refusals(laptop) if "srvsession" in line] == []
    laptop.prefer()
    laptop.go(SESSIONS)
    assert "Your devices" in laptop.texts("h1")
    end_first_of_the_others(laptop)
    assert len(laptop.texts(LIVE)) == 2


# Ending a session without leaving the page, and without scripts.


LIVE = ".sessions li:not([aria-current], [data-srvsession-ended])"


def end_first_of_the_others(browser: Browser) -> None:
    """Press the first button of the others and wait until its card says that it is signed out, on the same page."""
    card = browser.find(LIVE).get_attribute("id")
    browser.run("window.stayed = true")
    browser.click("Sign out", within=f"#{card}")
    browser.wait_for(f"document.getElementById('{card}').matches('[data-srvsession-ended]')")
    assert browser.run("return window.stayed === true")
    assert browser.texts(f"#{card} .end") == ["Signed out"]


def test_a_session_ends_without_leaving_the_page(browser: Browser) -> None:
    enter(browser)
    browser.ask("/elsewhere/2/")
    browser.go(SESSIONS)
    _, first, second = browser.texts(".sessions h3")
    for name, left in ((first, "(1)"), (second, "")):
        end_first_of_the_others(browser)
        assert browser.texts("[role=status] p") == [f"Signed out: {name}. Didn't recognise it? Change your password."]
        assert browser.run("return document.activeElement.textContent") == name
        assert browser.texts("h2 .count") == [left]
    browser.go(SESSIONS)
    assert len(browser.texts(".sessions h3")) == 1
    assert refusals(browser) == []


def test_without_scripts_everything_works_the_same(browser: Browser) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.go(LOGIN)
    browser.type("username", "alice")
    browser.type("password", "demo-alice")
    browser.press("Sign in", within="main")
    browser.ask("/elsewhere/2/")
    browser.go(SESSIONS)
    assert len(browser.texts(".sessions h3")) == 3
    browser.press("Sign out", within=LIVE)
    assert (browser.heading, len(browser.texts(LIVE))) == ("Your devices", 1)
    browser.follow("Sign out all others")
    assert browser.heading == "Sign out 1 other device?"
    browser.press("Sign out all others")
    assert browser.texts("[role=status] p") == ["Signed out 1 other device."]
    browser.press("Sign out", within="header")
    assert browser.heading == "Sign out of this device?"
    browser.press("Sign out", within="main")
    assert browser.heading == "You are signed out"


def test_a_list_that_is_old_says_that_the_device_was_already_signed_out(browser: Browser) -> None:
    enter(browser)
    browser.ask("/elsewhere/2/")
    browser.go(SESSIONS)
    browser.run(
        "const button = document.querySelector('button[data-srvsession-end]');"
        "const body = new FormData(button.form);"
        "fetch(button.formAction, {method: 'POST', body}).then(() => { window.done = true })"
    )
    browser.wait_for("window.done")
    end_first_of_the_others(browser)
    assert browser.texts("[role=status] p")[-1:] == ["That device was already signed out."]
    assert len(browser.texts(LIVE)) == 1


def test_who_was_signed_out_meanwhile_is_shown_the_way_in(browser: Browser) -> None:
    enter(browser)
    browser.ask("/elsewhere/1/")
    browser.go(SESSIONS)
    browser.run("fetch('/end-all/revoked/').then(() => { window.done = true })")
    browser.wait_for("window.done")
    browser.press("Sign out", within=LIVE)
    assert browser.heading == "Sign in"
    assert browser.texts(".note") == ["You were signed out from another device."]


def test_an_old_proof_asks_for_the_password_and_goes_on_by_itself(laptop: Browser) -> None:
    with DemoSite("db", SRVSESSION_REAUTH_AGE=0) as site:
        begin(laptop, site, "/elsewhere/3/")
        laptop.go(SESSIONS)
        laptop.press("Sign out", within=LIVE)
        assert laptop.heading.startswith("Sign out ")
        assert "Confirm it's you" in laptop.find("main").text
        laptop.type("password", "demo-alice")
        laptop.press("Sign out", within="main")
        assert (laptop.heading, len(laptop.texts(LIVE))) == ("Your devices", 2)
        laptop.follow("Sign out all others")
        laptop.type("password", "demo-alice")
        laptop.press("Sign out all others", within="main")
        assert (laptop.heading, len(laptop.texts(".sessions h3"))) == ("Your devices", 1)


# What leads on.


def test_an_outage_is_tried_once_more_by_itself_and_not_forever(browser: Browser) -> None:
    sooner = "const wait = window.setTimeout; window.setTimeout = (run, ms) => wait(run, ms / 20)"
    script = browser.command("Page.addScriptToEvaluateOnNewDocument", source=sooner)["identifier"]
    browser.go("/outage/")
    assert browser.heading == "Temporarily unavailable"
    browser.wait_for("performance.getEntriesByType('navigation')[0].type === 'reload'")
    loaded = browser.run("return performance.timeOrigin")
    time.sleep(0.75)  # Three times as long as it has just waited.
    assert browser.run("return performance.timeOrigin") == loaded
    browser.command("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    browser.follow("Try again")
    assert browser.heading == "Temporarily unavailable"


def test_a_second_tab_of_the_sign_in_page_leads_on_who_has_signed_in_in_the_first(browser: Browser) -> None:
    browser.go(LOGIN)
    first = browser.remote.current_window_handle
    browser.remote.switch_to.new_window("tab")
    sign_in(browser)
    browser.remote.close()
    browser.remote.switch_to.window(first)
    browser.type("username", "alice")
    browser.type("password", "demo-alice")
    browser.press("Sign in", within="main")
    assert browser.heading == "Hello, alice"


# Signing in and out.


def test_keep_me_signed_in_outlives_the_browser_and_else_nothing_does(driver: Driver, site: DemoSite) -> None:
    kept, dropped = site.url, site.url.replace("127.0.0.1", "localhost")  # No host sees the other's cookies.
    profile = new_directory("profile-restart")
    first = driver.open("restart", FIREFOX, profile)
    for url, remember in ((kept, True), (dropped, False)):
        first.site = url
        sign_in(first, "bob", remember)
    first.remote.quit()
    second = driver.open("restart", FIREFOX, profile)
    headings = {}
    for second.site in (kept, dropped):
        second.go("/")
        headings[second.site] = second.heading
    second.remote.quit()
    assert headings == {kept: "Hello, bob", dropped: "Sessions you can see, end and trust"}


def test_the_back_button_shows_nothing_after_signing_out(browser: Browser) -> None:
    enter(browser)
    browser.go(SESSIONS)
    browser.press("Sign out", within="header")
    assert browser.heading == "You are signed out"
    browser.remote.back()
    browser.wait_for("document.querySelector('h1').textContent === 'Sign in'")
    assert "Firefox on Linux" not in browser.find("body").text


def test_signing_out_empties_what_the_browser_keeps_and_takes_no_longer(browser: Browser) -> None:
    enter(browser)
    browser.run("localStorage.setItem('draft', 'secret')")
    browser.remote.add_cookie({"name": "django_language", "value": "en"})
    browser.go(SESSIONS)
    assert browser.run("return localStorage.getItem('draft')") == "secret"
    began = time.monotonic()
    browser.press("Sign out", within="header")
    seconds = time.monotonic() - began
    assert browser.heading == "You are signed out"
    assert browser.run("return localStorage.getItem('draft')") is None
    names = {cookie["name"] for cookie in browser.remote.get_cookies()}
    assert names == {"django_language", "csrftoken", "sessionid_devices"}  # Known devices, which no sign-out forgets.
    assert seconds < patient(3)


def test_a_hundred_sessions_have_pages_that_nobody_is_shut_out_of(browser: Browser) -> None:
    enter(browser)
    browser.ask("/elsewhere/99/")
    browser.go(SESSIONS)
    assert browser.texts("h2 .count") == ["(99)"]
    seen = len(browser.texts(".sessions li:not([aria-current])"))
    assert violations(browser, "nav.pages") == []
    browser.follow("Older")
    assert browser.texts(".sessions li[aria-current] h3") == ["Firefox on Linux"]
    seen += len(browser.texts(".sessions li:not([aria-current])"))
    assert seen == 99
    end_first_of_the_others(browser)
    assert browser.run("return location.search") == "?page=2"
    assert browser.texts("h2 .count") == ["(98)"]
    browser.follow("Sign out all others")
    assert browser.heading == "Sign out 98 other devices?"
    browser.press("Sign out all others")
    assert browser.texts("[role=status] p") == ["Signed out 98 other devices."]


def test_the_pages_speak_korean_to_who_asks_for_it(browser: Browser) -> None:
    browser.prefer(language="ko")
    enter(browser)
    browser.ask("/elsewhere/1/")
    browser.go(SESSIONS)
    assert browser.heading == "로그인된 기기"
    assert browser.run("return document.documentElement.lang") == "ko"
    words = browser.find("main").text
    assert "분 전" in words
    assert "Sign" not in words


def test_everything_can_be_reached_with_the_keyboard(browser: Browser) -> None:
    enter(browser)
    browser.ask("/elsewhere/2/")
    browser.go(SESSIONS)
    reached: list[str] = []
    while "Sign out" not in reached[-1:] or reached.count("Sign out") < 4:
        browser.press_key("Tab")
        reached.append(browser.run("return document.activeElement.textContent.trim()"))
        assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        assert len(reached) < 14
    assert reached == [
        *("Skip to the content", "django-srvsession demo", "Your devices", "Sign out"),
        *("Your devices", "Recent activity", "change your password"),
        *("Sign out", "Name this device"),
        *("Sign out all others", "Sign out", "3 minutes ago", "Sign out"),
    ]
    browser.press_key("Enter")
    browser.wait_for("document.querySelector('[data-srvsession-ended]') !== null")
