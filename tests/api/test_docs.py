"""The documentation's example for browsers, as it stands there, in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jsonschema_rs
import pytest

from tests.api.test_openapi import DOCUMENT, OPERATIONS
from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import FIREFOX, opened
from tests.browser.demo import DemoSite
from tests.docs.blocks import block
from tests.runs import ROOT

FRAME = """
const done = arguments[0];
const username = "alice", password = "demo-alice";
(async () => { %s
return %s; })().then(done, problem => done("failed: " + problem.message));
"""


def example() -> str:
    """Return the JavaScript of the page about single-page apps."""
    return "\n".join(block("how-to/single-page-apps", name).text for name in ("ask", "use"))


@pytest.mark.parametrize("name", ["person", "ended", "event", "invalid"])
def test_what_the_page_shows_is_what_the_description_says(name: str) -> None:
    schema = {**DOCUMENT["components"]["schemas"][name.title()], "components": DOCUMENT["components"]}
    shown = json.loads(block("reference/json", f"json-{name}").text)
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(shown)


def test_the_page_names_every_address_and_every_problem() -> None:
    page = (ROOT / "docs" / "reference" / "json.rst").read_text()
    for path, method in OPERATIONS:
        assert f"``{method.upper()} {path.replace('{sid}', '<sid>')}``" in page
    kinds = set(re.findall(r"urn:srvsession:problem:([\w-]+)", json.dumps(DOCUMENT)))
    assert kinds and all(f"``{kind}``" in page for kind in kinds)


@pytest.fixture
def browser(driver: Driver) -> Iterator[Browser]:
    """A browser."""
    yield from opened(driver.open("json", FIREFOX))


def test_the_example_for_browsers_works(browser: Browser) -> None:
    start, use = example().split("\nawait ask", 1)
    with DemoSite("memory") as site:
        browser.visit(site.url)
        sign_in = 'await ask("GET", "/whoami/"); await ask("POST", "/login/", { username, password });'
        first = browser.remote.execute_async_script(
            FRAME % (f"{start}\n{sign_in}", '(await ask("GET", "/whoami/")).session.sid')
        )
        browser.visit(site.url)  # Without the cookies: now the person is on two devices.
        everything = f"{start}\nawait ask{use}"
        left = browser.remote.execute_async_script(FRAME % (everything, '(await ask("GET", "/sessions/")).sessions'))
        leave = block("how-to/single-page-apps", "leave").text
        out = browser.remote.execute_async_script(
            FRAME % (f'{start}\nawait ask("GET", "/whoami/"); {leave}', '(await ask("GET", "/whoami/")).user')
        )
        wrong = 'await ask("POST", "/login/", { username, password: "x" });'
        refused = browser.remote.execute_async_script(FRAME % (f'{start}\nawait ask("GET", "/whoami/"); {wrong}', "0"))
    assert [session["current"] for session in left] == [True]
    assert out is None
    assert first not in [session["sid"] for session in left]
    assert refused.startswith("failed: Please enter a correct username and password")
