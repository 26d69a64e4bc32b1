"""Django's ``sessions_tests`` against all our engines: ``SessionTestsMixin`` and ``SessionMiddlewareTests``."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as StockMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, TestCase, override_settings

from django_srvsession.middleware import SessionMiddleware
from tests.django_own.differences import SESSIONS
from tests.django_own.source import django_tests
from tests.trust import WHOLE


def load_sessions_tests() -> Any:
    """Import Django's module, without the model of its own that it would leave in the app registry for all tests."""
    models = ModuleType("sessions_tests.models")
    models.SessionStore = None  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {models.__name__: models}), mock.patch.object(sys, "path", [*sys.path]):
        sys.path.append(str(django_tests()))
        return import_module("sessions_tests.tests")


django_own = load_sessions_tests()
BACKENDS = "django_srvsession.backends"


class OfMemory:
    """Run against the memory engine."""

    engine = f"{BACKENDS}.memory"


class OfDatabase:
    """Run against the database engine, on the default alias (SQLite)."""

    engine = f"{BACKENDS}.db"


@pytest.mark.usefixtures("redis_alias")
class OfRedis:
    """Run against the Redis engine, on a private server."""

    engine = f"{BACKENDS}.redis"


@pytest.mark.usefixtures("redis_alias")
class OfCachedDatabase:
    """Run against the database behind Redis."""

    engine = f"{BACKENDS}.cached_db"


@pytest.mark.usefixtures("session_directory")
class OfFile:
    """Run against the file engine."""

    engine = f"{BACKENDS}.file"


@pytest.mark.skipif(not WHOLE, reason="runs in whole runs")
@pytest.mark.usefixtures("mongodb")
class OfMongoDB:
    """Run against the MongoDB engine, on a private server."""

    engine = f"{BACKENDS}.mongodb"


class Engine(django_own.SessionTestsMixin):  # type: ignore[misc,name-defined]
    """Django's contract of an engine."""

    engine: str

    @property
    def backend(self) -> Any:
        """The class that Django's cases instantiate."""
        return import_module(self.engine).SessionStore


class TestMemoryEngine(OfMemory, Engine, TestCase):
    """Memory."""


class TestDatabaseEngine(OfDatabase, Engine, TestCase):
    """SQLite."""


class TestRedisEngine(OfRedis, Engine, TestCase):
    """Redis."""


class TestCachedDatabaseEngine(OfCachedDatabase, Engine, TestCase):
    """The database behind Redis."""


class TestFileEngine(OfFile, Engine, TestCase):
    """Files."""


class TestMongoDBEngine(OfMongoDB, Engine, TestCase):
    """MongoDB."""


class Middleware(django_own.SessionMiddlewareTests):  # type: ignore[misc,name-defined]
    """Django's contract of the middleware, with the stock class."""

    __test__ = False
    engine: str
    middleware: Any = StockMiddleware

    def setUp(self) -> None:
        """Put our engine, and perhaps our middleware, in the place of Django's."""
        override = override_settings(SESSION_ENGINE=self.engine)
        override.enable()
        self.addCleanup(override.disable)
        engine = import_module(self.engine).SessionStore
        for name, ours in {"DatabaseSession": engine, "SessionMiddleware": self.middleware}.items():
            patch = mock.patch.object(django_own, name, ours)
            patch.start()
            self.addCleanup(patch.stop)

    def test_session_update_error_redirect(self) -> None:
        """Run Django's case with the setting that asks for Django's answer."""
        with override_settings(SRVSESSION_LATE_SAVE="interrupt"):
            super().test_session_update_error_redirect()

    def test_session_delete_on_end(self) -> None:
        """Run Django's case with a cookie whose deletion has nothing to repeat."""
        with override_settings(SESSION_COOKIE_HTTPONLY=False):
            super().test_session_delete_on_end()

    def test_session_delete_on_end_with_custom_domain_and_path(self) -> None:
        """Do likewise."""
        with override_settings(SESSION_COOKIE_HTTPONLY=False):
            super().test_session_delete_on_end_with_custom_domain_and_path()

    def test_empty_session_saved(self) -> None:
        """Do what Django's case does, and look the session up through our engine."""

        def set_session(request: HttpRequest) -> HttpResponse:
            request.session["foo"] = "bar"
            return HttpResponse("Session test")

        request = RequestFactory().get("/")
        middleware = self.middleware(set_session)
        self.assert_sent(middleware(request), request)
        self.assertEqual(tuple(request.session.items()), (("foo", "bar"),))
        del request.session["foo"]
        self.assert_sent(middleware.process_response(request, HttpResponse("Session test")), request)
        engine = import_module(self.engine).SessionStore
        self.assertTrue(engine().exists(request.session.session_key))
        self.assertEqual(dict(engine(request.session.session_key).items()), {})

    def assert_sent(self, response: HttpResponse, request: HttpRequest) -> None:
        """Check that the answer sets the cookie, and varies on it."""
        self.assertEqual(response.cookies[settings.SESSION_COOKIE_NAME].value, request.session.session_key)
        self.assertEqual(response.headers["Vary"], "Cookie")


class TestMemoryUnderStockMiddleware(OfMemory, Middleware):
    """Memory, Django's middleware."""

    __test__ = True


class TestDatabaseUnderStockMiddleware(OfDatabase, Middleware):
    """SQLite, Django's middleware."""

    __test__ = True


class TestRedisUnderStockMiddleware(OfRedis, Middleware):
    """Redis, Django's middleware."""

    __test__ = True


class TestCachedDatabaseUnderStockMiddleware(OfCachedDatabase, Middleware):
    """The database behind Redis, Django's middleware."""

    __test__ = True


class TestFileUnderStockMiddleware(OfFile, Middleware):
    """Files, Django's middleware."""

    __test__ = True


class TestMongoDBUnderStockMiddleware(OfMongoDB, Middleware):
    """MongoDB, Django's middleware."""

    __test__ = True


class TestMemoryUnderOurMiddleware(TestMemoryUnderStockMiddleware):
    """Memory, our middleware."""

    middleware = SessionMiddleware


class TestDatabaseUnderOurMiddleware(TestDatabaseUnderStockMiddleware):
    """SQLite, our middleware."""

    middleware = SessionMiddleware


class TestRedisUnderOurMiddleware(TestRedisUnderStockMiddleware):
    """Redis, our middleware."""

    middleware = SessionMiddleware


class TestCachedDatabaseUnderOurMiddleware(TestCachedDatabaseUnderStockMiddleware):
    """The database behind Redis, our middleware."""

    middleware = SessionMiddleware


class TestFileUnderOurMiddleware(TestFileUnderStockMiddleware):
    """Files, our middleware."""

    middleware = SessionMiddleware


class TestMongoDBUnderOurMiddleware(TestMongoDBUnderStockMiddleware):
    """MongoDB, our middleware."""

    middleware = SessionMiddleware


def test_every_difference_names_a_case_that_django_still_has() -> None:
    for name in SESSIONS:
        suite, _, case = name.partition(".")
        assert hasattr(getattr(django_own, suite), case), name
