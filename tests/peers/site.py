"""One small site on the sessions of one package: ``python -m tests.peers.site NAME DIRECTORY [REDIS]``.

Prints what was seen, as JSON. Nothing is left to luck: a request is held between its load and its save by a request
that it makes itself.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from django.conf import settings

STOCK = "django.contrib.sessions"
MIDDLEWARE = [
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# Apps, session middleware, engine.
PEERS: dict[str, tuple[list[str], str, str]] = {
    "django-srvsession": (["django_srvsession"], "django_srvsession.middleware", "django_srvsession.backends.db"),
    "django.db": ([STOCK], f"{STOCK}.middleware", f"{STOCK}.backends.db"),
    "django.cache": ([STOCK], f"{STOCK}.middleware", f"{STOCK}.backends.cache"),
    "django-user-sessions": (["user_sessions"], "user_sessions.middleware", "user_sessions.backends.db"),
    "django-qsessions": (["qsessions"], "qsessions.middleware", "qsessions.backends.db"),
    "allauth.usersessions": (
        [STOCK, "allauth", "allauth.account", "allauth.usersessions"],
        f"{STOCK}.middleware",
        f"{STOCK}.backends.db",
    ),
}


def configure(name: str, directory: Path, redis: str) -> None:
    """Set Django up on the sessions of a package."""
    apps, middleware, engine = PEERS[name]
    extra = ["allauth.account.middleware.AccountMiddleware"] if name == "allauth.usersessions" else []
    caches: dict[str, Any] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    if redis:
        options = {"SOCKET_TIMEOUT": 0.3, "SOCKET_CONNECT_TIMEOUT": 0.3}
        caches["default"] = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis, "OPTIONS": options}
    urls = sys.modules["peers_urls"] = ModuleType("peers_urls")
    urls.urlpatterns = []  # type: ignore[attr-defined]
    settings.configure(
        SECRET_KEY="tests only, tests only, tests only, tests only, tests only",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        ROOT_URLCONF="peers_urls",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages", *apps],
        MIDDLEWARE=[f"{middleware}.SessionMiddleware", *MIDDLEWARE, *extra],
        SESSION_ENGINE=engine,
        CACHES=caches,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(directory / "db.sqlite3"),
                "OPTIONS": {"timeout": 0.3},
            }
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,
        LOGIN_REDIRECT_URL="/who/",
    )
    django.setup()


def sessions_of(name: str, user: Any) -> dict[str, Callable[[], object]] | None:
    """Return how each session of a user is ended, by what the package calls it; None where it has no list."""
    if name == "django-srvsession":
        from django_srvsession import services

        return {record.sid: lambda sid=record.sid: services.revoke(sid) for record in services.sessions_of(user)}
    if name in ("django-user-sessions", "django-qsessions"):
        model = import_module(settings.SESSION_ENGINE.split(".")[0] + ".models").Session
        return {session.session_key: session.delete for session in model.objects.filter(user=user)}
    if name == "allauth.usersessions":
        from allauth.usersessions.models import UserSession

        return {session.session_key: session.end for session in UserSession.objects.purge_and_list(user)}
    return None


class Site:
    """The site, and what happens on it."""

    def __init__(self, name: str, directory: Path, redis: str) -> None:
        from django.contrib.auth import get_user_model

        self.name, self.directory, self.redis = name, directory, redis
        self.alice = get_user_model().objects.create_user("alice", "alice@example.com", "pass-alice")
        self.meanwhile: Callable[[], object] = lambda: None
        from django.urls import path

        sys.modules["peers_urls"].urlpatterns += [  # type: ignore[attr-defined]
            path("login/", self.login),
            path("who/", self.who),
            path("set/<key>/", self.set),
            path("rotate/", self.rotate),
        ]

    # Views.

    def login(self, request: Any) -> Any:
        from django.contrib.auth import login
        from django.http import HttpResponse

        if self.name == "allauth.usersessions":  # Which notes what signs in by allauth's own pages only.
            from allauth.account.utils import perform_login

            perform_login(request, self.alice, email_verification="none")
        else:
            login(request, self.alice, "django.contrib.auth.backends.ModelBackend")
        return HttpResponse("in")

    def who(self, request: Any) -> Any:
        from django.http import JsonResponse

        keys = sorted(key for key in request.session.keys() if not key.startswith("_"))  # noqa: SIM118
        return JsonResponse({"user": request.user.get_username(), "keys": keys})

    def set(self, request: Any, key: str) -> Any:
        from django.http import HttpResponse

        assert request.user.get_username() == "alice"
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        request.session[key] = 1
        return HttpResponse("set")

    def rotate(self, request: Any) -> Any:
        from django.http import HttpResponse

        assert request.user.get_username() == "alice"
        self.meanwhile()
        request.session.cycle_key()
        return HttpResponse("rotated")

    # What happens.

    def browser(self) -> Any:
        """Open a browser in which alice is signed in."""
        from django.test import Client

        client = Client(raise_request_exception=False)
        assert client.get("/login/").status_code == 200
        assert self.user_in(client) == "alice"
        return client

    def user_in(self, client: Any) -> str:
        return str(client.get("/who/").json()["user"])

    def end(self, client: Any) -> None:
        """End the session of a browser, as one of its owner's other devices would."""
        key = client.cookies["sessionid"].value
        endings = sessions_of(self.name, self.alice)
        if endings is None:
            import_module(settings.SESSION_ENGINE).SessionStore().delete(key)
        else:
            endings[getattr(import_module(settings.SESSION_ENGINE).SessionStore(key), "sid", key)]()

    def ended_stays_ended(self) -> bool:
        """End a session while a request, which has it loaded, is about to change its key."""
        client = self.browser()
        self.meanwhile = lambda: self.end(client)
        client.get("/rotate/")
        self.meanwhile = lambda: None
        return self.user_in(client) == ""

    def both_updates_are_kept(self) -> bool:
        """Set one key while a request, which has the session loaded, is about to set another."""
        client = self.browser()
        self.meanwhile = lambda: client.get("/set/one/")
        client.get("/set/other/")
        return bool(client.get("/who/").json()["keys"] == ["one", "other"])

    def in_an_outage(self) -> str:
        """Let the store answer nobody while a page is asked for; say how that is answered, and who is in after."""
        client = self.browser()
        if self.redis:
            import redis

            redis.Redis.from_url(self.redis).execute_command("CLIENT", "PAUSE", 1000, "ALL")
            status = client.get("/who/").status_code
            time.sleep(1.2)
        else:
            from django.db import connections

            connections.close_all()
            lock = sqlite3.connect(self.directory / "db.sqlite3", isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            status = client.get("/who/").status_code
            lock.close()
        return f"{status}, {'still signed in' if self.user_in(client) == 'alice' else 'signed out'}"

    def people_see_and_end(self) -> bool:
        """Let alice see the sessions of two browsers, and end the other one."""
        here, there = self.browser(), self.browser()
        endings = sessions_of(self.name, self.alice)
        if endings is None or len(endings) < 2:
            return False
        self.end(there)
        return (self.user_in(here), self.user_in(there)) == ("alice", "")

    def what_is_stored_opens_it(self) -> bool:
        """Look for the cookie's value in what the store holds."""
        client = self.browser()
        key = client.cookies["sessionid"].value
        if self.redis:
            import redis

            return any(key.encode() in name for name in redis.Redis.from_url(self.redis).scan_iter())
        return key.encode() in (self.directory / "db.sqlite3").read_bytes()


def main(name: str, directory: str, redis: str = "") -> None:
    configure(name, Path(directory), redis)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    site = Site(name, Path(directory), redis)
    seen = {
        "ended stays ended": site.ended_stays_ended(),
        "both updates are kept": site.both_updates_are_kept(),
        "in an outage": site.in_an_outage(),
        "people see and end": site.people_see_and_end(),
        "what is stored opens it": site.what_is_stored_opens_it(),
    }
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
