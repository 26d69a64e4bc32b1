"""The documentation's examples of metrics and logging, as they stand there: they count and write what happens."""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client as Browser

from django_srvsession import services
from django_srvsession.signals import session_ended, session_started
from django_srvsession.store import Store
from tests.docs.blocks import block
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture


def example(page: str, name: str) -> str:
    return block(page, name).text


def sign_in_and_end() -> str:
    browser = Browser()
    ann = get_user_model().objects.create_user("ann")
    browser.force_login(ann)
    (record,) = services.sessions_of(ann)
    services.revoke(record.sid)
    return record.sid


@pytest.fixture
def receivers() -> Iterator[None]:
    """Take away, afterwards, what an example has connected."""
    before = session_started.receivers[:], session_ended.receivers[:]
    yield
    session_started.receivers, session_ended.receivers = before
    for signal in (session_started, session_ended):
        signal.sender_receivers_cache.clear()


@pytest.mark.django_db(transaction=True)
def test_prometheus_counts_starts_and_ends_by_reason(store: Store, receivers: None) -> None:
    from prometheus_client import REGISTRY

    module: dict[str, Any] = {}
    exec(example("how-to/metrics", "prometheus"), module)
    try:
        sign_in_and_end()
        assert REGISTRY.get_sample_value("sessions_started_total") == 1
        assert REGISTRY.get_sample_value("sessions_ended_total", {"reason": "revoked"}) == 1
    finally:
        for name in ("STARTED", "ENDED"):
            REGISTRY.unregister(module[name])


@pytest.mark.django_db(transaction=True)
def test_the_logging_configuration_writes_a_line_for_each(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module: dict[str, Any] = {}
    exec(example("reference/events", "logging"), module)
    logger = logging.getLogger("django_srvsession")
    try:
        logging.config.dictConfig(module["LOGGING"])
        sid = sign_in_and_end()
    finally:
        for handler in logger.handlers[:]:
            handler.close()
            logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    started, ended = (tmp_path / "sessions.log").read_text().splitlines()
    assert re.fullmatch(rf".* INFO Session {sid} of user \d+ started\.", started)
    assert re.fullmatch(rf".* INFO Session {sid} of user \d+ ended: revoked\.", ended)
