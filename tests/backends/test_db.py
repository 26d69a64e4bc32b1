"""The database store: the contract on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import pytest
from django.db import connections

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.testing import StoreContract


class TestContract(StoreContract):
    """The contract of all stores, on each database."""

    @pytest.fixture
    def store(self, database_alias: str) -> DatabaseStore:
        """A store on each database in turn."""
        return DatabaseStore(database_alias)

    def thread_done(self) -> None:
        """Close the thread's connections."""
        connections.close_all()
