"""The mark of tests that run on every store."""

from __future__ import annotations

import pytest

from tests.every_store import MONGODB

# pytest-django makes only those databases that it finds in marks.
DB, CACHED_DB = (pytest.param(kind, marks=pytest.mark.django_db(transaction=True)) for kind in ("db", "cached_db"))
ENGINES = ("memory", DB, "redis", CACHED_DB, "file", *MONGODB)
on_every_store = pytest.mark.parametrize("engine", ENGINES, indirect=True)
