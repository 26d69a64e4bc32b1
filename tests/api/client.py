"""A site with the API, and a client that talks JSON to it: cookies, CSRF token, over WSGI or ASGI."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client
from django.urls import include, path, reverse

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

urlpatterns = [path("api/", include("django_srvsession.api.urls"))]


def url(name: str, *args: str) -> str:
    return reverse(f"srvsession_api:{name}", args=args)


def make_user(name: str = "ann", **fields: Any) -> Any:
    """Make a user whose password is ``pass-<name>``."""
    joined = datetime(2020, 1, 1, tzinfo=UTC)  # Before all that tests write down of them.
    return get_user_model().objects.create_user(name, password=f"pass-{name}", date_joined=joined, **fields)


class Api:
    """Keep cookies and the CSRF token as a client does; ``name`` signs that user in."""

    def __init__(self, name: str = "", asgi: bool = False, agent: str = FIREFOX, **headers: str) -> None:
        self._asgi = asgi
        client: Any = AsyncClient if asgi else Client
        self.client = client(enforce_csrf_checks=True)
        self.headers = {"User-Agent": agent, **headers}  # AsyncClient forgets those that it is made with.
        self.token = ""
        self.whoami()
        if name:
            answer = self.sign_in(name)
            assert answer.status_code == 200, answer.content

    def ask(self, method: str, address: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Send a request with a JSON body, or none, or with the bytes as they are."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {**self.headers, "X-CSRFToken": self.token, "Content-Type": "application/json", **(headers or {})}
        content_type = sent.pop("Content-Type")
        answer = self.client.generic(method, address, data, content_type=content_type, headers=sent)
        answer = asyncio.run(answer) if self._asgi else answer
        self._drop_deleted()
        return answer

    def get(self, name: str, query: str = "", **options: Any) -> Any:
        return self.ask("GET", url(name) + query, **options)

    def post(self, name: str, body: Any = None, **options: Any) -> Any:
        return self.ask("POST", url(name), body, **options)

    def end(self, sid: str) -> Any:
        return self.ask("DELETE", url("session", sid))

    def whoami(self) -> Any:
        """Return who the site says this is, and keep the token."""
        answer = self.get("whoami").json()
        self.token = answer["csrf_token"]
        return answer

    def user(self) -> str | None:
        """Return the name that the site knows this client's user by."""
        user = self.whoami()["user"]
        return None if user is None else user["username"]

    def sign_in(self, name: str, password: str | None = None, **members: Any) -> Any:
        answer = self.post("login", {"username": name, "password": password or f"pass-{name}", **members})
        if answer.status_code == 200:
            self.token = answer.json()["csrf_token"]
        return answer

    @property
    def key(self) -> str | None:
        """The session cookie, or None."""
        morsel = self.client.cookies.get(settings.SESSION_COOKIE_NAME)
        return None if morsel is None else str(morsel.value)

    @key.setter
    def key(self, key: str) -> None:
        self.client.cookies[settings.SESSION_COOKIE_NAME] = key

    @property
    def sid(self) -> str:
        return str(self.whoami()["session"]["sid"])

    def _drop_deleted(self) -> None:
        cookies = self.client.cookies
        for name in [name for name, morsel in cookies.items() if morsel["max-age"] == 0]:
            del cookies[name]


def with_key(key: str | None) -> Api:
    """Return a client that holds a copy of somebody's session cookie."""
    api = Api()
    assert key is not None
    api.key = key
    return api


def problem(answer: Any, status: int, kind: str = "about:blank") -> Any:
    """Check that an answer is a problem of this status and type, and return it."""
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert answer["Content-Type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["type"]) == (status, kind)
    assert found["title"]
    return found


def errors_in(answer: Any) -> dict[str, str]:
    """Return the code of each error of a 422, by what it points to."""
    return _codes(problem(answer, 422, "urn:srvsession:problem:invalid"))


def refusal_in(answer: Any) -> dict[str, str]:
    """Return the same of a 403 for wrong credentials."""
    return _codes(problem(answer, 403, "urn:srvsession:problem:wrong-credentials"))


def _codes(found: Any) -> dict[str, str]:
    return {error["pointer"]: error["code"] for error in found["errors"]}
