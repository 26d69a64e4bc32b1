"""What tokens of a provider end, and do not end, and how they outlive an outage: on each store, in whole runs."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections, router

from django_srvsession.models import ProviderLink, ProviderMark
from tests.mongodb_servers import uri_of_another_server
from tests.oidc import test_security_events as events
from tests.oidc import test_tokens as logouts
from tests.oidc.browsers import log_out, push, revoke, send, sign_in, user_of
from tests.oidc.provider import AUDIENCE, Provider
from tests.oidc.stores import ALL, on_one_store
from tests.patience import patient
from tests.trust import WHOLE

SENT: dict[str, tuple[Callable[[Provider], str], Callable[[str], Any], int]] = {
    "a logout": (lambda provider: provider.token(sid="p1"), send, 200),
    "a security event": (lambda provider: provider.event(events.BOTH), push, 202),
}


@pytest.fixture(autouse=True)
def stream(provider: Provider, settings: Any) -> None:
    settings.SRVSESSION_OIDC = [{**provider.setting, "ssf_audience": AUDIENCE}]


@on_one_store
def test_no_bad_token_ends_or_stores_anything(
    users: None, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    client = sign_in(provider.id_claims())
    bad = [(send, make) for make in logouts.BAD.values()] + [(push, make) for make, _ in events.BAD.values()]
    log_out(provider, sid="another")  # From now on the keys are known.
    marks = ProviderMark.objects.count()
    for number, (tell, make) in enumerate(bad):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            status = tell(make(provider)).status_code
        assert status == 400, number
        assert len(caplog.records) == 1, number
    assert ProviderMark.objects.count() == marks
    assert user_of(client) == "ann"


@on_one_store
def test_tokens_of_a_new_key_end_what_they_name(users: None, provider: Provider) -> None:
    log_out(provider, sid="another")
    provider.rotate()
    first, second = sign_in(provider.id_claims()), sign_in(provider.id_claims(provider_sid="p2"))
    log_out(provider, sid="p1")
    revoke(provider, events.ANN)
    assert (user_of(first), user_of(second), provider.asked) == ("", "", 2)


@contextmanager
def out(store: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a store not answer; what is in it stays."""
    if store == "file":
        directory = Path(django_settings.SESSION_FILE_PATH)
        away = directory.with_name("away")
        directory.rename(away)
        directory.write_text("no directory")
        yield
        directory.unlink()
        away.rename(directory)
    elif store == "sqlite":
        alias = router.db_for_write(ProviderLink)
        holder = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None)
        connections[alias].cursor().execute("PRAGMA busy_timeout = 100")
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
        holder.close()
    elif store in ("postgresql", "mariadb"):
        server = request.getfixturevalue(f"{store}_server")
        server.stop()
        connections.close_all()
        yield
        server.start()
    else:
        server = request.getfixturevalue("redis_server" if store == "cached_db" else f"{store}_server")
        with server.frozen():
            yield


LASTING = [store for store in ALL if store != "sqlite" and getattr(store, "values", [store])[0] != "memory"]
"""All that can be out but the one in the site's own process."""


@pytest.mark.skipif(uri_of_another_server() is not None, reason="freezes the private MongoDB")
@pytest.mark.parametrize("every_store", ["sqlite", *(LASTING if WHOLE else [])], indirect=True)
@pytest.mark.parametrize("kind", SENT)
def test_a_token_for_a_store_that_is_out_is_not_lost(
    users: None, every_store: str, provider: Provider, kind: str, request: pytest.FixtureRequest
) -> None:
    make, tell, done = SENT[kind]
    client = sign_in(provider.id_claims())
    token = make(provider)
    with out(every_store, request):
        answer = tell(token)
    assert (answer.status_code, answer["Cache-Control"]) == (503, "no-store")
    assert answer.json() == {"error": "temporarily_unavailable"}
    connections.close_all()
    deadline = time.monotonic() + patient(30)
    while (status := tell(token).status_code) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)  # Redis in front of a database is asked again by and by.
    assert status == done
    assert user_of(client) == ""
