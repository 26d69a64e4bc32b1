"""Whether the sessions' table is as the migration makes it: a restore, or another tool, may have changed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from django_srvsession.backends.db.database import Runner
from django_srvsession.models import Session
from django_srvsession.store.health import Finding, Level

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_TABLE: Final = Session._meta.db_table

# Column, type, collation. SQLite keeps anything in any column.
_COLUMNS: Final = {
    "postgresql": (
        "SELECT attname, format_type(atttypid, atttypmod), NULL FROM pg_attribute"
        " WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped"
    ),
    "mysql": (
        "SELECT column_name, column_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %(table)s"
    ),
}
# How MariaDB and MySQL call what Django asks for.
_AS_ASKED: Final = ((re.compile(r"bigint\(\d+\)"), "bigint"), (re.compile(r"tinyint\(1\)"), "bool"))


def findings(table: Runner) -> Iterator[Finding]:
    """Return what there is to say; raises errors of ``django.db``."""
    wrong = sorted(_wrong_columns(table))
    if wrong:
        advice = "A value that has no room is refused with 503, and texts may be taken for one another. Make them so."
        yield Finding(Level.ERROR, "columns", f"In {_TABLE}, {'; '.join(wrong)}.", advice)
    missing = sorted(_missing_indexes(table.connection))
    if missing:
        text = f"{_TABLE} lacks the index of {', that of '.join(missing)}."
        yield Finding(
            Level.WARNING, "indexes", text, "Reads go through the whole table. Make it as the migration does."
        )
    if not wrong and not missing:
        yield Finding(Level.OK, "columns", f"{_TABLE} is as the migration makes it.")


def _wrong_columns(table: Runner) -> Iterator[str]:
    sql = _COLUMNS.get(table.database.vendor)
    if sql is None:
        return
    stands = {
        str(name): (_asked_for(str(kind)), collation) for name, kind, collation in table.rows(sql, {"table": _TABLE})
    }
    for field in Session._meta.concrete_fields:
        parameters: Any = field.db_parameters(table.connection)
        kind, collation = stands.get(str(field.column), ("missing", None))
        if kind != parameters["type"]:
            yield f"{field.column} is {kind} instead of {parameters['type']}"
        elif collation is not None and collation != parameters.get("collation"):
            yield f"{field.column} is compared by {collation} instead of {parameters.get('collation')}"


def _asked_for(kind: str) -> str:
    for pattern, name in _AS_ASKED:
        kind = pattern.sub(name, kind)
    return kind


def _missing_indexes(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, _TABLE).values()
    stand = {tuple(one["columns"]) for one in constraints if one["index"] or one["primary_key"]}
    for columns in (("sid",), *(tuple(index.fields) for index in Session._meta.indexes)):
        if columns not in stand:
            yield " and ".join(columns)
