"""The database store: the contract on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp
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


def test_no_two_modules_of_the_store_know_each_other() -> None:
    """Not even for types, or when a function is called."""
    graph = grimp.build_graph("django_srvsession", cache_dir=None)
    store = {module for module in graph.modules if module.startswith("django_srvsession.backends.db")}
    assert len(store) > 10
    known = {module: graph.find_modules_directly_imported_by(module) & store for module in store}
    assert set(TopologicalSorter(known).static_order()) == store  # Raises CycleError.
