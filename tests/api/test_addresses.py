"""Whatever is asked for below the API's address is answered in JSON: what describes it, what is nowhere, errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path, re_path

from django_srvsession.checks.urls import check_order_of_urls
from tests.api.client import Api, problem, url
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = ["", "nothing/", "nothing", "whoami", "login", "openapi.json/", "whoami/more/", "sessions", "%00/", "a%0Ab/",
           "%C3%A9/", "../../etc/passwd/", "//", "x" * 3000 + "/", "whoami/;a=b/", "admin.php"]  # fmt: skip


def mounted(*patterns: Any) -> Any:
    """Return a URL configuration of these patterns."""

    class Routes:
        urlpatterns = patterns

    return Routes


@pytest.mark.parametrize("address", NOWHERE, ids=lambda address: address[:20])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"])
def test_what_is_nowhere_is_a_problem_in_json(asgi: bool, store: WatchedStore, address: str, method: str) -> None:
    client = (AsyncClient if asgi else Client)(enforce_csrf_checks=True)
    answer: Any = client.generic(method, f"/api/{address}", headers={"Accept": "text/html"})
    answer = asyncio.run(answer) if asgi else answer
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert method == "HEAD" or "There is nothing at this address." in problem(answer, 404)["detail"]
    assert store.asked == []
    assert not answer.cookies


def test_who_forgets_the_slash_is_told_so(ann: Any) -> None:
    assert problem(Client().get("/api/whoami"), 404)["detail"].endswith("Addresses end with a slash.")
    assert "slash" not in problem(Client().get("/api/nothing/"), 404)["detail"]


# The description.


@pytest.mark.parametrize("header", [None, "X-App-Token"])
@pytest.mark.parametrize("mount", ["api/", "v1/account/api/", ""])
def test_the_description_is_this_sites(settings: Any, header: str | None, mount: str) -> None:
    settings.ROOT_URLCONF = mounted(path(mount, include("django_srvsession.api.urls")))
    settings.SRVSESSION_HEADER = header
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "__Host-sid", "__Host-csrf"
    settings.CSRF_HEADER_NAME = "HTTP_X_XSRF_TOKEN"
    answer = Client().get(f"/{mount}openapi.json")
    assert answer["Content-Type"] == "application/json"
    document = answer.json()
    schemathesis.openapi.from_dict(document).validate()
    assert document["servers"] == [{"url": f"/{mount}".rstrip("/") or "/"}]
    names = {name: scheme["name"] for name, scheme in document["components"]["securitySchemes"].items()}
    assert names == {
        "session": "__Host-sid", "csrfCookie": "__Host-csrf", "csrfHeader": "X-Xsrf-Token",
        **({"sessionToken": header} if header else {}),
    }  # fmt: skip
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    used = {name for operation in operations for way in operation["security"] for name in way}
    assert used == set(names)


# Errors.


class Broken(ModelBackend):
    """Have a bug, after writing to the database."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        """Raise."""
        del request, credentials
        get_user_model().objects.create_user("written")
        raise ZeroDivisionError("secret")


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_bug_is_a_500_in_json_that_is_reported_as_ever(
    asgi: bool, ann: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    accept: str, atomic: bool
) -> None:  # fmt: skip
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Broken"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.gzip.GZipMiddleware"]
    api = Api(asgi=asgi)
    api.client.raise_request_exception = False
    caplog.clear()
    answer = api.post(
        "login", {"username": "ann", "password": "x"}, headers={"Accept": accept, "Accept-Encoding": "gzip"}
    )
    assert answer.json() == {"type": "about:blank", "title": "Internal Server Error", "status": 500}
    assert problem(answer, 500)
    assert answer["Cache-Control"] == "no-store"
    assert int(answer.get("Content-Length", len(answer.content))) == len(answer.content)
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.exc_info and record.exc_info[0] is ZeroDivisionError
    assert get_user_model().objects.filter(username="written").exists() != atomic


def test_while_debugging_a_bug_is_djangos_report(ann: Any, settings: Any) -> None:
    settings.DEBUG = True
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Broken"]
    api = Api()
    api.client.raise_request_exception = False
    answer = api.post("login", {"username": "ann", "password": "the-password"})
    assert (answer.status_code, answer["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert b"ZeroDivisionError" in answer.content and b"the-password" not in answer.content


@pytest.mark.parametrize(
    ("error", "status"),
    [(Http404, 404), (PermissionDenied, 403), (SuspiciousOperation, 400), (BadRequest, 400), (ZeroDivisionError, 500)],
)
@pytest.mark.parametrize("where", ["receiver", "middleware"])
def test_what_the_sites_code_raises_below_our_address_is_a_problem(
    ann: Any, middleware: Callable[[Any], None], error: type[Exception], status: int, where: str
) -> None:
    def fail(**kwargs: Any) -> None:
        raise error("secret")

    class Failing:
        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: HttpRequest) -> Any:
            return self.get_response(request)

        def process_view(self, request: HttpRequest, *args: Any) -> None:
            if request.path == url("login"):
                raise error("secret")

    if where == "middleware":
        middleware(Failing)
    else:
        user_logged_in.connect(fail)
    try:
        api = Api()
        api.client.raise_request_exception = False
        answer = api.sign_in("ann")
    finally:
        user_logged_in.disconnect(fail)
    assert problem(answer, status)
    assert b"secret" not in answer.content


def test_pages_of_the_site_keep_their_errors(settings: Any) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise PermissionDenied

    settings.ROOT_URLCONF = mounted(path("page/", view), path("api/", include("django_srvsession.api.urls")))
    answer = Client(headers={"Accept": "application/json"}).get("/page/")
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")


# What comes after the API.

API = path("api/", include("django_srvsession.api.urls"))
OURS = include("django_srvsession.api.urls")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


@pytest.mark.parametrize(
    ("patterns", "shadowed"),
    [
        ([API], ""),
        ([path("api/books/", page), API, path("books/", page)], ""),
        ([API, path("api/books/", page)], "api/books/"),
        ([API, re_path("^api/(?P<rest>.*)$", page)], "api/(?P<rest>.*)$"),
        ([API, path("api/", include([path("books/", page), path("more/", page)]))], "api/books/"),
        ([path("api/", include([path("", OURS), path("books/", page)]))], "api/books/"),
        ([path("api/", include([path("auth/", OURS), path("books/", page)]))], ""),
        ([path("", OURS), path("books/", page)], "books/"),
        ([path("books/", page)], ""),
    ],
)
def test_what_the_api_shadows_is_reported_and_nothing_else(settings: Any, patterns: list[Any], shadowed: str) -> None:
    settings.ROOT_URLCONF = mounted(*patterns)
    found = check_order_of_urls()
    assert [message.id for message in found] == (["srvsession.W022"] if shadowed else [])
    assert all(repr(shadowed) in message.msg for message in found)
    if shadowed and shadowed.endswith("/"):
        assert problem(Client().get(f"/{shadowed}"), 404)
