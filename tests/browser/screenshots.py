"""The pictures of the documentation: ``python -m tests.browser.screenshots`` (``make screenshots``)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import FIREFOX
from tests.browser.demo import DemoSite
from tests.runs import ROOT

IMAGES = ROOT / "docs" / "images"
WIDE, NARROW = 720, 390  # CSS pixels
BOTTOM = (
    "const parts = [...document.querySelectorAll('.srvsession > *')];"
    "return Math.ceil(Math.max(...parts.map((part) => part.getBoundingClientRect().bottom)))"
)


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    driver = Driver()
    browser = driver.open("screenshots", FIREFOX)
    with DemoSite("db") as site:
        browser.visit(site.url)
        take_pages(browser)
    with DemoSite("db") as site:
        browser.visit(site.url)
        browser.prefer(width=WIDE)
        sign_in(browser)
        browser.go("/past/9/")
        take(browser, "activity", "/account/activity/")
    for look in ("admin", "bootstrap"):
        with DemoSite("db", look=look) as site:
            browser.visit(site.url)
            sign_in(browser)
            browser.go("/elsewhere/2/")
            browser.prefer(width=960)
            take(browser, f"look-{look}", "/account/sessions/")
    browser.remote.quit()
    driver.job.stop()


def take_pages(browser: Browser) -> None:
    """Take the pages in our own looks."""
    browser.prefer(width=WIDE)
    take(browser, "sign-in", "/account/login/")
    sign_in(browser)
    browser.go("/end-all/revoked/")
    take(browser, "why-it-ended", "/account/login/")
    sign_in(browser)
    browser.go("/elsewhere/3/")
    take(browser, "sessions", "/account/sessions/")
    browser.prefer(scheme="dark", width=WIDE)
    take(browser, "sessions-dark", "/account/sessions/")
    browser.prefer(language="ko", width=NARROW)
    take(browser, "sessions-korean-phone", "/account/sessions/")
    browser.prefer(language="ar", width=NARROW)
    take(browser, "sessions-right-to-left", "/account/sessions/")
    browser.prefer(width=WIDE)
    take(browser, "confirm", "/account/confirm/")


def sign_in(browser: Browser) -> None:
    """Sign in as alice."""
    browser.go("/account/login/")
    browser.type("username", "alice")
    browser.type("password", "demo-alice")
    browser.find("main [name=password]").submit()
    browser.wait_for("location.pathname === '/'")


def take(browser: Browser, name: str, path: str) -> None:
    """Go to a page and take a picture of all of it."""
    browser.go(path)
    height = browser.run(BOTTOM) + 24
    width = browser.run("return window.innerWidth")
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    browser.screenshot(IMAGES / f"{name}.png")
    shrink(IMAGES / f"{name}.png")
    browser.command("Emulation.setDeviceMetricsOverride", **{**size, "height": 900})


def shrink(file: Path) -> None:
    """Keep 64 colours: a quarter of the size, and nobody sees it."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


if __name__ == "__main__":
    main()
