"""A visitor on a server: sign in, load, save, first requests at once, an end elsewhere, streams, a restart.

One tour for every server: the row's setting ``TOUR_SERVER`` names it. All steps are taken on two stores, a database on
PostgreSQL and Redis, and most of them with views of both kinds.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from touring import Site

DIRECTORY = "SRVSESSION_ECOSYSTEM_DIRECTORY"
PUT_IN = "SRVSESSION_ECOSYSTEM_SETTINGS"
OURS = os.environ["SRVSESSION_ECOSYSTEM_SIDE"] == "ours"
GIVEN = json.loads(os.environ[PUT_IN])
SERVER = GIVEN["TOUR_SERVER"]
SECONDS = 30
WSGI, ASGI = "touring.app:wsgi", "touring.app:asgi"
GUNICORN = ["-m", "gunicorn", "--no-control-socket", "--log-level=warning", "--graceful-timeout=5"]
# Of each server, how it serves a port.
SERVERS = {
    "gunicorn-threads": [*GUNICORN, WSGI, "--preload", "--workers=2", "--threads=4", "--bind=127.0.0.1:{port}"],
    "gunicorn-gevent": [*GUNICORN, WSGI, "--worker-class=gevent", "--workers=2", "--bind=127.0.0.1:{port}"],
    "gunicorn-asgi": [*GUNICORN, ASGI, "--worker-class=asgi", "--workers=2", "--bind=127.0.0.1:{port}"],
    "uvicorn": ["-m", "uvicorn", ASGI, "--workers=2", "--port={port}", "--log-level=warning", "--lifespan=off"],
    "daphne": ["-m", "daphne", "--port={port}", "--verbosity=0", ASGI],
    "hypercorn": ["-m", "hypercorn", ASGI, "--workers=2", "--bind=127.0.0.1:{port}"],
    "granian-wsgi": [
        *["-m", "granian", "--interface=wsgi", WSGI, "--workers=2", "--blocking-threads=4"],
        *["--port={port}", "--log-level=warning"],
    ],
    "granian-asgi": ["-m", "granian", "--interface=asgi", ASGI, "--workers=2", "--port={port}", "--log-level=warning"],
    "uwsgi-processes": ["uwsgi", "--module={WSGI}", "--http-socket=127.0.0.1:{port}", "--processes=4"],
    "uwsgi-threads": ["uwsgi", "--module={WSGI}", "--http-socket=127.0.0.1:{port}", "--processes=2", "--threads=4"],
}
IS_ASGI = ASGI in SERVERS[SERVER]
ENGINES = {
    "database": "django_srvsession.backends.db" if OURS else "django.contrib.sessions.backends.db",
    "redis": "django_srvsession.backends.redis" if OURS else "django.contrib.sessions.backends.cache",
}
SETTINGS = {
    "DATABASES": {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            **json.loads(os.environ["SRVSESSION_ECOSYSTEM_POSTGRESQL"]),
        }
    },
    "CACHES": {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "sessions": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": json.loads(os.environ["SRVSESSION_ECOSYSTEM_REDIS"])["URL"],
            "OPTIONS": {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5},
        },
    },
    "SESSION_CACHE_ALIAS": "sessions",
}
# Ends each session that it is told the key of.
ELSEWHERE = """
import importlib, sys
import django
from django.conf import settings
django.setup()
store = importlib.import_module(settings.SESSION_ENGINE).SessionStore
for line in sys.stdin:
    store(line.strip()).delete()
    print("ended", flush=True)
