"""A site with an identity provider, and two users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from django_srvsession.oidc import keys
from tests.conftest import running
from tests.every_store import FIXTURES, every_store_fixture  # noqa: F401 - used as a fixture
from tests.oidc import site as pages
from tests.oidc.provider import Provider
from tests.servers import RedisServer


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    """An identity provider that the site knows."""
    made = Provider()
    keys._sets.clear()  # One before may have had the same port.
    settings.SRVSESSION_OIDC = [made.setting]
    settings.ROOT_URLCONF = "tests.oidc.site"
    yield made
    made.stop()
    pages.after_link.clear()


@pytest.fixture
def lasting_redis() -> Iterator[RedisServer]:
    """A Redis of one test's own, which keeps its data when it is stopped."""
    yield from running(RedisServer(appendonly=True))


@pytest.fixture
def users(every_store: str, provider: Provider) -> None:
    """Two users, on a store."""
    for name in ("ann", "bob"):
        get_user_model().objects.create_user(name)


@pytest.fixture
def engine(request: pytest.FixtureRequest, settings: Any) -> str:
    """A store, beside whatever database the test has."""
    settings.SESSION_ENGINE = f"django_srvsession.backends.{request.param}"
    if request.param in FIXTURES:
        request.getfixturevalue(FIXTURES[request.param])
    return str(request.param)
