"""On which stores the tests of logouts by a provider run: on all in whole runs, and on two by default."""

from __future__ import annotations

from typing import Final

import pytest

from tests.every_store import CACHED, DATABASES, MONGODB, OTHERS
from tests.trust import WHOLE

ALL: Final = [*DATABASES, *CACHED, *OTHERS]
_SOME: Final = ["sqlite", *(store for store in OTHERS if store.values[0] == "redis")]

on_stores = pytest.mark.parametrize("every_store", ALL if WHOLE else _SOME, indirect=True)
on_one_store = pytest.mark.parametrize("every_store", ALL if WHOLE else _SOME[:1], indirect=True)
_ENGINES: Final = ["db", "memory", "redis", "file", *CACHED, *MONGODB]
on_one_engine = pytest.mark.parametrize("engine", _ENGINES if WHOLE else _ENGINES[:1], indirect=True)
"""Beside a database that the test has chosen."""
