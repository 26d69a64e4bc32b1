"""A database that was restored with narrower columns, another collation, or without its indexes.

Reported: "data too long for column", "value too long for type character varying", "out of range value" (500) after a
dump went through another tool, another server or an older migration; and worse, on a MariaDB or MySQL whose
``sql_mode`` is not strict, no error at all: what does not fit is cut, and the session is damaged from then on, or has
run out in 1970. Right is: nothing is ever stored cut; who saves what does not fit gets 503 and keeps what was there,
pages that read go out, and ``doctorsessions_srv`` names each column, collation and index that is not as the migration
makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from django_srvsession import services
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.engine import registry
from django_srvsession.store.health import Finding, Level
from tests.engine.pages import Browser, login, make_user, put, read

TABLE = "srvsession_session"
LONG = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
BIG = put(big=[number * 7919 % 100_003 for number in range(30_000)])  # Some 100 kB, compressed.

NARROWED = {
    "mariadb": {
        "data": ("blob NOT NULL", BIG, {}),
        "ip": ("varchar(8) NOT NULL", put(a=2), {"REMOTE_ADDR": "192.0.2.201"}),
        "user_agent": ("varchar(20) NOT NULL", put(a=2), {"HTTP_USER_AGENT": LONG}),
    },
    "postgresql": {
        "ip": ("character varying(8)", put(a=2), {"REMOTE_ADDR": "192.0.2.201"}),
        "user_agent": ("character varying(20)", put(a=2), {"HTTP_USER_AGENT": LONG}),
    },
}
CASES = [(kind, column) for kind, columns in NARROWED.items() for column in columns]
EXACT = {"mariadb": " COLLATE utf8mb4_nopad_bin", "postgresql": ' COLLATE "C"'}
MODES = {"mariadb": [None, "", "ANSI_QUOTES,PIPES_AS_CONCAT"], "postgresql": [None]}


def execute(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def altered(alias: str, column: str, narrow: str, wide: str) -> Iterator[None]:
    """Restore the table with another type of a column, for as long as the block lasts."""
    verb = "MODIFY {} {}" if connections[alias].vendor == "mysql" else "ALTER COLUMN {} TYPE {}"
    execute(alias, f"ALTER TABLE {TABLE} " + verb.format(column, narrow))
    try:
        yield
    finally:
        execute(alias, f"ALTER TABLE {TABLE} " + verb.format(column, wide))


@pytest.fixture
def with_mode(
    database_alias: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | None], None]]:
    """A function that starts the site anew, with this ``sql_mode``; None: the server's."""
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    started = connections[database_alias]

    def use(mode: str | None) -> None:
        if mode is not None:
            monkeypatch.setitem(started.settings_dict["OPTIONS"], "sql_mode", mode)
        connections[database_alias] = started.copy()
        monkeypatch.setitem(registry._stores, DatabaseStore, DatabaseStore())

    yield use
    connections[database_alias].close()
    connections[database_alias] = started


def types_of(alias: str, column: str) -> str:
    """Return how the migration makes a column."""
    types = {"data": "longblob NOT NULL", "ip": "varchar(64)", "user_agent": "longtext"}
    if connections[alias].vendor == "mysql":
        return types[column] if column == "data" else f"{types[column]}{EXACT['mariadb']} NOT NULL"
    return {"ip": "character varying(64)", "user_agent": "text"}[column] + EXACT["postgresql"]


@pytest.mark.parametrize(
    ("database_alias", "column", "mode"),
    [(kind, column, mode) for kind, column in CASES for mode in MODES[kind]],
    indirect=["database_alias"],
)
def test_what_does_not_fit_is_never_stored_cut_and_the_session_stays_as_it_was(
    column: str, mode: str | None, database_alias: str, with_mode: Any
) -> None:
    narrow, view, extra = NARROWED["mariadb" if connections[database_alias].vendor == "mysql" else "postgresql"][column]
    with_mode(mode)
    user, browser = make_user(), Browser()
    small = {"REMOTE_ADDR": "::1", "HTTP_USER_AGENT": "Short"}
    browser.visit(login(user), **small)
    browser.visit(put(a=1), **small)
    with altered(database_alias, column, narrow, types_of(database_alias, column)):
        answer = browser.visit(view, **extra)
        assert answer.status_code == 503
        assert browser.show(read, **small)["a"] == 1
        (record,) = services.sessions_of(user)
        assert (record.client.ip, record.client.user_agent) == ("::1", "Short")
        assert Browser().visit(view, **extra).status_code == 503
        assert browser.visit(put(b=1), **small).status_code == 200
    assert browser.visit(view, **extra).status_code == 200
    assert browser.user() == "ann"


