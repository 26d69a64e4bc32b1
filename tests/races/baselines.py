"""On which of Django's engines a fault shows."""

from __future__ import annotations

import pytest


def on_stock(*names: str) -> pytest.MarkDecorator:
    """Run a baseline on these engines: ``cache`` (django-redis), ``file``, ``cached_db`` or a database's name."""
    return pytest.mark.parametrize("stock_site", names, indirect=True, scope="session")


EVERY_ENGINE = on_stock("cache", "file", "sqlite", "postgresql", "mariadb", "cached_db")
