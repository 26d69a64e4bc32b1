"""Forged and hostile headers through real servers: what they join, refuse or pass on, and what is kept of it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from django_srvsession.engine.keys import SessionKey
from tests.hostile import LONG, MARKUP
from tests.patience import patient
from tests.processes import ASGISite, Site, WSGISite

TRUSTED = ["127.0.0.0/8", "10.0.0.0/8", "unix:"]


class OnUnixSocket(WSGISite):
    """Gunicorn behind a Unix socket, as behind a proxy on the same machine."""

    def command(self, descriptor: int) -> list[str]:
        return ["--bind=unix:site.sock" if part.startswith("--bind") else part for part in super().command(descriptor)]

    def answers(self) -> bool:
        try:
            return ask(self)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def served(kind: type[Site]) -> Site:
    """Return the site of ``seen_clients.py``, behind proxies on this machine."""
    return kind(workers=1, ROOT_URLCONF="tests.seen_clients", SRVSESSION_TRUSTED_PROXIES=TRUSTED)


@pytest.fixture(scope="module", params=[WSGISite, ASGISite], ids=["gunicorn", "uvicorn"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site on each server."""
    with served(request.param) as site:
        yield site


def ask(site: Site, *headers: tuple[str, str]) -> tuple[int, Any]:
    """Send a request with exactly these header lines; return the status, and the client that the site saw."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=patient(30))
    if isinstance(site, OnUnixSocket):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(site.directory / "site.sock"))
    try:
        connection.putrequest("GET", "/none/")
        for name, value in headers:
            connection.putheader(name, value.encode())
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if response.status == 200 else None


def test_the_address_is_the_rightmost_that_is_no_proxys_of_ours(site: Site) -> None:
    for lines in (
        ["1.2.3.4, 198.51.100.7"],
        ["1.2.3.4, 198.51.100.7, 10.0.0.2"],
        ["1.2.3.4", "198.51.100.7"],
        ["1.2.3.4", "198.51.100.7", "10.0.0.2"],
        ["1.2.3.4, 5.6.7.8", "198.51.100.7 , 10.0.0.2"],
    ):
        status, client = ask(site, *(("X-Forwarded-For", line) for line in lines))
        assert (status, client["ip"]) == (200, "198.51.100.7"), lines


def test_a_header_that_only_looks_like_it_is_not_believed(site: Site) -> None:
    for name in ("X_Forwarded_For", "X-Forwarded_For", "X-Real-IP", "Forwarded", "Client-IP"):
        real, forged = ("X-Forwarded-For", "198.51.100.7"), (name, "1.2.3.4")
        for headers in ([real, forged], [forged, real]):
            status, client = ask(site, *headers)
            assert (status, client["ip"]) == (200, "198.51.100.7"), headers


def test_a_hostile_user_agent_is_kept_clean_or_refused_by_the_server(site: Site) -> None:
    for agent in (MARKUP, "Firefox\u202e/1.0", "\U0001f36a Firefox", "a" * 5_000, "\x7fFirefox"):
        status, client = ask(site, ("User-Agent", agent))
        assert status in (200, 400), agent
        assert client is None or (len(client["user_agent"]) <= 256 and client["user_agent"].isprintable())
    assert ask(site, ("User-Agent", MARKUP))[1]["user_agent"] == MARKUP


def test_a_header_of_60_kilobytes_harms_nothing(site: Site) -> None:
    for name in ("User-Agent", "X-Forwarded-For"):
        try:
            status, client = ask(site, (name, "1.2.3.4," * (LONG // 8)))
        except ConnectionResetError:
            continue  # The server refused it, and closed, before all of it was sent.
        assert status in (200, 400, 431), name
        assert client is None or len(client["ip"] + client["user_agent"]) < 300
    assert ask(site, ("X-Forwarded-For", "198.51.100.7"))[1]["ip"] == "198.51.100.7"


def test_a_cookie_whose_name_only_looks_like_the_sessions_is_not_the_sessions(site: Site) -> None:
    name, mine, forged = settings.SESSION_COOKIE_NAME, SessionKey.generate().text, SessionKey.generate().text
    for blank in ("\u2000", "\u00a0", "\u0085", "\u3000", "\x0b", "\x1f"):
        for cookie in (f"{name}={mine}; {blank}{name}={forged}", f"{blank}{name}={forged}; {name}={mine}"):
            status, seen = ask(site, ("Cookie", cookie))
            assert status == 400 or (status, seen["cookie"]) == (200, mine), repr(cookie)
        status, seen = ask(site, ("Cookie", f"{blank}{name}={forged}"))
        assert status == 400 or (status, seen["cookie"]) == (200, None), repr(blank)
    assert ask(site, ("Cookie", f"{name}={mine}; {name}={forged}"))[1]["cookie"] is None
    assert ask(site, ("Cookie", f"{name}={mine}"))[1]["cookie"] == mine


def test_behind_a_unix_socket_the_header_is_believed_when_the_setting_says_so() -> None:
    with served(OnUnixSocket) as site:
        assert ask(site, ("X-Forwarded-For", "1.2.3.4, 198.51.100.7"))[1]["ip"] == "198.51.100.7"
        assert ask(site)[1]["ip"] == ""
