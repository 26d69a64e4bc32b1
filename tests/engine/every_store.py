"""The mark of tests that run on every store."""

from __future__ import annotations

import pytest

from tests.every_store import MONGODB

# pytest-django makes only those databases that it finds in marks.
DB = pytest.param("db", marks=pytest.mark.django_db(transaction=True))
ENGINES = ("memory", DB, "redis", "file", *MONGODB)
on_every_store = pytest.mark.parametrize("engine", ENGINES, indirect=True)
