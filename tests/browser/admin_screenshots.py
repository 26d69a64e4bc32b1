"""The pictures of the admin in the documentation: ``python -m tests.browser.admin_screenshots``."""

from __future__ import annotations

from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import FIREFOX
from tests.browser.demo import DemoSite
from tests.browser.screenshots import IMAGES, shrink

LIST = "/admin/srvsession/livesession/"


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    driver = Driver()
    browser = driver.open("admin-screenshots", FIREFOX)
    with DemoSite("db") as site:
        browser.visit(site.url)
        for name in ("alice", "bob"):
            sign_in(browser, name)
            browser.go("/elsewhere/4/")
            browser.command("Network.clearBrowserCookies")
        sign_in(browser, "admin")
        browser.prefer(width=1440)
        take(browser, "admin", LIST)
        browser.go(f"{LIST}?q=alice")
        browser.find("#result_list .field-session a").click()
        browser.wait_for("document.querySelector('.srvsession-contents') !== null")
        take(browser, "admin-detail")
    browser.remote.quit()
    driver.job.stop()


def sign_in(browser: Browser, name: str) -> None:
    """Sign in."""
    browser.go("/account/login/")
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.press("Sign in", within="main")


def take(browser: Browser, name: str, path: str = "") -> None:
    """Go to a page, if one is named, and take a picture of all of it."""
    if path:
        browser.go(path)
    height = browser.run("return document.querySelector('#content').getBoundingClientRect().bottom")
    width = browser.run("return window.innerWidth")
    size = {"width": width, "height": int(height) + 16, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    browser.screenshot(IMAGES / f"{name}.png")
    shrink(IMAGES / f"{name}.png")
    browser.command("Emulation.setDeviceMetricsOverride", **{**size, "height": 900})


if __name__ == "__main__":
    main()
