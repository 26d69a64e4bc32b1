"""The main story, with two real browsers, on every store by changing the engine alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite
from tests.trust import WHOLE

# The pages know no store: what each of them does is shown without a browser, too.
REST = ["memory", "sqlite", "mariadb", "file", "cached_db", "mongodb"] if WHOLE else []
STORES = ["postgresql", "redis", *REST]


@pytest.fixture(params=STORES)
def site(request: pytest.FixtureRequest) -> Iterator[DemoSite]:
    """The example project on each store in turn."""
    with new_site(request.param, request) as site:
        yield site


def new_site(store: str, request: pytest.FixtureRequest) -> DemoSite:
    if store in ("redis", "cached_db"):
        return DemoSite(store, redis=request.getfixturevalue("redis_server").url)
    if store == "mongodb":
        return DemoSite("mongodb", mongodb=request.getfixturevalue("mongodb_uri"))
    if store in ("postgresql", "mariadb"):
        server: Any = request.getfixturevalue(f"{store}_server")
        server.create_database("demo")
        return DemoSite("db", database=server.database_settings("demo"))
    return DemoSite("db" if store == "sqlite" else store)


def sign_in(browser: Browser, name: str) -> None:
    browser.follow("Sign in")
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.press("Sign in", within="main")
    assert browser.heading == f"Hello, {name}"


def views(browser: Browser) -> int:
    return int(browser.find("#views").text)


def test_a_person_sees_both_sessions_and_ends_one(site: DemoSite, laptop: Browser, phone: Browser) -> None:
    for browser in (laptop, phone):
        browser.visit(site.url)
        sign_in(browser, "alice")

    before = views(laptop)
    laptop.go("/")
    laptop.go("/")
    assert views(laptop) == before + 2

    laptop.follow("Your devices")
    assert sorted(laptop.texts(".sessions h3")) == ["Firefox on Linux", "Safari on iPhone"]
    assert laptop.texts(".sessions li[aria-current=true] h3") == ["Firefox on Linux"]

    laptop.click("Sign out", within=".sessions li:not([aria-current])")
    laptop.wait_for("document.querySelector('[role=status] p') !== null")
    assert laptop.texts("[role=status] p") == [
        "Signed out: Safari on iPhone. Didn't recognise it? Change your password."
    ]
    assert laptop.texts("[data-srvsession-ended] h3") == ["Safari on iPhone"]

    phone.go("/")
    assert phone.heading == "Sessions you can see, end and trust"
    phone.go("/account/sessions/")
    assert phone.heading == "Sign in"
    assert phone.texts(".note") == ["You were signed out from another device."]
    phone.go("/account/sessions/")
    assert (phone.heading, phone.texts(".note")) == ("Sign in", [])
    laptop.go("/")
    assert laptop.heading == "Hello, alice"
    assert views(laptop) == before + 3
