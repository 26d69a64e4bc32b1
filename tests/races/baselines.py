"""On which of Django's engines a fault shows."""

from __future__ import annotations

import pytest

from tests.trust import WHOLE


def on_stock(*names: str) -> pytest.MarkDecorator:
    """Run a baseline on these engines: ``cache`` (django-redis), ``file``, ``cached_db`` or a database's name.

    By default it runs on the first, which is enough to see that the race can show the fault.
    """
    return pytest.mark.parametrize("stock_site", names if WHOLE else names[:1], indirect=True, scope="session")


EVERY_ENGINE = on_stock("cache", "file", "sqlite", "postgresql", "mariadb", "cached_db")
