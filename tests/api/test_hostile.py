"""What comes in wrong is a problem: never an error of ours, never a page, never a change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import UnreadablePostError
from django.test import Client
from django.utils import translation

from django_srvsession import services
from django_srvsession.api.bodies import read_body
from django_srvsession.api.problems import ProblemError
from tests.api.client import Api, errors_in, problem, url

pytestmark = pytest.mark.django_db(transaction=True)

CSRF = "urn:srvsession:problem:csrf"
SID = "0" * 18
METHODS = {
    "whoami": "GET, HEAD, OPTIONS",
    "sessions": "GET, HEAD, OPTIONS",
    "login": "POST, OPTIONS",
    "logout": "POST, OPTIONS",
    "confirm_password": "POST, OPTIONS",
    "end_others": "POST, OPTIONS",
    "session": "GET, DELETE, HEAD, OPTIONS",
    "openapi": "GET, HEAD, OPTIONS",
}
ADDRESSES = {name: f"/api/sessions/{SID}/" if name == "session" else "" for name in METHODS}
UNSAFE = [
    ("POST", "login"),
    ("POST", "logout"),
    ("POST", "confirm_password"),
    ("POST", "end_others"),
    ("DELETE", "session"),
]
NO_JSON = {
    "nothing but a word": b"hello",
    "cut off": b'{"username": "ann"',
    "two documents": b"{} {}",
    "trailing comma": b'{"username": "ann",}',
    "single quotes": b"{'username': 'ann'}",
    "a comment": b"{} // all",
    "duplicate": b'{"username": "ann", "password": "a", "password": "b"}',
    "nested duplicate": b'{"username": {"a": 1, "a": 2}}',
    "NaN": b'{"username": NaN}',
    "Infinity": b'{"username": -Infinity}',
    "deep lists": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep and open": b"[" * 60_000,
    "long number": b'{"username": ' + b"9" * 20_000 + b"}",
    "no UTF-8": b'{"username": "\xff"}',
    "overlong": b'{"username": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"username": "\xed\xa0\x80"}',
    "a lone surrogate": b'{"username": "\\ud800"}',
    "a lone surrogate as name": b'{"\\udfff": "x"}',
    "UTF-16": '{"username": "ann"}'.encode("utf-16"),
    "UTF-32": '{"username": "ann"}'.encode("utf-32"),
    "byte order mark": b'\xef\xbb\xbf{"username": "ann"}',
    "control character": b'{"username": "a\x00b"}',
    "blank": b"   ",
    "a list": b"[]",
    "a string": b'"username"',
    "null": b"null",
    "a number": b"1e400",
}


def address(name: str) -> str:
    return url(name, *([SID] if name == "session" else []))


# Bodies.


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("name", ["login", "logout", "confirm_password"])
def test_what_is_no_json_object_is_a_bad_request(ann: Any, name: str, body: bytes) -> None:
    api = Api("ann")
    problem(api.post(name, body), 400)
    assert api.user() == "ann"


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["ann"], {"$ne": ""}])
@pytest.mark.parametrize("member", ["username", "password"])
def test_a_text_of_another_type_is_named(ann: Any, member: str, value: Any) -> None:
    members = {"username": "ann", "password": "pass-ann", member: value}
    assert errors_in(Api().post("login", members)) == {f"#/{member}": "wrong_type"}


@pytest.mark.parametrize("value", [None, 1, 0, "true", "", [], {}])
def test_a_boolean_of_another_type_is_named(ann: Any, value: Any) -> None:
    assert errors_in(Api().sign_in("ann", remember=value)) == {"#/remember": "wrong_type"}


def test_members_that_there_are_not_are_named(ann: Any) -> None:
    api = Api("ann")
    assert errors_in(api.sign_in("ann", **{"a/b~ü": 1})) == {"#/a~1b~0%C3%BC": "unknown"}
    assert errors_in(api.post("logout", {"all": True})) == {"#/all": "unknown"}
    assert errors_in(api.ask("DELETE", url("session", api.sid), {"all": True})) == {"#/all": "unknown"}
    assert api.user() == "ann"


@pytest.mark.parametrize("text", ["\x00", "ann\x00", "a" * 60_000, "\u202e", "😀", "../../etc/passwd", "' OR 1=1 --"])
@pytest.mark.parametrize("member", ["username", "password"])
def test_a_strange_text_signs_nobody_in(ann: Any, member: str, text: str) -> None:
    members = {"username": "ann", "password": "pass-ann", member: text}
    assert Api().post("login", members).status_code == (422 if "\x00" in text else 403)
    assert list(services.live_sessions()) == []


@pytest.mark.parametrize("size", [65_537, 3_000_000])
@pytest.mark.parametrize("name", ["login", "logout"])
def test_a_body_that_is_too_long_is_refused(ann: Any, name: str, size: int) -> None:
    api = Api("ann")
    problem(api.post(name, b'{"username": "' + b"a" * size + b'"}'), 413)
    assert api.user() == "ann"


class Endless:
    """A request whose body never ends."""

    content_type = "application/json"

    def __init__(self) -> None:
        self.asked = 0

    def read(self, size: int = -1) -> bytes:
        """Give what is asked for, if it is not everything."""
        assert size > 0
        self.asked += size
        return b" " * size


def test_no_more_is_read_than_the_bound_and_one_byte() -> None:
    request: Any = Endless()
    with pytest.raises(ProblemError) as raised:
        read_body(request)
    assert (raised.value.status, request.asked) == (413, 65_537)


class Broken(Endless):
    """A request whose client goes away."""

    def read(self, size: int = -1) -> bytes:
        """Raise as Django does."""
        raise UnreadablePostError("connection reset")


def test_a_client_that_goes_away_is_no_error_of_ours() -> None:
    request: Any = Broken()
    with pytest.raises(ProblemError) as raised:
        read_body(request)
    assert raised.value.status == 400


def test_the_sites_own_bound_may_be_lower_or_off(ann: Any, settings: Any) -> None:
    body = b'{"username": "' + b"a" * 2000 + b'"}'
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    problem(Api().post("login", body), 413)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    assert errors_in(Api().post("login", body))["#/password"] == "required"


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json",
     "application/xml",
     "application/problem+json", "application/jsonp", "application/json-seq", ";application/json", "json"],
)  # fmt: skip
def test_another_media_type_is_not_read(ann: Any, content_type: str) -> None:
    body = json.dumps({"username": "ann", "password": "pass-ann"}).encode()
    answer = Api().post("login", body, headers={"Content-Type": content_type})
    problem(answer, 415)
    assert answer["Accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
def test_json_may_have_parameters(ann: Any, content_type: str) -> None:
    body = json.dumps({"username": "ann", "password": "pass-ann"}).encode()
    assert Api().post("login", body, headers={"Content-Type": content_type}).status_code == 200


def test_a_request_without_a_body_needs_no_media_type(ann: Any) -> None:
    api = Api("ann")
    assert api.post("end_others", headers={"Content-Type": "text/plain"}).status_code == 200  # As wsgiref makes it up.


# Methods.


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "DISPATCH", "CHECKED"]
)
def test_another_method_is_not_allowed(ann: Any, name: str, method: str) -> None:
    allowed = METHODS[name]
    if method in allowed.split(", "):
        return
    api, other = Api("ann"), Api()
    other.token = ""
    for one in (api, other):
        answer = one.ask(method, address(name))
        problem(answer, 405)
        assert answer["Allow"] == allowed
    assert api.user() == "ann"


@pytest.mark.parametrize("name", METHODS)
def test_options_says_which_methods_there_are_and_asks_for_nobody(name: str) -> None:
    answer = Client().options(address(name))
    assert (answer.status_code, answer["Allow"], answer.content) == (204, METHODS[name], b"")
    assert not answer.cookies


@pytest.mark.parametrize("name", ["whoami", "sessions"])
def test_head_is_get_without_the_content(ann: Any, name: str) -> None:
    api = Api("ann")
    head, get = api.ask("HEAD", url(name)), api.get(name)
    assert (head.status_code, head.content, head["Content-Type"]) == (200, b"", get["Content-Type"])


# CSRF.


@pytest.mark.parametrize(("method", "name"), UNSAFE)
@pytest.mark.parametrize("with_middleware", [True, False])
@pytest.mark.parametrize("token", ["", "x", "a" * 32, "b" * 64, "other"])
def test_a_change_without_the_right_token_is_refused(
    ann: Any, settings: Any, method: str, name: str, with_middleware: bool, token: str
) -> None:
    if not with_middleware:
        settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "csrf" not in entry]
    api, other = Api("ann"), Api("ann")
    sent = other.token if token == "other" else token
    where = url("session", other.sid) if name == "session" else url(name)
    body = {"username": "ann", "password": "pass-ann"} if name == "login" else None
    before = api.key
    problem(api.ask(method, where, body, headers={"X-CSRFToken": sent}), 403, CSRF)
    assert (api.user(), other.user(), api.key) == ("ann", "ann", before)


def test_another_origin_is_refused_with_the_right_token(ann: Any) -> None:
    api = Api("ann")
    problem(api.post("logout", headers={"Origin": "https://evil.example"}), 403, CSRF)
    problem(api.post("logout", headers={"Origin": "null"}), 403, CSRF)
    assert api.post("logout", headers={"Origin": "http://testserver"}).status_code == 204


def test_a_token_in_a_form_is_none(ann: Any) -> None:
    api = Api("ann")
    body = f"csrfmiddlewaretoken={api.token}".encode()
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": ""}
    problem(api.post("logout", body, headers=form), 415)
    assert api.user() == "ann"


# Whatever the site does.


def test_a_site_that_requires_a_login_everywhere_answers_visitors_as_well(ann: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    problem(Api().get("sessions"), 401)
    assert Api("ann").user() == "ann"


def test_every_answer_is_for_this_client_alone_and_of_its_declared_type(ann: Any) -> None:
    api = Api("ann")
    answers = [
        api.get("whoami"),
        api.get("sessions"),
        api.post("end_others"),
        api.end(SID),
        api.ask("PUT", url("login")),
    ]
    answers += [api.ask("OPTIONS", url("login")), api.post("login", b"x"), Api().get("sessions"), api.post("logout")]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 405, 204, 400, 401, 204]
    for answer in answers:
        assert answer["Cache-Control"] == "no-store"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", "application/xml;q=1, application/json;q=0", "", "a/b/c", ",,;"]
)
def test_no_client_is_refused_for_what_it_accepts(ann: Any, accept: str) -> None:
    answer = Api("ann").get("sessions", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_texts_are_in_the_clients_language_and_codes_are_not(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with translation.override("en"):  # The middleware leaves its language behind.
        english, korean = (Api().post("login", headers={"Accept-Language": code}) for code in ("en", "ko"))
    assert english.json()["errors"][0]["detail"] != korean.json()["errors"][0]["detail"]
    assert errors_in(english) == errors_in(korean)
