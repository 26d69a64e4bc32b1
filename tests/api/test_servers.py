"""The API in a real ASGI server: a body may come in chunks, without a length (Django's WSGI takes that for none)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

from tests.patience import patient
from tests.processes import ASGISite, Site, Visitor

CHUNK = b" " * 1000


def chunked(site: Site, path: str, chunks: Iterator[bytes], token: str, cookies: dict[str, str]) -> tuple[int, Any]:
    """Send a body without a declared length, and return status and problem."""
    visitor = Visitor(site.url)
    connection = http.client.HTTPConnection(visitor.address, timeout=patient(30))
    headers = {
        "Content-Type": "application/json",
        "Transfer-Encoding": "chunked",
        "X-CSRFToken": token,
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
    }
    try:
        connection.request("POST", path, chunks, headers, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "application/problem+json"
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class ApiSite(ASGISite):
    """Serve the API alone."""

    probe = "/api/whoami/"


def test_a_body_of_no_declared_length_is_bounded_and_read() -> None:
    with ApiSite(workers=1, ROOT_URLCONF="tests.api.client") as site:
        visitor = Visitor(site.url)
        token = visitor.get("/api/whoami/").json()["csrf_token"]
        status, _ = chunked(site, "/api/logout/", (CHUNK for _ in range(300)), token, visitor.cookies)
        assert status == 413
        status, found = chunked(site, "/api/login/", iter([b'{"user', b'name": "x"}']), token, visitor.cookies)
        assert (status, [error["pointer"] for error in found["errors"]]) == (422, ["#/password"])
