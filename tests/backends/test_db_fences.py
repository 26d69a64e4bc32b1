"""What of Django and psycopg is not documented: it is there, does what we take it for, and is used in one module each.

``make newest`` runs these with the newest releases. Where one fails, the module that it names has to change.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from django_srvsession.backends.db import DatabaseStore, cursors, prepared
from django_srvsession.models import Session
from django_srvsession.testing.sessions import create, new_sid
from tests.patience import patient
from tests.runs import ROOT

pytestmark = pytest.mark.fence

PACKAGE = ROOT / "django_srvsession"
CURSORS, PREPARED = Path("backends/db/cursors.py"), Path("backends/db/prepared.py")

OF_DJANGO = (
    *("queries_logged", "execute_wrappers", "close_if_health_check_failed", "ensure_connection"),
    *("validate_thread_sharing", "validate_no_broken_transaction"),
)
OF_PSYCOPG = ("_preparing", "_get_prepared", "cursor_factory", "transaction_status")


@pytest.fixture
def connection(database_alias: str) -> Any:
    """A connection to each database in turn, open."""
    connections[database_alias].ensure_connection()
    return connections[database_alias]


on_postgresql = pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)


@pytest.mark.parametrize(
    ("names", "fence"), [((*OF_DJANGO, "CursorWrapper"), CURSORS), (OF_PSYCOPG, PREPARED)], ids=["Django", "psycopg"]
)
def test_what_is_not_documented_is_used_in_its_fence_only(names: tuple[str, ...], fence: Path) -> None:
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    using = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text())}
    assert using == {fence}
    unused = [name for name in names if name not in (PACKAGE / fence).read_text()]
    assert unused == [], f"{fence} does not use these: take them off the list."


@pytest.mark.parametrize("name", OF_DJANGO)
def test_django_s_connections_have_what_we_use(connection: Any, name: str) -> None:
    assert hasattr(connection, name), f"Django's connections have no {name} any more: see {CURSORS}."


def test_django_s_cursor_is_known_in_a_process_that_nobody_traces() -> None:
    code = (
        "import django; django.setup()\n"
        "from django_srvsession.backends.db import cursors\n"
        "from django.db.backends.utils import CursorWrapper\n"
        "assert cursors._is_djangos and CursorWrapper.execute is cursors._execute\n"
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=patient(60))


def test_without_listeners_a_statement_goes_past_django_s_cursor_and_its_checks_hold(connection: Any) -> None:
    used = cursors.execute(connection, "SELECT 1", {}, type)
    assert issubclass(used, CursorWrapper) is (connection.vendor != "sqlite"), f"see _nobody_listens in {CURSORS}"
    heard: list[str] = []
    with connection.execute_wrapper(lambda execute, sql, *rest: heard.append(sql) or execute(sql, *rest)):
        cursors.execute(connection, "SELECT 1", {}, type)
    assert heard == ["SELECT 1"]
    with transaction.atomic(connection.alias):
        transaction.set_rollback(True, connection.alias)
        with pytest.raises(transaction.TransactionManagementError):
            cursors.execute(connection, "SELECT 1", {}, type)


def test_psycopg_still_asks_its_cursor_whether_a_statement_is_to_be_prepared() -> None:
    hook = getattr(psycopg.Cursor, "_get_prepared", None)
    assert hook is not None, f"psycopg's cursors have no _get_prepared any more: see {PREPARED}."
    assert [*inspect.signature(hook).parameters] == ["self", "pgq", "prepare"], f"see _get_prepared in {PREPARED}"
    assert {each.name for each in prepared.Prepare} == {"NO", "YES", "SHOULD"}, f"see Prepare in {PREPARED}"


@on_postgresql
def test_psycopg_prepares_what_it_is_told_to_under_our_name(connection: Any) -> None:
    store = DatabaseStore(connection.alias)
    create(store)  # From now on, for a minute, the store knows what time it is there.
    connection.close()
    for _ in range(prepared.AFTER_USES + 5):
        store.load(new_sid())
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, statement FROM pg_prepared_statements")
        ((name, statement),) = cursor.fetchall()
    assert name.startswith("srvsession_"), f"psycopg prepared it under a name of its own: see {PREPARED}."
    assert Session._meta.db_table in statement


@on_postgresql
def test_django_s_own_cursors_on_that_connection_prepare_nothing(connection: Any) -> None:
    store = DatabaseStore(connection.alias)
    create(store)  # From now on, for a minute, the store knows what time it is there.
    connection.close()
    for _ in range(20):
        store.load(new_sid())
        assert not Session.objects.using(connection.alias).filter(sid=new_sid()).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (1,)
    assert connection.connection.prepare_threshold is None
