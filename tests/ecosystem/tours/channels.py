"""Channels on Daphne: who is signed in on a socket, what a socket keeps in the session, signing in and out by one."""

import json
import sys

from websockets.sync.client import connect

from touring import Site

APPS = ["daphne", "channels"]
SETTINGS = {"ASGI_APPLICATION": "touring.app.asgi"}


class Server(Site):
    """Daphne."""

    def argv(self, port):
        return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0", "touring.app:asgi"]


def asgi(application):
    from channels.auth import AuthMiddlewareStack, login, logout
    from channels.db import database_sync_to_async
    from channels.generic.websocket import AsyncJsonWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.contrib.auth import get_user_model
    from django.urls import path

    class Consumer(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content):
            session = self.scope["session"]
            if "put" in content:
                await database_sync_to_async(session.update)(
                    {f"tour:{key}": content["put"][key] for key in content["put"]}
                )
                await database_sync_to_async(session.save)()
            if content.get("login"):
                user = await get_user_model().objects.aget(username=content["login"])
                await login(self.scope, user, "django.contrib.auth.backends.ModelBackend")
                await database_sync_to_async(session.save)()
            if content.get("logout"):
                await logout(self.scope)
            name = self.scope["user"].get_username() if self.scope["user"].is_authenticated else ""
            values = dict(await database_sync_to_async(session.items)())
            await self.send_json({"user": name, "values": {key: values[key] for key in values if key[:5] == "tour:"}})

    sockets = AuthMiddlewareStack(URLRouter([path("socket/", Consumer.as_asgi())]))
    return ProtocolTypeRouter({"http": application, "websocket": sockets})


def open_socket(browser):
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return connect(browser.url.replace("http", "ws") + "/socket/", additional_headers={"Cookie": cookie})


def say(socket, **content):
    socket.send(json.dumps(content))
    return json.loads(socket.recv(timeout=30))


def test_a_socket_knows_who_is_signed_in(browser):
    with open_socket(browser) as socket:
        assert say(socket)["user"] == ""
    browser.sign_in("ann")
    with open_socket(browser) as socket:
        assert say(socket)["user"] == "ann"


def test_what_a_page_has_kept_a_socket_reads(browser):
    browser.sign_in("ann")
    browser.put(basket="full")
    with open_socket(browser) as socket:
        assert say(socket)["values"] == {"tour:basket": "full"}


def test_what_a_socket_keeps_a_page_reads(browser):
    browser.sign_in("ann")
    with open_socket(browser) as socket:
        say(socket, put={"seen": "yes"})
    assert browser.values() == {"seen": "yes"}
    assert browser.who() == "ann"


def test_a_socket_of_an_anonymous_visitor_keeps_values_too(browser):
    browser.put(first="1")
    with open_socket(browser) as socket:
        assert say(socket, put={"second": "2"})["values"] == {"tour:first": "1", "tour:second": "2"}
    assert browser.values() == {"first": "1", "second": "2"}


def test_several_sockets_of_one_session_keep_each_what_the_others_have_not_touched(browser):
    browser.sign_in("ann")
    with open_socket(browser) as one, open_socket(browser) as other:
        say(one, put={"one": "1"})
    with open_socket(browser) as other:
        say(other, put={"other": "2"})
    assert browser.values() == {"one": "1", "other": "2"}


def test_a_sign_out_by_a_socket_signs_out(browser):
    browser.sign_in("ann")
    with open_socket(browser) as socket:
        assert say(socket, logout=True)["user"] == ""
    assert browser.who() == ""


def test_a_sign_in_by_a_socket_holds_for_that_socket(browser):
    browser.put(basket="full")
    with open_socket(browser) as socket:
        assert say(socket, login="bob")["user"] == "bob"
        assert say(socket, put={"more": "1"})["user"] == "bob"


def test_the_pages_sign_in_and_out(browser):
    browser.sign_in("ann")
    assert browser.who() == browser.who("/async/who/") == "ann"
    browser.sign_out()
    with open_socket(browser) as socket:
        assert say(socket)["user"] == ""
