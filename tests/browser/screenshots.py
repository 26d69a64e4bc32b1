"""The pictures of the pages in the documentation: ``python -m tests.browser.screenshots`` (``make screenshots``)."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

from tests.browser.bound import BOUND, SESSION, BoundSite, bound_browser, cookies, give
from tests.browser.browsers import Browser, Driver
from tests.browser.camera import IMAGES, PHONE, WIDE, places, sign_in, take, take_both
from tests.browser.conftest import FIREFOX, SAFARI
from tests.browser.demo import DemoSite
from tests.runs import new_directory

LOGIN, SESSIONS, ACTIVITY = "/account/login/", "/account/sessions/", "/account/activity/"
END_OTHERS = f"{SESSIONS}end-others/"
OTHER = ".sessions li:not([aria-current]) button.end"
MAILS = "django.core.mail.backends.filebased.EmailBackend"


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    driver, where = Driver(), places()
    laptop, phone = driver.open("laptop", FIREFOX), driver.open("phone", SAFARI)
    for scenes in (take_sign_in, take_devices, take_ending, take_activity):
        with DemoSite("db", GEOIP_PATH=where) as site:
            laptop.visit(site.url)
            scenes(laptop)
    with DemoSite("db", GEOIP_PATH=where, SRVSESSION_REAUTH_AGE=0) as site:
        laptop.visit(site.url)
        take_confirmation(laptop)
    mails = new_directory("mails")
    with DemoSite("db", EMAIL_BACKEND=MAILS, EMAIL_FILE_PATH=str(mails), ALLOWED_HOSTS=["127.0.0.1"]) as site:
        for browser in (laptop, phone):
            browser.visit(site.url)
            sign_in(browser)
        laptop.visit(site.url)
        take_mail(laptop, mails)
    for look in ("admin", "bootstrap"):
        with DemoSite("db", look=look, GEOIP_PATH=where) as site:
            laptop.visit(site.url)
            sign_in(laptop)
            laptop.go("/elsewhere/2/")
            take(laptop, f"look-{look}", SESSIONS, 960)
    for browser in (laptop, phone):
        browser.remote.quit()
    take_bound(driver, where)
    driver.job.stop()


def take_bound(driver: Driver, where: str) -> None:
    """Take a session that is bound to its device, and what a browser without the key is told."""
    with BoundSite(GEOIP_PATH=where) as site, bound_browser(driver) as owner, bound_browser(driver, can=False) as other:
        owner.site = other.site = site.url
        sign_in(owner)
        owner.until(lambda: BOUND in cookies(owner))
        owner.go("/elsewhere/2/")
        take_both(owner, "bound", SESSIONS)
        other.go(LOGIN)
        give(other, site, **{SESSION: cookies(owner)[SESSION]})
        other.go(SESSIONS)
        take_both(other, "bound-elsewhere")


def take_sign_in(browser: Browser) -> None:
    """Take what leads in and out."""
    take_both(browser, "sign-in", LOGIN)
    browser.type("username", "alice")
    browser.type("password", "wrong")
    browser.press("Sign in", within="main")
    take_both(browser, "sign-in-wrong")
    sign_in(browser)
    take_both(browser, "sign-in-again", f"{LOGIN}?next=/")
    browser.go("/end-all/revoked/")
    take_both(browser, "why-it-ended", LOGIN)
    sign_in(browser)
    take_both(browser, "sign-out", "/account/logout/")
    browser.press("Sign out", within="main")
    browser.wait_for("location.pathname === '/account/logged-out/'")
    take_both(browser, "signed-out")
    take_both(browser, "unavailable", "/outage/")


def take_devices(browser: Browser) -> None:
    """Take the list of devices."""
    sign_in(browser)
    take_both(browser, "sessions-one", SESSIONS)
    take_both(browser, "name", f"{SESSIONS}name/")
    browser.type("device_name", "work laptop")
    browser.press("Save")
    browser.go("/elsewhere/3/")
    take_both(browser, "sessions", SESSIONS)
    take(browser, "sessions-dark", SESSIONS, scheme="dark")
    take(browser, "sessions-korean-phone", SESSIONS, PHONE, language="ko")
    take(browser, "sessions-right-to-left", SESSIONS, PHONE, language="ar")
    browser.prefer(width=WIDE)
    browser.go("/again/2/")
    browser.go(SESSIONS)
    browser.find(".group summary").click()
    take_both(browser, "sessions-group")


def take_ending(browser: Browser) -> None:
    """Take what is seen when devices are signed out, with scripts and without."""
    sign_in(browser)
    browser.go("/elsewhere/4/")
    browser.prefer(width=WIDE)
    browser.go(SESSIONS)
    end_url = str(browser.run(f"return document.querySelector('{OTHER}').getAttribute('formaction')"))
    browser.find(OTHER).click()
    browser.wait_for("document.querySelector('[data-srvsession-ended]') !== null")
    take_both(browser, "device-signed-out")
    browser.go(end_url)
    take_both(browser, "device-already-signed-out")
    browser.go(SESSIONS)
    end_url = str(browser.run(f"return document.querySelector('{OTHER}').getAttribute('formaction')"))
    take_both(browser, "question-one", end_url)
    take_both(browser, "question-others", END_OTHERS)
    browser.press("Sign out all others")
    take_both(browser, "others-signed-out")


def take_activity(browser: Browser) -> None:
    """Take the recent activity."""
    sign_in(browser)
    take_both(browser, "activity-empty", f"{ACTIVITY}?show=failed")
    browser.go("/past/9/")
    take_both(browser, "activity", ACTIVITY)
    take(browser, "activity-korean-phone", ACTIVITY, PHONE, language="ko", scheme="dark")


def take_confirmation(browser: Browser) -> None:
    """Take the pages that ask for the password again."""
    sign_in(browser)
    browser.go("/elsewhere/2/")
    take_both(browser, "confirm", "/account/confirm/")
    browser.type("password", "wrong")
    browser.press("Confirm")
    take_both(browser, "confirm-wrong")
    take_both(browser, "question-password", END_OTHERS)


def take_mail(browser: Browser, mails: Path) -> None:
    """Take the mail about a new device, and where it leads."""
    (mail,) = mails.iterdir()
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    part = message.get_body(("html",))
    assert part is not None
    shown = mails.parent / "mail.html"
    shown.write_text(str(part.get_content()).replace("<body", '<body class="as-it-is"', 1))
    browser.remote.get(shown.as_uri())
    take_both(browser, "mail")
    browser.prefer(width=WIDE)
    browser.follow("This was not me")
    take_both(browser, "not-me")
    address = str(browser.run("return location.href"))
    browser.press("This was not me: sign it out")
    browser.remote.get(address)
    take_both(browser, "not-me-already")


if __name__ == "__main__":
    main()
