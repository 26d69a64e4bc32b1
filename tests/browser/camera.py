"""Pictures of what a browser shows, for the documentation."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.browser.browsers import Browser
from tests.geoip import SEOUL, write_database
from tests.runs import ROOT, new_directory

IMAGES = ROOT / "docs" / "images"
WIDE, PHONE = 720, 390  # CSS pixels
_PARTS = ".srvsession > :not([data-srvsession-status]), #content, .as-it-is"
_BOTTOM = f"""
const parts = [...document.querySelectorAll("{_PARTS}")].map((part) => part.getBoundingClientRect().bottom);
const notice = document.querySelector("[data-srvsession-status] > *");
return Math.ceil(Math.max(300, ...parts)) + (notice ? 100 : 40);
"""
_PLACES = {
    "203.0.113.0/24": SEOUL,
    "198.51.100.0/24": {"city": {"names": {"en": "Wellington"}}, "country": {"names": {"en": "New Zealand"}}},
    "2001:db8::/32": {"city": {"names": {"en": "Lisbon"}}, "country": {"names": {"en": "Portugal"}}},
}
_MOST_HIGH = 1500


def sign_in(browser: Browser, name: str = "alice") -> None:
    """Sign in as one of the demo's users."""
    browser.go("/account/login/")
    browser.type("username", name)
    browser.type("password", f"demo-{name}")
    browser.find("main [name=password]").submit()
    browser.wait_for("location.pathname === '/'")


def places() -> str:
    """Return the directory of a GeoIP database that knows where the demo's devices are."""
    directory = new_directory("places")
    write_database(directory / "GeoLite2-City.mmdb", "GeoLite2-City", _PLACES)
    return str(directory)


def take(browser: Browser, name: str, path: str = "", width: int = WIDE, **preferences: str) -> None:
    """Keep a picture of all of a page: the one that the browser is on, or another one."""
    browser.prefer(width=width, **preferences)  # type: ignore[arg-type]
    if path:
        browser.go(path)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    height = min(browser.run(_BOTTOM), _MOST_HIGH)
    browser.command("Emulation.setDeviceMetricsOverride", **{**size, "height": height})
    browser.screenshot(IMAGES / f"{name}.png")
    _shrink(IMAGES / f"{name}.png")
    browser.command("Emulation.setDeviceMetricsOverride", **size)


def take_both(browser: Browser, name: str, path: str = "", width: int = WIDE) -> None:
    """Keep a picture of a page on a desktop, and one on a phone (``<name>-phone``)."""
    take(browser, name, path, width)
    take(browser, f"{name}-phone", width=PHONE)


def _shrink(file: Path) -> None:
    """Keep 64 colours: a quarter of the size, and nobody sees it."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
