"""One database, and the way of a statement to it: spelt, executed, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import OperationalError

from django_srvsession.backends.db import cursors
from django_srvsession.backends.db.format import clock_said
from django_srvsession.backends.db.listing_sql import ListStatements
from django_srvsession.backends.db.sql import Params, Row, Spelling, Statements
from django_srvsession.models import AS_BYTES, needs_bytes
from django_srvsession.store.clock import LocalClock, ServerClock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_srvsession.backends.db.prepared import Prepared

T = TypeVar("T")

_MOST_SIDS: Final = 900
"""How many sids one statement names: old SQLite takes 999 parameters."""
_TEXTS: Final = frozenset({"user_agent", "new_user_agent", "by"})
"""The parameters that are written and may hold any character."""
_NO_TEXT: Final = "Could not decode to UTF-8"

_rows: Final = methodcaller("fetchall")
_count: Final = attrgetter("rowcount")


class Database:
    """Know what holds for all connections to one database: its SQL, its clock, what they may have prepared."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.vendor = connection.vendor
        self._spelling = Spelling(connection)
        self.sql = Statements(self._spelling)
        self.clock = LocalClock() if self.vendor == "sqlite" else ServerClock()
        self.prepared = _prepared() if self.vendor == "postgresql" else None
        self._strict_mode = _strict_mode(connection) if self.vendor == "mysql" else ""
        self._is_mariadb: bool = getattr(connection, "mysql_is_mariadb", False)

    @cached_property
    def lists(self) -> ListStatements:
        """The SQL of lists."""
        return ListStatements(self._spelling)

    def spell(self, *templates: str) -> str:
        """Return a template as this database spells it."""
        return self._spelling.spell(*templates)

    def strict(self, sql: str) -> str:
        """Return a statement that fails rather than to cut a value which does not fit its column.

        MariaDB and MySQL cut without an error where the site's ``sql_mode`` is not strict: a session would be damaged.
        """
        if not self._strict_mode:
            return sql
        if self._is_mariadb:
            return f"SET STATEMENT sql_mode = '{self._strict_mode}' FOR {sql}"
        verb, _, rest = sql.partition(" ")
        return f"{verb} /*+ SET_VAR(sql_mode = '{self._strict_mode}') */ {rest}"


def _strict_mode(connection: BaseDatabaseWrapper) -> str:
    """Return the connection's ``sql_mode`` made strict, or "" where it is; Django has asked for it with the version."""
    modes: set[str] = connection.sql_mode  # type: ignore[attr-defined]
    return "" if modes & {"STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"} else ",".join([*modes, "STRICT_ALL_TABLES"])


def _prepared() -> Prepared:
    from django_srvsession.backends.db.prepared import Prepared  # Loads psycopg.

    return Prepared()


class Runner:
    """Execute statements on one connection; errors are those of ``django.db``."""

    def __init__(self, connection: BaseDatabaseWrapper, database: Database) -> None:
        self.connection = connection
        self.database = database
        self.sql = database.sql

    # Execute.

    def rows(self, sql: str, params: Params, *, often: bool = False) -> list[Row]:
        """Execute a statement and return all its rows; ``often``: it is one that many requests need."""
        try:
            return self._execute(sql, params, _rows, often)
        except OperationalError as error:
            if self.database.vendor != "sqlite" or _NO_TEXT not in str(error):
                raise
        # One damaged row must not hide all others: what of it is no text is read as what no text has.
        connection = self.connection.connection
        before, connection.text_factory = connection.text_factory, _decoded
        try:
            return self._execute(sql, params, _rows)
        finally:
            connection.text_factory = before

    def count(self, sql: str, params: Params, *, often: bool = False) -> int:
        """Execute a write and return how many rows it met; ``often`` as for :meth:`rows`."""
        return int(self._execute(self.database.strict(sql), params, _count, often))

    def execute(self, sql: str) -> None:
        """Execute a statement that returns nothing."""
        self._execute(sql, {}, _count)

    def _execute(self, sql: str, params: Params, read: Callable[[Any], T], often: bool = False) -> T:
        vendor, prepared = self.database.vendor, self.database.prepared if often else None
        if vendor == "sqlite":  # Its clock is ours.
            params = {**params, "now": self.database.clock.now_ms}
        elif vendor == "mysql":
            for name in _TEXTS.intersection(params):
                if needs_bytes(params[name]):
                    sql = sql.replace(f"%({name})s", f"{AS_BYTES}%({name})s")
        return cursors.execute(self.connection, sql, params, read, prepared)

    def rows_in_order_of_index(self, sql: str, params: Params) -> list[Row]:
        """Execute a statement, inside a transaction, that is to walk along an index rather than to sort."""
        lists = self.database.lists
        if not lists.sort_no_more:
            return self.rows(sql, params)
        self.execute(lists.sort_no_more)
        rows = self.rows(sql, params)
        self.execute(lists.sort_again)
        return rows

    def now_ms(self) -> int:
        """Return the clock of the database, which is asked for it where nothing has told it within a minute."""
        clock = self.database.clock
        if clock.needs_asking:
            clock.learn(clock_said(self.rows(self.sql.ask_clock, {})[0][0]))
        return clock.now_ms

    def each(self, verb: str, sids: Sequence[str], params: Params | None = None) -> None:
        """Do a verb of ``Statements.of_sids`` to sessions, in statements that every database takes."""
        for sql, named in self._statements_of(verb, sids):
            self.count(sql, {**(params or {}), **named})

    def rows_of(self, verb: str, sids: Sequence[str], params: Params | None = None) -> list[Row]:
        """Do as :meth:`each`, and return the rows."""
        found = [self.rows(sql, {**(params or {}), **named}) for sql, named in self._statements_of(verb, sids)]
        return list(chain.from_iterable(found))

    def _statements_of(self, verb: str, sids: Sequence[str]) -> Iterator[tuple[str, Params]]:
        if self.database.vendor == "postgresql":
            if sids:
                yield self.sql.of_sids(verb, len(sids)), {"sids": list(sids)}
            return
        for start in range(0, len(sids), _MOST_SIDS):
            named: Params = {f"sid{number}": sid for number, sid in enumerate(sids[start : start + _MOST_SIDS])}
            yield self.sql.of_sids(verb, len(named)), named

    def take_lock(self) -> None:
        """Lock SQLite's file for this transaction, before anything is read; elsewhere reading locks the rows."""
        if self.sql.take_lock:
            self.count(self.sql.take_lock, {})


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
