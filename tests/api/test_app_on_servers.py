"""A native app and a real server: the documentation's JavaScript, and a header of another spelling."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app import HEADER
from tests.browser.demo import DemoSite
from tests.docs.blocks import block
from tests.patience import patient
from tests.processes import Site, Visitor
from tests.servers import find_program, missing

STORY = """
const steps = [];
const note = async (step) => steps.push(await step.then((found) => found, (problem) => problem.message));
await note(ask("GET", "/whoami/"));
await note(signIn("alice", "wrong"));
await note(signIn("alice", "demo-alice"));
const first = token;
token = "new";
await note(signIn("alice", "demo-alice"));
const [one, two] = await sessions();
steps.push(one, two);
await note(end(two.sid));
await note(Promise.all([sessions(), sessions()]));
const second = token;
await note(signOut());
steps.push(token);
token = first;
await note(sessions());
steps.push([first, second, token]);
console.log(JSON.stringify(steps));
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The demo, which takes the header."""
    with DemoSite("memory", SRVSESSION_HEADER=HEADER) as site:
        yield site


def test_the_recipe_for_javascript_works(site: Site) -> None:
    program = block("how-to/native-apps", "app").text.replace("https://example.com", site.url) + STORY
    command = [str(find_program("node") or missing("node")), "--input-type=module", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 0, done.stderr
    who, refused, here, again, one, two, ended, both, out, after, dead, tokens = json.loads(done.stdout)
    assert (who["user"], who["csrf_token"]) == (None, None)
    assert "correct username and password" in refused
    assert here["user"]["username"] == again["user"]["username"] == "alice"
    assert [(session["current"], session["device"]["kind"]) for session in (one, two)] == [
        (True, "app"),
        (False, "app"),
    ]
    assert one["device"]["name"] == "MyApp 2.3 on Pixel 8"
    assert (ended, [len(sessions) for sessions in both], out, after) == (None, [1, 1], None, "new")
    assert dead == "Sign in first."
    assert len({*tokens}) == 3 and tokens[2] == "new", "a token that opens nothing any more is dropped"


def whoami(site: Site, header: str, token: str) -> tuple[Any, str | None]:
    """Return the user's name, and what the answer says of the token, to a header that is spelt so."""
    connection = http.client.HTTPConnection(Visitor(site.url).address, timeout=patient(30))
    try:
        connection.request("GET", "/api/whoami/", headers={header: token})
        answer = connection.getresponse()
        return json.loads(answer.read())["user"], answer.headers.get(HEADER)
    finally:
        connection.close()


def test_a_header_with_underscores_is_another_one(site: Site) -> None:
    connection = http.client.HTTPConnection(Visitor(site.url).address, timeout=patient(30))
    body = json.dumps({"username": "alice", "password": "demo-alice"})
    connection.request("POST", "/api/login/", body, {HEADER: "new", "Content-Type": "application/json"})
    answer = connection.getresponse()
    token = answer.headers[HEADER]
    connection.close()
    assert answer.headers.get_all("Set-Cookie") is None
    assert whoami(site, HEADER.lower(), token)[0]["username"] == "alice"
    assert whoami(site, "X_Session_Token", token) == (None, None)
    assert whoami(site, "X-Session_Token", token) == (None, None)
