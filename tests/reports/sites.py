"""Sites on our stores and on Django's engines, as the races have them: one of ours by default, all in whole runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.processes import Site, WSGISite
from tests.races.conftest import OURS, Engines
from tests.trust import WHOLE

STORES = OURS if WHOLE else ("redis",)


class Sites:
    """Start the site on an engine, with settings; each once, for all tests of this directory."""

    def __init__(self, engines: Engines, stack: ExitStack) -> None:
        self._engines = engines
        self._stack = stack
        self._running: dict[str, Site] = {}

    def of(self, engine: str, kind: Callable[..., Site] = WSGISite, **settings: Any) -> Site:
        """Return the site on one of our stores, or on an engine of Django's ("stock cache")."""
        name = f"{engine} {kind} {settings}"
        if name not in self._running:
            all_settings = self._engines.of(engine)
            del all_settings["SRVSESSION_TOUCH_INTERVAL"]  # As a site has it.
            all_settings |= {"ROOT_URLCONF": "tests.reports.views", "SRVSESSION_TRUSTED_PROXIES": ["127.0.0.1"]}
            all_settings |= settings
            alone = engine == "memory"
            workers, threads = (1, 16) if alone else (2, 8)
            site = kind(workers=workers, threads=threads, **all_settings)
            self._running[name] = self._stack.enter_context(site)
        return self._running[name]


@pytest.fixture(scope="package")
def sites(engines: Engines) -> Iterator[Sites]:
    """Sites on any engine."""
    with ExitStack() as stack:
        yield Sites(engines, stack)


@pytest.fixture(params=STORES)
def store_name(request: pytest.FixtureRequest) -> str:
    """The name of each of our stores in turn."""
    return str(request.param)
