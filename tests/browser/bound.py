"""The example project over TLS, and Chromium with software keys: what binding a session takes on this machine."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from example_project.demo import tls
from tests.browser.browsers import Browser, Driver
from tests.browser.demo import DemoSite
from tests.runs import new_directory

LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
SESSION, BOUND = "sessionid", "sessionid_bound"
_numbers = itertools.count(1)


@cache
def certificate() -> tls.Certificate:
    """Return the certificate of this run."""
    return tls.certificate(new_directory("certificate"))


class BoundSite(DemoSite):
    """The example project over TLS, with sessions that are bound; keyword arguments are settings."""

    def __init__(self, engine: str = "db", **settings: Any) -> None:
        options = settings.pop("server", {})
        super().__init__(engine, **options, **settings)
        self.variables["SRVSESSION_DEMO_BIND"] = "offer"

    def command(self, descriptor: int) -> list[str]:
        """Return the command line, with the certificate."""
        made = certificate()
        return [*super().command(descriptor), f"--certfile={made.path}", f"--keyfile={made.key}"]

    def start(self) -> None:
        """Start, and be at https://localhost from then on: to a number no browser binds anything."""
        super().start()

    def answers(self) -> bool:
        """Whether the site serves a page."""
        self.url = self.url.replace("http://127.0.0.1", "https://localhost")
        try:
            connection = http.client.HTTPSConnection(self.url.removeprefix("https://"), context=_believing(), timeout=5)
            connection.request("GET", self.probe)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


class BoundSocketSite(BoundSite):
    """The same on an event loop, with a WebSocket."""

    def command(self, descriptor: int) -> list[str]:
        """Return uvicorn's command line."""
        made = certificate()
        files = [f"--ssl-certfile={made.path}", f"--ssl-keyfile={made.key}"]
        quiet = ["--log-level=warning", "--no-access-log", "--lifespan=off", "--ws=wsproto"]
        return ["uvicorn", "tests.browser.socket_app:application", f"--fd={descriptor}", *files, *quiet]


def _believing() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate().path))


def open_bound(driver: Driver, profile: Path | None = None, *flags: str, can: bool = True) -> Browser:
    """Open a browser that ``can`` be bound, or cannot; each needs a profile of its own, as Chromium limits proofs."""
    believing, binding = certificate().flags
    return driver.open(f"bound-{next(_numbers)}", LINUX, profile, [believing, *([binding] if can else []), *flags])


@contextmanager
def bound_browser(driver: Driver, profile: Path | None = None, *flags: str, can: bool = True) -> Iterator[Browser]:
    """Have such a browser for a while."""
    browser = open_bound(driver, profile, *flags, can=can)
    try:
        yield browser
    finally:
        browser.remote.quit()


def cookies(browser: Browser) -> dict[str, str]:
    """Return all cookies of a browser, those that scripts cannot see, too."""
    return {cookie["name"]: cookie["value"] for cookie in browser.command("Network.getAllCookies")["cookies"]}


def give(browser: Browser, site: BoundSite, **stolen: str) -> None:
    """Put stolen cookies into a browser."""
    for name, value in stolen.items():
        browser.command("Network.setCookie", url=site.url, name=name, value=value, secure=True, httpOnly=True)


def lose(browser: Browser, site: BoundSite, name: str = BOUND) -> None:
    """Have a cookie run out."""
    browser.command("Network.deleteCookies", url=site.url, name=name)


@contextmanager
def device_events(browser: Browser) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Have the browser say what becomes of its device's keys; yields a function that returns what it said so far."""
    browser.command("Network.enable")
    browser.command("Network.enableDeviceBoundSessions", enable=True)
    _performance(browser)
    said: list[dict[str, Any]] = []

    def events() -> list[dict[str, Any]]:
        said.extend(_performance(browser))
        return said

    yield events


def _performance(browser: Browser) -> list[dict[str, Any]]:
    """Return what the browser said since it was last asked, of this kind."""
    entries = browser.remote.execute("getLog", {"type": "performance"})["value"]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    return [message["params"] for message in messages if message["method"] == "Network.deviceBoundSessionEventOccurred"]
