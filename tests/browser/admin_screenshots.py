"""The pictures of the admin in the documentation: ``python -m tests.browser.admin_screenshots``."""

from __future__ import annotations

from tests.browser.browsers import Browser, Driver
from tests.browser.camera import IMAGES, PHONE, places, sign_in, take, take_both
from tests.browser.conftest import FIREFOX
from tests.browser.demo import DemoSite

LIST, EVENTS, USERS = "/admin/srvsession/livesession/", "/admin/srvsession/sessionevent/", "/admin/auth/user/"
WIDTH = 1366  # CSS pixels
ASKED = "document.querySelector('.srvsession-confirm') !== null"


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    driver, where = Driver(), places()
    browser = driver.open("admin-screenshots", FIREFOX)
    with DemoSite("db", GEOIP_PATH=where) as site:
        browser.visit(site.url)
        fill(browser)
        take_lists(browser)
        take_questions(browser)
    with DemoSite("db", GEOIP_PATH=where, SRVSESSION_REAUTH_AGE=0) as site:
        browser.visit(site.url)
        fill(browser)
        browser.go(LIST)
        browser.find(".field-user a")
        browser.run("document.querySelectorAll('.srvsession-end')[2].click()")
        browser.wait_for(ASKED)
        take_both(browser, "admin-question-password", width=WIDTH)
    browser.remote.quit()
    driver.job.stop()


def fill(browser: Browser) -> None:
    """Let people be signed in on several devices, and sign in as the administrator."""
    for name in ("alice", "bob"):
        sign_in(browser, name)
        browser.go("/elsewhere/4/")
        browser.command("Network.clearBrowserCookies")
    sign_in(browser, "admin")


def take_lists(browser: Browser) -> None:
    """Take what only shows."""
    take_both(browser, "admin", LIST, WIDTH)
    take(browser, "admin-1280", LIST, 1280)
    take(browser, "admin-korean-dark", LIST, WIDTH, language="ko", scheme="dark")
    take_both(browser, "admin-empty", f"{LIST}?device=bot", WIDTH)
    browser.prefer(width=WIDTH)
    browser.go(f"{LIST}?q=alice")
    browser.find("#result_list .field-session a").click()
    browser.wait_for("document.querySelector('.srvsession-contents') !== null")
    take_both(browser, "admin-detail", width=WIDTH)
    take_both(browser, "admin-events", EVENTS, WIDTH)
    take_both(browser, "admin-events-empty", f"{EVENTS}?kind=failed", WIDTH)
    browser.prefer(width=WIDTH)
    browser.go(f"{USERS}?username=alice")
    browser.follow("alice")
    take_both(browser, "admin-user", width=WIDTH)


def take_questions(browser: Browser) -> None:
    """Take what is asked before anything ends, and what is said afterwards."""
    browser.prefer(width=WIDTH)
    browser.go(f"{USERS}?username=alice")
    browser.follow("alice")
    browser.run("document.querySelector('.object-tools [href*=livesession]').click()")
    browser.wait_for("document.querySelector('#changelist') !== null")
    browser.run("document.querySelector('.object-tools [href*=end-user]').click()")
    browser.wait_for(ASKED)
    take_both(browser, "admin-question-user", width=WIDTH)
    take(browser, "admin-question-korean-phone", str(browser.run("return location.pathname + location.search")), PHONE,
         language="ko")  # fmt: skip
    browser.prefer(width=WIDTH)
    browser.go(f"{LIST}?kind=user")
    browser.run("document.querySelectorAll('.srvsession-end')[2].click()")
    browser.wait_for(ASKED)
    take_both(browser, "admin-question", width=WIDTH)
    browser.prefer(width=WIDTH)
    browser.find(".srvsession-confirm input[type=submit]").click()
    browser.wait_for("document.querySelector('.messagelist') !== null")
    take_both(browser, "admin-signed-out", width=WIDTH)


if __name__ == "__main__":
    main()
