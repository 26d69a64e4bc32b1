"""On which stores the test of a report runs: some by default, all in whole runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.every_store import DATABASES
from tests.trust import WHOLE


def on_stores(*names: str) -> Callable[[Any], Any]:
    """Run a test that asks for ``every_store`` on these stores; in whole runs on each."""
    if WHOLE:
        return lambda test: test
    users = pytest.mark.django_db(transaction=True)
    params = [name if name in DATABASES else pytest.param(name, marks=users) for name in names]
    return pytest.mark.parametrize("every_store", params, indirect=True)
