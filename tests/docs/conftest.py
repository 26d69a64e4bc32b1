"""A site for each page of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.dispatch import Signal
from prometheus_client import REGISTRY

from django_srvsession import signals
from django_srvsession.store import Store
from tests.docs.site import Site
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture


class Registry:
    """What code may put itself into by being imported: a dict or a list, as it was."""

    def __init__(self, entries: Any, after: Callable[[], object] = lambda: None) -> None:
        self.entries, self.before, self.after = entries, entries.copy(), after

    def put_back(self) -> None:
        """Take out what has come since."""
        self.entries.clear()
        (self.entries.update if isinstance(self.entries, dict) else self.entries.extend)(self.before)
        self.after()


def registries() -> list[Registry]:
    """Return where modules of a page put receivers, administration and metrics."""
    ours = [value for value in vars(signals).values() if isinstance(value, Signal)]
    known = [Registry(signal.receivers, signal.sender_receivers_cache.clear) for signal in ours]
    collectors = [REGISTRY._names_to_collectors, REGISTRY._collector_to_names]
    return [*known, Registry(admin.site._registry), *map(Registry, collectors)]


@pytest.fixture
def site_of(store: Store, db: None, settings: Any, tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    """Return the site that a page makes, on an empty memory store; nothing of it is done yet."""
    with ExitStack() as stack:
        for registry in registries():
            stack.callback(registry.put_back)

        def put(name: str, value: Any) -> None:
            if name != "DATABASES":  # Those of the tests stay.
                setattr(settings, name, value)

        def make(page: str) -> Site:
            site = Site(page, put, tmp_path)
            stack.enter_context(site.modules)
            return site

        yield make
