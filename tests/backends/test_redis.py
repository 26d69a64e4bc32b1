"""The Redis store: the contract, and what is Redis' own."""

from __future__ import annotations

import pytest

from django_srvsession.backends.redis import RedisStore
from tests.backends.contract import StoreContract


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


class TestContract(StoreContract):
    """All that any store promises."""
