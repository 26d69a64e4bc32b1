"""Sessions that are bound to a device, in Chromium with software keys, over TLS."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.bound import (
    BOUND,
    LINUX,
    SESSION,
    BoundSite,
    BoundSocketSite,
    bound_browser,
    cookies,
    device_events,
    give,
    lose,
)
from tests.browser.browsers import Browser, Driver
from tests.patience import patient
from tests.runs import Job, new_directory, wait_until
from tests.servers import RedisServer, free_port
from tests.trust import WHOLE

LOGIN, SESSIONS = "/account/login/", "/account/sessions/"
whole = pytest.mark.skipif(not WHOLE, reason="make trust: takes some seconds more")
SOCKET = """
return new Promise((resolve, reject) => {
  const socket = new WebSocket(location.origin.replace("https", "wss") + "/ws/");
  socket.onmessage = (event) => { resolve(event.data); socket.close(); };
  socket.onerror = () => reject("refused");
});
"""


@pytest.fixture(scope="module")
def site() -> Iterator[BoundSite]:
    with BoundSite() as site:
        yield site


@pytest.fixture
def owner(driver: Driver, site: BoundSite) -> Iterator[Browser]:
    with bound_browser(driver) as browser:
        browser.site = site.url
        browser.go("/end-everything/")
        yield browser


@pytest.fixture
def other(driver: Driver, site: BoundSite) -> Iterator[Browser]:
    """A browser that cannot be bound."""
    with bound_browser(driver, can=False) as browser:
        browser.site = site.url
        yield browser


def sign_in(browser: Browser, name: str = "alice") -> None:
    browser.go(LOGIN)
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.find("main [name=password]").submit()
    browser.wait_for("location.pathname === '/'")


def sign_in_bound(browser: Browser) -> None:
    """Sign in, and show that the session is bound: from then on its browser must show the cookie."""
    sign_in(browser)
    browser.until(lambda: BOUND in cookies(browser))
    browser.go(SESSIONS)
    assert "Bound to this device" in browser.find("[aria-current=true]").text


def is_signed_in(browser: Browser) -> bool:
    browser.go(SESSIONS)
    return bool(browser.run("return location.pathname") == SESSIONS)


def stolen(owner: Browser, thief: Browser, site: BoundSite, *names: str) -> None:
    """Copy cookies from one browser to the other."""
    found = cookies(owner)
    thief.go(LOGIN)
    give(thief, site, **{name: found[name] for name in names})


def test_the_stolen_cookie_is_refused_at_once_in_another_browser_while_the_owner_goes_on(
    site: BoundSite, owner: Browser, other: Browser
) -> None:
    sign_in_bound(owner)
    stolen(owner, other, site, SESSION)
    assert not is_signed_in(other)
    assert "could not prove that it is the device that you signed in on" in other.find("main .note").text
    assert is_signed_in(owner)
    assert owner.texts(".sessions h3") == ["Chrome on Linux"]


def test_a_browser_renews_before_a_page_and_before_what_a_script_asks_for(site: BoundSite, owner: Browser) -> None:
    sign_in_bound(owner)
    before = cookies(owner)[BOUND]
    lose(owner, site)
    assert is_signed_in(owner)
    after = cookies(owner)[BOUND]
    assert after != before
    lose(owner, site)
    who = "return fetch('/api/whoami/').then((answer) => answer.json()).then((found) => found.user.username)"
    assert owner.run(who) == "alice"
    assert cookies(owner)[BOUND] not in (before, after)
    lose(owner, site)
    five = "return Promise.all([1, 2, 3, 4, 5].map(() => fetch('/api/whoami/').then((answer) => answer.status)))"
    assert owner.run(five) == [200] * 5


@whole
def test_a_browser_renews_before_a_websocket_and_a_thief_gets_nobody_s(driver: Driver) -> None:
    with BoundSocketSite() as site, bound_browser(driver) as owner, bound_browser(driver, can=False) as other:
        owner.site = other.site = site.url
        sign_in_bound(owner)
        lose(owner, site)
        assert owner.run(SOCKET) == "user 1"
        assert BOUND in cookies(owner)
        stolen(owner, other, site, SESSION)
        assert other.run(SOCKET) == "user None"
        assert owner.run(SOCKET) == "user 1"


@whole
def test_both_cookies_stolen_are_refused_when_the_bound_one_runs_out(
    driver: Driver, owner: Browser, other: Browser
) -> None:
    with BoundSite(SRVSESSION_BIND_AGE=2) as site:
        owner.site = other.site = site.url
        sign_in_bound(owner)
        stolen(owner, other, site, SESSION, BOUND)
        other.until(lambda: is_signed_in(other))
        give(other, site, **{BOUND: cookies(owner)[BOUND]})
        WebDriverWait(other.remote, patient(40), 1).until(lambda remote: not is_signed_in(other))
        assert is_signed_in(owner)


@whole
def test_a_frozen_store_signs_nobody_out(driver: Driver, owner: Browser) -> None:
    server = RedisServer()
    server.start()
    with BoundSite("redis", server={"redis": server.url}) as site:
        owner.site = site.url
        sign_in_bound(owner)
        with server.frozen():
            lose(owner, site)
            owner.go(SESSIONS)
            assert owner.heading == "Temporarily unavailable"
            assert BOUND not in cookies(owner) and SESSION in cookies(owner)
        owner.until(lambda: owner.heading == "Your devices")  # The page loads itself again.
        assert BOUND in cookies(owner)
    server.kill()


@whole
def test_signing_out_drops_the_key(site: BoundSite, owner: Browser) -> None:
    sign_in_bound(owner)
    owner.go("/account/logout/")
    owner.press("Sign out", within="main")
    assert owner.heading == "You are signed out"
    found = cookies(owner)
    assert SESSION not in found and BOUND not in found
    with device_events(owner) as events:
        owner.go(LOGIN)
        owner.go("/")
        assert events() == []  # Nothing is renewed: the browser has forgotten the key.
    sign_in_bound(owner)


@whole
def test_a_revoked_session_ends_the_device_s(site: BoundSite, owner: Browser, other: Browser) -> None:
    sign_in_bound(owner)
    sign_in(other)
    other.go(SESSIONS)
    other.click("Sign out", within=".sessions li:not([aria-current])")
    other.wait_for("document.querySelector('[data-srvsession-ended]') !== null")
    lose(owner, site)
    with device_events(owner) as events:
        assert not is_signed_in(owner)
        owner.until(lambda: "terminationEventDetails" in str(events()))
    owner.go(LOGIN)
    assert BOUND not in cookies(owner)


@whole
def test_a_browser_that_cannot_be_bound_is_as_before(site: BoundSite, other: Browser) -> None:
    sign_in(other)
    assert is_signed_in(other)
    assert BOUND not in cookies(other)
    assert "Bound to this device" not in other.find(".sessions").text


@whole
def test_a_browser_that_is_started_again_with_its_profile_is_still_bound(driver: Driver, site: BoundSite) -> None:
    profile = new_directory("profile-kept")
    with bound_browser(driver, profile) as browser:
        browser.site = site.url
        browser.go(LOGIN)
        browser.find("[name=remember]").click()
        browser.type("username", "alice")
        browser.type("password", "demo-alice")
        browser.find("main [name=password]").submit()
        browser.until(lambda: BOUND in cookies(browser))
        assert is_signed_in(browser)
    with bound_browser(driver, profile) as browser:
        browser.site = site.url
        browser.go("/")
        lose(browser, site)
        assert is_signed_in(browser)
        assert BOUND in cookies(browser)


@whole
def test_the_demo_binds_a_browser_that_is_started_as_it_says(driver: Driver) -> None:
    directory, port = new_directory("demo-bound"), free_port()
    argv = [sys.executable, "-m", "example_project", "--bind", f"--port={port}"]
    job = Job(argv, directory, env={"SRVSESSION_DEMO_DATA": str(directory), "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        wait_until(lambda: "chromium" in (job.log.read_text() if job.log.exists() else ""), job)
        (line,) = [line for line in job.log.read_text().splitlines() if line.startswith("  chromium")]
        *flags, url = [word for word in shlex.split(line)[1:] if not word.startswith("--user-data-dir")]
        browser = driver.open("demo-bound", LINUX, None, flags)
        browser.site = url.rstrip("/")
        browser.until(lambda: browser.go("/") is None, ignoring=WebDriverException)
        sign_in(browser)
        browser.until(lambda: BOUND in cookies(browser))
        browser.remote.quit()
    finally:
        job.kill()
