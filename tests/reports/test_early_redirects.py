"""A redirect that is followed before the session is stored.

Reported of express-session (309, 360, 526, and a dozen sign-in packages on it): the headers of the redirect leave while
the save is under way, the browser follows them at once, and the next page finds the session as it was before: signed
out, or without the message. A streaming answer and HTTP/2 let headers go even earlier.

Right: no byte of an answer leaves before the store has acknowledged the save, so the follower sees the value. It is so
of a streaming answer, too, for what the view assigned before it returned it. Django saves before it answers as well:
the tests hold us to it, on each kind of server. An HTTP/2 server gets the headers from Django at the same moment.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest

from tests.patience import patient
from tests.processes import ASGISite, Site, Visitor, WSGISite
from tests.reports.sites import Sites
from tests.servers import PostgreSQLServer

PAGES = ["/redirect/", "/redirect_streaming/", "/a/redirect/", "/a/redirect_streaming/"]


@contextmanager
def held_save(server: PostgreSQLServer, sid: str) -> Iterator[psycopg.Connection[Any]]:
    """Hold the session's row for the length of a block: whoever saves it waits."""
    with psycopg.connect(host=server.host, port=server.port, user="postgres", dbname="races") as connection:
        row = connection.execute("SELECT sid FROM srvsession_session WHERE sid = %s FOR UPDATE", [sid]).fetchone()
        assert row is not None
        yield connection


def wait_for_a_save(server: PostgreSQLServer) -> None:
    """Wait until a save is under way, and waits for the row."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = 'races' AND wait_event_type = 'Lock'"
    give_up = time.monotonic() + patient(20)
    with server.connect() as connection:
        while connection.execute(waiting).fetchone() is None:
            assert time.monotonic() < give_up, "nobody saves the session"
            time.sleep(0.005)


def asked(site: Site, visitor: Visitor, path: str) -> socket.socket:
    """Send a request and return the connection, whose answer nobody has read yet."""
    parts = urlsplit(site.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), patient(20))
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", f"Cookie: {cookies}", "Connection: close", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return connection


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("kind", [WSGISite, ASGISite], ids=["gunicorn", "uvicorn"])
def test_no_byte_of_a_redirect_leaves_before_its_session_is_stored_and_who_follows_it_sees_the_value(
    sites: Sites, postgresql_server: PostgreSQLServer, kind: Any, path: str
) -> None:
    site = sites.of("postgresql", kind)
    visitor = Visitor(site.url)
    visitor.get("/login/", user="user5")
    sid = visitor.get("/key/").json()["key"]
    value = f"{kind.__name__} {path}"
    with held_save(postgresql_server, sid):
        connection = asked(site, visitor, f"{path}?{urlencode({'key': 'message', 'value': value})}")
        wait_for_a_save(postgresql_server)
        assert not select.select([connection], [], [], 0)[0], "the answer began before its session was stored"
    with connection:
        response = http.client.HTTPResponse(connection)
        response.begin()  # The headers are here; of a stream the rest is not.
        assert (response.status, response.headers["Location"]) == (302, "/read/")
        assert visitor.get("/read/").json()["items"]["message"] == value
        assert response.read() in (b"", b"moved.")