"""


class Server(Site):
    """The site on the row's server."""

    def argv(self, port):
        first, *others = (word.format(port=port, WSGI=WSGI) for word in SERVERS[SERVER])
        if first != "uwsgi":
            return [sys.executable, first, *others]
        beside_python = str(Path(sys.executable).with_name("uwsgi"))
        return [beside_python, *others, "--master", "--need-app", "--die-on-term", "--disable-logging"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The directory of the site, whose tables and users are made."""
    directory = tmp_path_factory.mktemp("site")
    Server(directory).prepare()
    return directory


@pytest.fixture(scope="module", params=ENGINES)
def site(request, prepared):
    """The site on each store."""
    os.environ[PUT_IN] = json.dumps({**GIVEN, "SESSION_ENGINE": ENGINES[request.param]})
    site = Server(prepared)
    site.start()
    command = [sys.executable, "-c", ELSEWHERE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as site.elsewhere:
        yield site
        site.elsewhere.stdin.close()
    site.stop()
    os.environ[PUT_IN] = json.dumps(GIVEN)


# The greenlets of a process share its thread, in which one of them at a time may run an event loop.
KINDS = {"sync": ""} if SERVER == "gunicorn-gevent" else {"sync": "", "async": "/async"}
both_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def asgi(application):
    """Add a WebSocket that says hello; our package has it, and streams, end with their session."""

    async def route(scope, receive, send):
        if scope["type"] != "websocket":
            await application(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello\n"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    if not OURS:
        return route
    from django_srvsession.live import LiveSessions

    return LiveSessions(route, every=0.1)


def urlpatterns():
    pages = {"met": met, "events": events_of_a_loop if IS_ASGI else events}
    return [
        *(path(f"{name}/", view) for name, view in pages.items()),
        path("async/met/", met_async),
    ]


# A request waits for another, or for the test, by a file that the other makes.


def reached(name):
    Path(os.environ[DIRECTORY], name).touch()


def is_reached(name):
    return Path(os.environ[DIRECTORY], name).exists()


def wait_for(name):
    give_up = time.monotonic() + SECONDS
    while not is_reached(name) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert is_reached(name), f"{name} is not reached"


async def wait_for_async(name):
    give_up = time.monotonic() + SECONDS
    while not is_reached(name) and time.monotonic() < give_up:
        await asyncio.sleep(0.01)
    assert is_reached(name), f"{name} is not reached"


def met(request):
    """Load the session, say so, wait until the other one is there too, and keep a value."""
    request.session.get("anything")
    reached(request.GET["mine"])
    wait_for(request.GET["other"])
    request.session[f"tour:{request.GET['mine']}"] = "kept"
    return HttpResponse("met")


async def met_async(request):
    await request.session.aget("anything")
    reached(request.GET["mine"])
    await wait_for_async(request.GET["other"])
    await request.session.aset(f"tour:{request.GET['mine']}", "kept")
    return HttpResponse("met")


def events(request):
    """Keep a value, begin to answer, and go on when the test says so."""
    request.session["tour:streamed"] = request.GET["value"]

    def parts():
        yield b"data: begun\n\n"
        wait_for(request.GET["until"])
        yield f"data: {request.session['tour:streamed']}\n\n".encode()

    return StreamingHttpResponse(parts(), content_type="text/event-stream")


async def events_of_a_loop(request):
    await request.session.aset("tour:streamed", request.GET["value"])

    async def parts():
        yield b"data: begun\n\n"
        await wait_for_async(request.GET["until"])
        value = await request.session.aget("tour:streamed")
        yield f"data: {value}\n\n".encode()

    return StreamingHttpResponse(parts(), content_type="text/event-stream")


def new_name():
    return f"seen-{os.urandom(6).hex()}"


def at_once(*works):
    """Do all of it at once, each in a thread; return what came out."""
    results = [None] * len(works)

    def do(number):
        results[number] = works[number]()

    threads = [threading.Thread(target=do, args=[number]) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def end_elsewhere(site, key):
    """End a session in another process, by what every engine can do."""
    site.elsewhere.stdin.write(f"{key}\n")
    site.elsewhere.stdin.flush()
    assert site.elsewhere.stdout.readline() == "ended\n"


@contextlib.contextmanager
def opened(browser, target, *headers):
    """Send a request over a plain connection, and have its answer as a file."""
    address = urlsplit(browser.url)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    lines = [f"GET {target} HTTP/1.1", f"Host: {address.netloc}", f"Cookie: {cookie}", *headers]
    with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with connection.makefile("rb") as answer:
            yield answer


def read_until(answer, word):
    """Read lines until one has the word; return what was read before it. Fails when the answer is over."""
    read = b""
    while word not in (line := answer.readline()):
        assert line, f"{word!r} does not come, but {read!r}"
        read += line
    return read


@both_kinds
def test_sign_in_load_and_save(site, kind):
    browser = site.browser()
    assert browser.sign_in("ann").status == 302
    assert browser.get(f"{kind}/put/?basket=full").status == 200
    assert browser.get(f"{kind}/who/").json() == {"user": "ann", "values": {"basket": "full"}}
    browser.sign_out()
    assert browser.get(f"{kind}/who/").json() == {"user": "", "values": {}}


@both_kinds
def test_what_two_requests_keep_at_once_is_kept(site, kind):
    browser = site.browser()
    browser.sign_in("ann")
    one, other = new_name(), new_name()
    tabs = [(browser.twin(), one, other), (browser.twin(), other, one)]
    answers = at_once(*(lambda tab=tab, a=a, b=b: tab.get(f"{kind}/met/?mine={a}&other={b}") for tab, a, b in tabs))
    assert [answer.status for answer in answers] == [200, 200]
    assert browser.values() == {one: "kept", other: "kept"}


@both_kinds
def test_two_first_requests_at_once_make_sessions_that_both_work(site, kind):
    one, other = new_name(), new_name()
    visits = [(site.browser(), one, other), (site.browser(), other, one)]
    at_once(*(lambda tab=tab, a=a, b=b: tab.get(f"{kind}/met/?mine={a}&other={b}") for tab, a, b in visits))
    assert [browser.values() for browser, _, _ in visits] == [{one: "kept"}, {other: "kept"}]
    assert visits[0][0].cookies["sessionid"] != visits[1][0].cookies["sessionid"]


@both_kinds
def test_an_end_in_another_process_is_seen(site, kind):
    browser, other = site.browser(), site.browser()
    browser.sign_in("ann")
    other.sign_in("bob")
    assert browser.who(f"{kind}/who/") == "ann"
    end_elsewhere(site, browser.cookies["sessionid"])
    assert browser.who(f"{kind}/who/") == ""
    assert other.who(f"{kind}/who/") == "bob"


@both_kinds
def test_a_request_that_was_under_way_brings_no_ended_session_back(site, kind):
    browser = site.browser()
    browser.sign_in("ann")
    key, mine, go_on = browser.cookies["sessionid"], new_name(), new_name()
    tab = browser.twin()
    under_way = threading.Thread(target=lambda: tab.get(f"{kind}/met/?mine={mine}&other={go_on}"))
    under_way.start()
    wait_for(mine)
    end_elsewhere(site, key)
    reached(go_on)
    under_way.join()
    browser.cookies["sessionid"] = key
    assert browser.get("/who/").json() == {"user": "", "values": {}}


def test_all_sessions_of_a_user_end_from_the_shell(site):
    if not OURS:
        pytest.skip("Django does not know whose a session is")
    browsers = [site.browser() for _ in range(3)]
    for browser in browsers:
        browser.sign_in("bob")
    site.manage("revokesessions_srv", "--user", "bob", "--noinput")
    assert [browser.who() for browser in browsers] == ["", "", ""]


def test_a_stream_is_not_held_back_and_what_it_kept_is_there_before_it_is_over(site):
    browser, go_on = site.browser(), new_name()
    browser.sign_in("ann")
    with opened(browser, f"/events/?value=full&until={go_on}") as answer:
        read_until(answer, b"data: begun")
        assert browser.values() == {"streamed": "full"}
        reached(go_on)
        read_until(answer, b"data: full")


def test_a_stream_and_a_websocket_end_with_their_session(site):
    if not (OURS and IS_ASGI):
        pytest.skip("only ours do, under ASGI")
    browser = site.browser()
    browser.sign_in("ann")
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with (
        opened(browser, f"/events/?value=full&until={new_name()}") as stream,
        opened(browser, "/socket/", *upgrade, key) as websocket,
    ):
        read_until(stream, b"data: begun")
        assert b" 101 " in websocket.readline()
        read_until(websocket, b"hello")
        end_elsewhere(site, browser.cookies["sessionid"])
        read_until(stream, b"event: session-ended")
        read = b""
        while not read.endswith((4401).to_bytes(2)):  # What follows may be a reset.
            read += (part := websocket.read(1))
            assert part, read


def test_a_restart_ends_no_session(site):
    browser = site.browser()
    browser.sign_in("ann")
    site.stop()
    assert "Traceback" not in site.log, site.log
    site.start()
    browser.url = site.url
    assert browser.who() == "ann"