@pytest.mark.parametrize(
    ("database_alias", "mode"),
    [(kind, mode) for kind, modes in MODES.items() for mode in modes],
    indirect=["database_alias"],
)
def test_a_moment_that_does_not_fit_makes_no_session_that_has_run_out_long_ago(
    mode: str | None, database_alias: str, with_mode: Any
) -> None:
    with_mode(mode)
    user, browser = make_user(), Browser()
    null = " NOT NULL" if connections[database_alias].vendor == "mysql" else ""
    with altered(database_alias, "expires_ms", f"integer{null}", f"bigint{null}"):
        assert browser.visit(login(user)).status_code == 503
    assert len(services.sessions_of(user)) == 0
    assert browser.visit(login(user)).status_code == 200
    assert browser.user() == "ann"


@pytest.mark.parametrize("database_alias", ["mariadb"], indirect=True)
def test_stock_django_stores_what_does_not_fit_cut_and_signs_its_person_out(
    database_alias: str, with_mode: Any, stock: Any
) -> None:
    stock("db")
    with_mode("")
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    execute(database_alias, "ALTER TABLE django_session MODIFY session_data text NOT NULL")
    try:
        assert browser.visit(BIG).status_code == 200
        assert browser.user() == ""
    finally:
        execute(database_alias, "ALTER TABLE django_session MODIFY session_data longtext NOT NULL")


# What the doctor says.


def findings(database_alias: str) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in DatabaseStore(database_alias).examine():
        found.setdefault(one.name, []).append(one)
    return found


def test_a_table_as_the_migration_makes_it_is_found_well(database_alias: str) -> None:
    assert [one.level for one in findings(database_alias)["columns"]] == [Level.OK]


@pytest.mark.parametrize(
    ("database_alias", "column", "narrow", "wide", "says"),
    [
        ("mariadb", "data", "blob NOT NULL", "longblob NOT NULL", "data is blob instead of longblob"),
        ("mariadb", "expires_ms", "int(11) NOT NULL", "bigint NOT NULL", "expires_ms is int(11) instead of bigint"),
        ("mariadb", "details", "varbinary(8) NOT NULL", "varbinary(1024) NOT NULL",
         "details is varbinary(8) instead of varbinary(1024)"),
        ("mariadb", "user_id", "varchar(255) COLLATE utf8mb4_general_ci", "varchar(255) COLLATE utf8mb4_nopad_bin",
         "user_id is compared by utf8mb4_general_ci instead of utf8mb4_nopad_bin"),
        ("postgresql", "ip", "character varying(8)", 'character varying(64) COLLATE "C"',
         "ip is character varying(8) instead of character varying(64)"),
        ("postgresql", "expires_ms", "integer", "bigint", "expires_ms is integer instead of bigint"),
    ],
    indirect=["database_alias"],
)  # fmt: skip
def test_the_doctor_names_each_column_that_is_not_as_the_migration_makes_it(
    column: str, narrow: str, wide: str, says: str, database_alias: str
) -> None:
    with altered(database_alias, column, narrow, wide):
        (finding,) = findings(database_alias)["columns"]
    assert (finding.level, finding.text) == (Level.ERROR, f"In {TABLE}, {says}.")
    assert [one.level for one in findings(database_alias)["columns"]] == [Level.OK]


def test_the_doctor_names_each_index_that_a_restore_has_left_out(database_alias: str) -> None:
    connection = connections[database_alias]
    of_table = f" ON {TABLE}" if connection.vendor == "mysql" else ""
    execute(database_alias, f"DROP INDEX srvsession_user{of_table}", f"DROP INDEX srvsession_device{of_table}")
    try:
        (finding,) = findings(database_alias)["indexes"]
    finally:
        execute(
            database_alias,
            f"CREATE INDEX srvsession_user ON {TABLE} (user_id)",
            f"CREATE INDEX srvsession_device ON {TABLE} (device_family, last_seen_ms)",
        )
    expected = f"{TABLE} lacks the index of device_family and last_seen_ms, that of user_id."
    assert (finding.level, finding.text) == (Level.WARNING, expected)
