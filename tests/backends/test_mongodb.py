"""The MongoDB store: the contract, and what it promises beyond it."""

from __future__ import annotations

import pytest

from django_srvsession.backends.mongodb import MongoStore
from django_srvsession.testing import StoreContract


class TestMongoDB(StoreContract):
    """The contract, on a server."""

    @pytest.fixture
    def store(self, mongodb: str) -> MongoStore:
        return MongoStore()
