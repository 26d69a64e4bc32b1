"""The OpenAPI file, and that nothing in it is made up: each answer that it tells of occurs, and is as it says."""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from django_srvsession.api import urls
from django_srvsession.engine.keys import SessionKey
from tests.api.client import Api, url
from tests.engine.watched import WatchedStore
from tests.later import Later

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = json.loads((Path(urls.__file__).parent / "openapi.json").read_text())
OPERATIONS = [(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations]
PROBLEM = "application/problem+json"
BODIES: dict[str, Any] = {
    "/login/": {"username": "ann", "password": "pass-ann"},
    "/confirm-password/": {"password": "pass-ann"},
}


def test_the_file_is_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_the_file_knows_every_address_with_its_methods_and_no_others() -> None:
    sid = "0" * 18
    names = [pattern.name for pattern in urls.urlpatterns if pattern.name]
    routes = {url(name, *([sid] if name == "session" else [])) for name in names}
    assert {f"/api{path}".format(sid=sid) for path in DOCUMENT["paths"]} == routes
    for path, operations in DOCUMENT["paths"].items():
        allowed = Api().ask("OPTIONS", f"/api{path}".format(sid=sid))["Allow"].lower().split(", ")
        assert set(allowed) - {"head", "options"} == set(operations)


# Its examples.


def described(node: Any, where: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield what has examples, or should: a place, its schema, and its examples."""
    if isinstance(node, dict):
        is_content = where.endswith(("/application/json", f"/{PROBLEM}"))
        if is_content or where.rpartition("/")[0].endswith(("/parameters", "/headers")):
            values = [one["value"] for one in node.get("examples", {}).values()]
            values += [node["example"]] if "example" in node else []
            if "schema" in node:
                yield where, node["schema"], values
        if "examples" in node and isinstance(node["examples"], list):
            yield where, node, node["examples"]
    for name, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from described(inner, f"{where}/{name}")


DESCRIBED = list(described(DOCUMENT))


@pytest.mark.parametrize(("where", "schema", "examples"), DESCRIBED, ids=[where for where, _, _ in DESCRIBED])
def test_every_example_is_what_its_schema_says(where: str, schema: Any, examples: list[Any]) -> None:
    validator = jsonschema_rs.Draft202012Validator(
        {"components": DOCUMENT["components"], **schema}, validate_formats=True
    )
    for example in examples:
        validator.validate(example)
    if "application/" in where or "/parameters/" in where:
        assert examples, f"{where} has no example"


def test_the_examples_were_found_and_a_wrong_one_would_be() -> None:
    assert len(DESCRIBED) > 40
    where, schema, _ = next(one for one in DESCRIBED if "/whoami/" in one[0])
    with pytest.raises(jsonschema_rs.ValidationError):
        test_every_example_is_what_its_schema_says(where, schema, [{"user": 1}])


def test_no_example_holds_a_key_that_opens_anything() -> None:
    texts = re.findall(r"[\w-]{40}", json.dumps(DOCUMENT))
    assert texts
    assert [text for text in texts if SessionKey.parse(text) is not None] == []


def test_every_operation_has_one_tag_and_every_tag_an_operation() -> None:
    tags = [DOCUMENT["paths"][path][method]["tags"] for path, method in OPERATIONS]
    assert all(len(one) == 1 for one in tags)
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {one[0] for one in tags}
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_an_app_may_do_all_that_a_browser_may() -> None:
    for path, method in OPERATIONS:
        ways = DOCUMENT["paths"][path][method]["security"]
        assert {"sessionToken": []} in ways or ways == [{}], path


# Each answer that the file tells of occurs.


def resolved(node: Any) -> Any:
    """Return what a reference refers to."""
    if "$ref" not in node:
        return node
    return functools.reduce(operator.getitem, node["$ref"].removeprefix("#/").split("/"), DOCUMENT)


def kinds_of(answer: Any) -> list[str]:
    """Return the problem types that an answer may have; one empty text for an answer that is no problem."""
    schema = resolved(answer.get("content", {}).get(PROBLEM, {}).get("schema", {}))
    found = [resolved(one) for one in schema.get("oneOf", [schema])]
    return [one["properties"]["type"]["const"] if one else "" for one in found]


def documented() -> Iterator[tuple[str, str, int, str]]:
    """Yield operation, status and problem type of each answer in the file."""
    for path, method in OPERATIONS:
        for status, answer in DOCUMENT["paths"][path][method]["responses"].items():
            for kind in kinds_of(resolved(answer)):
                yield path, method, int(status), kind.removeprefix("urn:srvsession:problem:")


class Asking:
    """One request to one operation, by who is signed in, with what brings about the answer in question."""

    def __init__(self, path: str, method: str, settings: Any, patch: pytest.MonkeyPatch, store: Any) -> None:
        self.path, self.method, self.store = path, method.upper(), store
        self.settings, self.patch = settings, patch
        settings.SRVSESSION_EVENT_LOG = 30
        self.api = Api("ann")
        self.body: Any = BODIES.get(path)
        self.headers: dict[str, str] = {}
        self.query = ""
        self.sid = Api("ann").sid

    def answer(self) -> Any:
        """Send it."""
        address = "/api" + self.path.replace("{sid}", self.sid) + self.query
        return self.api.ask(self.method, address, self.body, headers=self.headers)

    def malformed(self) -> None:
        self.body, self.query = b"{", "?" + "&".join(["x=1"] * 2000)

    def anonymous(self) -> None:
        self.api = Api()

    def forged(self) -> None:
        self.headers = {"X-CSRFToken": ""}

    def wrong(self) -> None:
        self.body = {**self.body, "password": "wrong"}

    def full(self) -> None:
        self.settings.SRVSESSION_MAX_SESSIONS_PER_USER = 1
        self.settings.SRVSESSION_LIMIT_POLICY = "refuse"
        Api("ann")
        self.api = Api()

    def stale(self) -> None:
        Later(self.patch, 24 * 3600)
        if self.path == "/confirm-password/":  # While the site moves.
            self.settings.SRVSESSION_MIGRATE_TO = self.settings.SESSION_ENGINE
            self.settings.SRVSESSION_MIGRATE_UNTIL = "2100-01-01"
            self.settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
            self.api = Api("ann")

    def gone(self) -> None:
        self.sid = "0" * 18
        self.settings.SRVSESSION_EVENT_LOG = None

    def long(self) -> None:
        self.body = b" " * 100_000

    def form(self) -> None:
        self.body, self.headers = b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}

    def strange(self) -> None:
        self.body, self.query = {"strange": 1}, "?limit=0"

    def out(self) -> None:
        self.store.go_out()


HOW: dict[tuple[int, str], Callable[[Asking], None]] = {
    (200, ""): lambda asking: None,
    (204, ""): lambda asking: None,
    (400, "about:blank"): Asking.malformed,
    (401, "about:blank"): Asking.anonymous,
    (403, "csrf"): Asking.forged,
    (403, "wrong-credentials"): Asking.wrong,
    (403, "too-many-sessions"): Asking.full,
    (403, "proof-required"): Asking.stale,
    (404, "about:blank"): Asking.gone,
    (413, "about:blank"): Asking.long,
    (415, "about:blank"): Asking.form,
    (422, "invalid"): Asking.strange,
    (503, "about:blank"): Asking.out,
}


@pytest.mark.parametrize(("path", "method", "status", "kind"), list(documented()))
def test_each_answer_in_the_file_occurs_as_it_says(
    ann: Any,
    store: WatchedStore,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    method: str,
    status: int,
    kind: str,
) -> None:
    asking = Asking(path, method, settings, monkeypatch, store)
    HOW[status, kind](asking)
    answer = asking.answer()
    assert answer.status_code == status, answer.content
    content = resolved(DOCUMENT["paths"][path][method]["responses"][str(status)]).get("content")
    if content is None:
        assert (answer.content, "Content-Type" in answer.headers) == (b"", False)
        return
    ((media_type, described),) = content.items()
    assert answer["Content-Type"] == media_type
    assert answer.json().get("type", "").endswith(kind)
    components = {"components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator({**components, **described["schema"]}, validate_formats=True).validate(
        answer.json()
    )
