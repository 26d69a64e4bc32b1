"""Chromium with a profile of its own, driven by Selenium."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver import ActionChains, ChromeOptions, Remote
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.patience import patient
from tests.processes import Answer, Visitor
from tests.runs import Job, new_directory, wait_until
from tests.servers import find_program, missing

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it.
    "--disable-gpu",
    "--disable-lcd-text",  # Pictures of grey letters are half as large as those of coloured ones.
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,900",
    "--lang=en",
]


class Driver:
    """One chromedriver, for any number of browsers; both go with the run, however it ends."""

    def __init__(self) -> None:
        program = find_program("chromedriver") or missing("chromedriver")
        self.chromium = find_program("chromium", "google-chrome") or missing("chromium")
        self.directory = new_directory("chromedriver")
        self.job = Job([program, "--port=0"], self.directory)
        wait_until(lambda: self.port is not None, self.job)

    @property
    def port(self) -> int | None:
        """Where it listens, as its log says, or None before."""
        text = self.job.log.read_text() if self.job.log.exists() else ""
        found = re.search(r"started successfully on port (\d+)", text)
        return int(found[1]) if found else None

    def open(self, name: str, user_agent: str, profile: Path | None = None, flags: Sequence[str] = ()) -> Browser:
        """Open a browser, with an empty profile or with one that another browser has left."""
        options = ChromeOptions()
        options.binary_location = str(self.chromium)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", **({"performance": "ALL"} if flags else {})})
        profile = profile or new_directory(f"profile-{name}")
        for flag in [*FLAGS, f"--user-data-dir={profile}", f"--user-agent={user_agent}", *flags]:
            options.add_argument(flag)
        return Browser(Remote(f"http://127.0.0.1:{self.port}", options=options))


class Browser:
    """What a person does with a browser."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        remote.set_page_load_timeout(patient(30))
        self.site = ""

    def turn_to(self, site: str) -> None:
        """Forget everything; what comes next is on this site. What was shown is shown until then."""
        self.command("Network.clearBrowserCookies")
        self.site = site

    def visit(self, site: str) -> None:
        """Forget everything and go to a site."""
        self.turn_to(site)
        self.go("/")

    def command(self, command: str, /, **parameters: object) -> Any:
        """Give the browser a command of the DevTools protocol."""
        return self.remote.execute("executeCdpCommand", {"cmd": command, "params": parameters})["value"]

    def ask(self, path: str, **form: str) -> Answer:
        """Fetch a page, or send a form, and keep the answer's cookies; nothing is shown, which is quick."""
        held = self.command("Network.getCookies", urls=[self.site])["cookies"]
        visitor = Visitor(self.site, {cookie["name"]: cookie["value"] for cookie in held})
        headers = {"User-Agent": self.run("return navigator.userAgent")}
        answer = visitor.send(path, urlencode(form), headers) if form else visitor.get(path, headers=headers)
        for name, morsel in answer.cookies.items():
            expires = {"expires": time.time() + int(morsel["max-age"])} if morsel["max-age"] else {}
            self.command(
                "Network.setCookie",
                name=name,
                value=morsel.value,
                url=self.site,
                httpOnly=bool(morsel["httponly"]),
                sameSite=morsel["samesite"] or "Lax",
                **expires,
            )
        return answer

    def prefer(
        self, *, scheme: str = "light", language: str = "en", width: int = 0, height: int = 900, motion: str = "reduce"
    ) -> None:
        """Set what a person prefers: light or dark, a language; and how large the window is (width 0: as it was)."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.command("Network.enable")
        self.command("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride" if width else "Emulation.clearDeviceMetricsOverride", **size)

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page, whatever its policy says, and return what it returns."""
        return self.remote.execute_script(script, *arguments)

    def wait_for(self, script: str) -> None:
        """Wait until an expression of JavaScript is true."""
        self.until(lambda: self.remote.execute_script(f"return {script}"))

    def until(self, answers: Callable[[], Any], ignoring: type[Exception] = NoSuchElementException) -> Any:
        """Call until the answer is true, and return it; this kind of error is no answer yet."""
        return WebDriverWait(self.remote, patient(10), ignored_exceptions=[ignoring]).until(lambda remote: answers())

    def click(self, text: str, within: str = "body") -> None:
        """Click on a button, and stay."""
        self._button(text, within).click()

    @property
    def console(self) -> list[str]:
        """What the browser's console says since it was last asked: refusals of the policy, errors of scripts."""
        said = (str(entry["message"]) for entry in self.remote.execute("getLog", {"type": "browser"})["value"])
        return [line for line in said if "/favicon.ico" not in line]  # It asks for one by itself, whenever it likes.

    def go(self, path: str) -> None:
        """Load a page of the site."""
        self.remote.get(self.site + path)

    def find(self, selector: str) -> WebElement:
        """Return the first element that a CSS selector finds; it is there within ten seconds, or it is an error."""
        element: WebElement = self.until(lambda: self.remote.find_element(By.CSS_SELECTOR, selector))
        return element

    def texts(self, selector: str) -> list[str]:
        """Return what people read in the elements that a CSS selector finds, once the page is loaded."""
        self.wait_for("document.readyState === 'complete'")
        return [element.text for element in self.remote.find_elements(By.CSS_SELECTOR, selector)]

    @property
    def heading(self) -> str:
        """What the page says it is."""
        return self.find("h1").text

    def follow(self, text: str) -> None:
        """Click on a link, and wait for the next page."""
        self._leave_by(self.until(lambda: self.remote.find_element(By.LINK_TEXT, text)))

    def press(self, text: str, within: str = "body") -> None:
        """Click on a button, and wait for the next page."""
        self._leave_by(self._button(text, within))

    def _button(self, text: str, within: str) -> WebElement:
        button = f".//button[normalize-space()='{text}']"
        element: WebElement = self.until(lambda: self.find(within).find_element(By.XPATH, button))
        return element

    def _leave_by(self, element: WebElement) -> None:
        page = self.find("html").id
        element.click()
        # Not staleness_of(): while documents change, the driver answers a question about the old one with an error.
        self.until(lambda: self.remote.find_element(By.TAG_NAME, "html").id != page, ignoring=WebDriverException)

    def middle_of(self, element: WebElement) -> tuple[int, int]:
        """Return where the middle of an element is in the window, in CSS pixels."""
        box = self.run("return arguments[0].getBoundingClientRect().toJSON()", element)
        return int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)

    def press_at(self, place: tuple[int, int], *, touch: bool = False, times: int = 1) -> None:
        """Press at a place in the window, whatever is there: with the mouse, or with a finger."""
        x, y = place
        for count in range(1, times + 1):
            if touch:
                self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
                self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
                continue
            for kind in ("mousePressed", "mouseReleased"):
                self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def type(self, field: str, text: str) -> None:
        """Type into a field of a form."""
        self.find(f"[name={field}]").send_keys(text)

    def press_key(self, name: str) -> None:
        """Press a key, wherever the focus is."""
        ActionChains(self.remote).send_keys(getattr(Keys, name.upper())).perform()

    def screenshot(self, path: Path) -> None:
        """Keep what is seen."""
        self.remote.save_screenshot(str(path))
