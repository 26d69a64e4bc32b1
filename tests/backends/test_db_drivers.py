"""The drivers of a database that the tests do not run with; each in a process of its own, as Django takes one only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from django.db import connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db.prepared import AFTER_USES
from django_srvsession.models import Session
from django_srvsession.records import Delta, Ending, Tombstone
from django_srvsession.testing.sessions import (
    create,
    in_threads,
    new_sid,
    new_user,
    new_verifier,
    stored,
    unexpected,
)
from tests.databases import add_database, remove_database
from tests.patience import patient
from tests.pgbouncer import PgBouncer
from tests.runs import ROOT
from tests.servers import missing

CLEAR_WITH_PSYCOPG_2 = """
import sys
sys.modules["psycopg"] = None  # As where it is not installed: Django takes psycopg 2.
import django
django.setup()
import psycopg2
from django.db import connection
from django_srvsession.backends.db import clearing_in_one
from django_srvsession.engine import current_store
assert connection.Database is psycopg2
clearing_in_one._LEAST_PAGES = clearing_in_one._LEAST_BATCH = 1
clearing_in_one._MANY_ON_A_PAGE = 1e-9
print(current_store().clear_expired(on_ended=None))
"""


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_page_by_page_with_psycopg_2_a_row_that_others_hold_is_left_and_the_rest_is_ended(
    database_alias: str, database_settings: dict[str, Any]
) -> None:
    if find_spec("psycopg2") is None:
        missing("psycopg2")
    numbers = {"created_ms": 1, "last_seen_ms": 1, "lifetime_ms": 1, "expires_ms": 1}
    sessions = [Session(sid=new_sid(), verifier=new_verifier(), data=b"", **numbers) for _ in range(5)]
    Session.objects.bulk_create(sessions)
    with transaction.atomic(database_alias):
        held = Session.objects.select_for_update().get(sid=sessions[2].sid)
        assert told(CLEAR_WITH_PSYCOPG_2, database_settings) == "4"
    assert Session.objects.get().sid == held.sid


def told(story: str, database: dict[str, Any]) -> str:
    """Return what a story prints on a site with that database."""
    site = {"SESSION_ENGINE": "django_srvsession.backends.db", "DATABASES": {"default": database}}
    settings = {"DJANGO_SETTINGS_MODULE": "tests.site_settings", "SRVSESSION_TEST_SITE": json.dumps(site)}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", story],
        env={**os.environ, **settings, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=[True, False], ids=["as Django's documentation says", "and nobody said so"])
def pooled(request: pytest.FixtureRequest, database_alias: str, pgbouncer_server: PgBouncer) -> Iterator[str]:
    """An alias that leads through it; Django's setting for poolers may be forgotten."""
    entry = pgbouncer_server.database_settings(connections[database_alias].settings_dict["NAME"])
    add_database("pooled", {**entry, "DISABLE_SERVER_SIDE_CURSORS": request.param})
    yield "pooled"
    remove_database("pooled")


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_behind_pgbouncer_which_gives_each_transaction_another_connection_sessions_work(
    database_alias: str, pooled: str
) -> None:
    """Where it was forgotten, what one connection has prepared is asked of another one, sooner or later."""
    store, user_id = DatabaseStore(pooled), new_user()

    def use() -> str:
        session = create(store, user_id=user_id, changed={"count": b"0"})
        for number in range(2 * AFTER_USES):
            delta = Delta(changed={"count": b"%d" % number})
            session = store.update(session.record.sid, session.record.verifier, delta, session)
            assert stored(store, session.record.sid).values == {"count": b"%d" % number}
        store.end(session.record.sid, Ending("logout"))
        assert isinstance(store.load(session.record.sid), Tombstone)
        return session.record.sid

    outcomes = in_threads([use] * 8, connections.close_all)
    assert unexpected(outcomes) == []
    assert len(set(outcomes)) == 8
    assert list(store.records(user_id)) == []
