"""The servers of a site that moves, step by step, and back: a server is a set of settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import override_settings

from tests.engine.other_engine import OtherEngine
from tests.engine.pages import Browser, name_user

Server = Callable[[], AbstractContextManager[Any]]


@pytest.fixture
def ours(engine: Any) -> str:
    """The engine of ours."""
    return str(engine.__name__)


@pytest.fixture
def old(other: OtherEngine) -> Server:
    """A server of before."""
    return other.in_charge


@pytest.fixture
def first(other: OtherEngine, ours: str) -> Server:
    """A server of the first step: the old engine keeps the sessions."""
    return lambda: override_settings(
        SESSION_ENGINE=other.path, SRVSESSION_MIGRATE_FROM=None, SRVSESSION_MIGRATE_TO=ours
    )


@pytest.fixture
def second(other: OtherEngine, ours: str) -> Server:
    """A server of the second step: ours keeps them."""
    return lambda: override_settings(
        SESSION_ENGINE=ours, SRVSESSION_MIGRATE_FROM=other.path, SRVSESSION_MIGRATE_TO=None
    )


@pytest.fixture
def first_back(other: OtherEngine, ours: str) -> Server:
    """A server of the first step of the way back: ours keeps them still."""
    return lambda: override_settings(
        SESSION_ENGINE=ours, SRVSESSION_MIGRATE_FROM=None, SRVSESSION_MIGRATE_TO=other.path
    )


@pytest.fixture
def second_back(other: OtherEngine, ours: str) -> Server:
    """A server of the second step of the way back."""
    return lambda: override_settings(
        SESSION_ENGINE=other.path, SRVSESSION_MIGRATE_FROM=ours, SRVSESSION_MIGRATE_TO=None
    )


def visit(server: Server, browser: Browser, view: Any) -> Any:
    """Visit a page on a server, and keep the cookies; a test client goes on with the engine of its first request."""
    with server():
        visitor = browser.copy()
        response = visitor.visit(view)
    browser.client.cookies = visitor.client.cookies
    return response


def on(server: Server, browser: Browser, view: Any) -> Any:
    """Visit a page on a server that must work, and return what it shows."""
    response = visit(server, browser, view)
    assert response.status_code == 200, (response.status_code, response.content)
    return response.json()["shown"]


def user_on(server: Server, browser: Browser) -> str:
    """Return who is signed in on a server."""
    return str(on(server, browser, name_user))
