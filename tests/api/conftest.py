"""Fixtures: the site with the API on an empty, watched store; two users; a client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import make_user
from tests.engine.conftest import engine, middleware, store

__all__ = ["engine", "middleware", "store"]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """The URLs of ``client.py``."""
    settings.ROOT_URLCONF = "tests.api.client"


@pytest.fixture(params=["wsgi", "asgi"])
def asgi(request: pytest.FixtureRequest) -> bool:
    """Whether the test's client talks ASGI; each test twice."""
    return bool(request.param == "asgi")


@pytest.fixture
def ann(db: None) -> Any:
    """A user."""
    return make_user("ann")


@pytest.fixture
def bob(db: None) -> Any:
    """Another user."""
    return make_user("bob")
