"""From a mail about a sign-in to a new password: "This was not me", on the demo, by two real browsers."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.accessibility import violations
from tests.browser.browsers import Browser
from tests.browser.demo import DemoSite
from tests.browser.test_activity import PHONE_WIDTH, refusals
from tests.runs import new_directory

MAILS = "django.core.mail.backends.filebased.EmailBackend"


@pytest.fixture(scope="module")
def mails() -> Path:
    """Where the demo's mails go."""
    return new_directory("mails")


@pytest.fixture(scope="module")
def site(mails: Path) -> Iterator[DemoSite]:
    """The demo, which knows its own address."""
    with DemoSite("db", EMAIL_BACKEND=MAILS, EMAIL_FILE_PATH=str(mails), ALLOWED_HOSTS=["127.0.0.1"]) as site:
        yield site


def sign_in(browser: Browser) -> None:
    browser.go("/account/login/")
    browser.type("username", "alice")
    browser.type("password", "demo-alice")
    browser.press("Sign in", within="main")


def html_of(mail: Path) -> str:
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def test_the_owner_ends_a_stranger_s_session_from_the_mail(
    site: DemoSite, laptop: Browser, phone: Browser, mails: Path
) -> None:
    for browser in (laptop, phone):  # The first sign-in ever is no news.
        browser.visit(site.url)
        sign_in(browser)
    (mail,) = mails.iterdir()
    shown = mails.parent / "mail.html"
    shown.write_text(html_of(mail))
    found: dict[str, object] = {}

    laptop.visit(site.url)  # The owner reads mail in a browser that is signed in nowhere.
    for scheme in ("light", "dark"):
        laptop.prefer(scheme=scheme, width=PHONE_WIDTH)
        laptop.remote.get(shown.as_uri())
        assert "Safari on iPhone" in laptop.find("body").text
        found[f"mail, {scheme}"] = violations(laptop, "body")
        found[f"mail is too wide, {scheme}"] = laptop.run("return document.documentElement.scrollWidth - innerWidth")
    laptop.follow("This was not me")

    assert laptop.heading == "Was this not you?"
    assert "Safari on iPhone" in laptop.find("main").text
    found["page"] = violations(laptop)
    found["page is too wide"] = laptop.run("return document.documentElement.scrollWidth - innerWidth")
    phone.go("/account/sessions/")
    assert phone.heading == "Your devices"  # To look at the page has changed nothing.

    link = laptop.remote.current_url
    laptop.press("This was not me: sign it out")
    assert laptop.run("return location.pathname") == "/password_reset/"
    phone.go("/account/sessions/")
    assert phone.heading == "Sign in"
    assert phone.texts(".note") == ["You were signed out from another device."]
    laptop.remote.get(link)
    assert "That device is already signed out." in laptop.texts(".note")
    found["page afterwards"] = violations(laptop)
    found["policy"] = refusals(laptop)
    laptop.prefer()
    assert not any(found.values()), found
