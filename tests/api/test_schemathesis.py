"""Schemathesis holds the OpenAPI file and the API against each other, with all of its checks, and finds nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as bounds
from schemathesis.specs.openapi.checks import ignored_auth

from tests.api.test_openapi import DOCUMENT
from tests.app import HEADER
from tests.trust import WHOLE

pytestmark = pytest.mark.django_db(transaction=True)


CSRF_SECRET = "a" * 32
ANY_SESSION = "the-key-of-a-new-session"
"""Stands for a session's key: schemathesis makes its requests before there is a store to keep sessions in."""


@pytest.fixture(autouse=True)
def _kept(settings: Any) -> None:
    """A site that keeps recent activity."""
    settings.SRVSESSION_EVENT_LOG = 30


class Visitor:
    """What schemathesis takes for authentication: a CSRF token."""

    cookies: ClassVar[dict[str, str]] = {"csrftoken": CSRF_SECRET}

    def get(self, case: Any, context: Any) -> bool:
        """Say that there is something to set."""
        return True

    def set(self, case: Any, data: bool, context: Any) -> None:
        """Put it in the place of what was made up for it."""
        case.cookies = {**(case.cookies or {}), **self.cookies}
        case.headers = {**(case.headers or {}), "X-CSRFToken": CSRF_SECRET}


class SignedIn(Visitor):
    """A CSRF token and a session, for each request a new one: some of them end it."""

    cookies: ClassVar[dict[str, str]] = {**Visitor.cookies, "sessionid": ANY_SESSION}


class App(Visitor):
    """A token in the header, and no cookie."""

    cookies: ClassVar[dict[str, str]] = {}

    def set(self, case: Any, data: bool, context: Any) -> None:
        """Put it in the place of all that was made up for it."""
        case.cookies, case.headers = {}, {**(case.headers or {}), HEADER: ANY_SESSION}
        case.headers.pop("X-CSRFToken", None)


def application(environ: Any, start_response: Any) -> Any:
    """Serve the site with the settings of the test at hand."""
    if environ.get("HTTP_X_SESSION_TOKEN") == ANY_SESSION:
        environ["HTTP_X_SESSION_TOKEN"] = new_key()
    if ANY_SESSION in environ.get("HTTP_COOKIE", ""):
        environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace(ANY_SESSION, new_key())
    return WSGIHandler()(environ, start_response)


def new_key() -> str:
    """Sign ann in, without hashing a password."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="ann"))
    return client.cookies["sessionid"].value


def described(client: type[Visitor] | None = None) -> Any:
    """Return the file as schemathesis reads it, for requests of this kind of client."""
    schema: Any = schemathesis.openapi.from_dict(DOCUMENT)
    schema.app = application
    if client is not None:
        schema.auth(refresh_interval=None)(client)
    return schema


bounded = bounds(
    max_examples=15 if WHOLE else 5,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)


answered: dict[tuple[type[Visitor], str], set[int]] = defaultdict(set)
"""The statuses that the requests of signed-in clients were answered with."""


@described(SignedIn).parametrize()
@bounded
def test_schemathesis_finds_nothing_as_a_user(case: Any, ann: Any) -> None:
    note(SignedIn, case, case.call_and_validate())


@described(App).parametrize()
@bounded
def test_schemathesis_finds_nothing_as_an_app(case: Any, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_HEADER = HEADER
    # A token that opens nothing is no problem for who wants to sign out: they are.
    passed_over = [ignored_auth] if case.operation.path == "/logout/" else []
    note(App, case, case.call_and_validate(excluded_checks=passed_over))


def note(client: type[Visitor], case: Any, answer: Any) -> None:
    if case.method == case.operation.method.upper():
        answered[client, case.operation.label].add(answer.status_code)


@pytest.mark.parametrize("client", [SignedIn, App])
def test_the_requests_got_past_the_gates(client: type[Visitor]) -> None:
    """Were all of them refused, the tests above would have seen nothing."""
    found = {operation: statuses for (one, operation), statuses in answered.items() if one is client}
    if not found:
        pytest.skip("needs the test before")
    beyond = {operation: statuses & {200, 204, 404, 422} for operation, statuses in found.items()}
    assert beyond == {
        "GET /whoami/": {200},
        "GET /activity/": {200, 422},
        "GET /sessions/": {200, 422},
        "POST /login/": {422},
        "POST /logout/": {204},
        "POST /confirm-password/": {422},
        "POST /sessions/end-others/": {200},
        "GET /sessions/{sid}/": {404},
        "DELETE /sessions/{sid}/": {404},
        "GET /openapi.json": {200},
    }


@described(Visitor).parametrize()
@bounded
def test_schemathesis_finds_nothing_as_a_visitor(case: Any, ann: Any) -> None:
    case.call_and_validate()


@described().parametrize()
@bounded
def test_schemathesis_finds_nothing_without_a_cookie(case: Any, ann: Any) -> None:
    case.call_and_validate()
