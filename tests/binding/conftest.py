"""A site that binds sessions, on each store in turn, with two users."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from tests.binding.devices import Device
from tests.engine.conftest import atomic_requests, engine, store
from tests.trust import WHOLE

__all__ = ["atomic_requests", "engine", "store"]


@pytest.fixture
def binding(settings: Any) -> Any:
    """A site that offers to bind; returns the settings."""
    settings.ROOT_URLCONF = "tests.binding.site"
    settings.SESSION_COOKIE_SECURE = True
    settings.SRVSESSION_BIND = "offer"
    return settings


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann", "ann@example.com", "ann's password")


@pytest.fixture(params=["WSGI", "ASGI"])
def either(request: pytest.FixtureRequest, binding: Any, ann: Any) -> Device:
    """Ann's browser, over WSGI and over ASGI."""
    return Device(asgi=request.param == "ASGI")


@pytest.fixture(params=["WSGI", "ASGI"] if WHOLE else ["WSGI"])
def device(request: pytest.FixtureRequest, binding: Any, ann: Any) -> Device:
    """Ann's browser, which can be bound; she has not signed in. Over ASGI, too, in whole runs."""
    return Device(asgi=request.param == "ASGI")
