"""Fixtures: the site of ``tests/engine/pages.py``, a browser, stock Django to compare with, and each store in turn.

And sites in processes of their own (``sites.py``).
"""

from __future__ import annotations

from tests.engine.conftest import browser, either_browser, site, stock
from tests.every_store import every_store_fixture
from tests.races.conftest import databases, engines
from tests.reports.sites import sites, store_name

__all__ = [
    "browser",
    "databases",
    "either_browser",
    "engines",
    "every_store_fixture",
    "site",
    "sites",
    "stock",
    "store_name",
]
