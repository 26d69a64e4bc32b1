"""Fixtures: the site of ``tests/engine/pages.py``, a browser, stock Django to compare with, and each store in turn."""

from __future__ import annotations

from tests.engine.conftest import browser, either_browser, site, stock
from tests.every_store import every_store_fixture

__all__ = ["browser", "either_browser", "every_store_fixture", "site", "stock"]
