"""The sessions' table, on one connection: find, insert, change, end.

A write names the version that it is based on. When another request was first it reads again and tries anew, the last
time with the row locked, so that nobody starves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import IntegrityError, OperationalError, transaction

from django_srvsession.backends.db import packets
from django_srvsession.backends.db.cursors import open_cursor
from django_srvsession.backends.db.format import Change, new_params, version_step
from django_srvsession.backends.db.sql import (
    RECORD_COLUMNS,
    Found,
    Params,
    Row,
    Statements,
    clock_said,
    records_of,
)
from django_srvsession.models import reading_any_text, says_it_is_no_text, spelt
from django_srvsession.records import Delta, Loaded, SessionRecord, conflicts, new_session
from django_srvsession.store import GONE, TAKEN, CorruptSessionError, CreateError, StoreUnavailableError, UpdateError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

_SID: Final = RECORD_COLUMNS.index("sid")
_DUPLICATE_KEY: Final = 1062
_MOST_SIDS: Final = 900
"""How many sids one statement names: old SQLite takes 999 parameters."""
_AGENTS: Final = frozenset({"user_agent", "new_user_agent"})
_BUSY: Final = "Other requests kept changing the session; nothing was written."


class Table:
    """Execute the statements of the store; errors are those of ``django.db``."""

    def __init__(self, connection: BaseDatabaseWrapper, sql: Statements) -> None:
        self.connection = connection
        self.sql = sql

    # Execute.

    def rows(self, sql: str, params: Params, *, often: bool = False) -> list[Row]:
        """Execute a statement and return all its rows; ``often``: it is one that many requests need."""
        try:
            return self._rows(sql, params, often)
        except OperationalError as error:
            if not says_it_is_no_text(error, self.connection):
                raise
        with reading_any_text(self.connection):
            return self._rows(sql, params, often)

    def _rows(self, sql: str, params: Params, often: bool) -> list[Row]:
        with self.connection.wrap_database_errors, open_cursor(self.connection) as cursor:
            self._execute(cursor, sql, params, often)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def rows_in_order_of_index(self, sql: str, params: Params) -> list[Row]:
        """Execute a statement, inside a transaction, that is to walk along an index rather than to sort."""
        if not self.sql.sort_no_more:
            return self.rows(sql, params)
        self.execute(self.sql.sort_no_more)
        rows = self.rows(sql, params)
        self.execute(self.sql.sort_again)
        return rows

    def execute(self, sql: str) -> None:
        """Execute a statement that returns nothing."""
        with self.connection.wrap_database_errors, open_cursor(self.connection) as cursor:
            cursor.execute(sql)

    def count(self, sql: str, params: Params, *, often: bool = False) -> int:
        """Execute a statement and return how many rows it met; ``often`` as for :meth:`rows`."""
        with self.connection.wrap_database_errors, open_cursor(self.connection) as cursor:
            self._execute(cursor, sql, params, often)
            return int(cursor.rowcount)

    def _execute(self, cursor: Any, sql: str, params: Params, often: bool) -> None:
        if often:
            self.sql.prepared.execute(self.connection, cursor, sql, self._spelt(params))
        else:
            cursor.execute(sql, self._spelt(params))

    def now_ms(self) -> int:
        """Return the clock of the database, which is asked for it where nothing has told it within a minute."""
        clock = self.sql.clock
        if clock.needs_asking:
            clock.learn(clock_said(self.rows(self.sql.ask_clock, {})[0][0]))
        return clock.now_ms

    def _spelt(self, params: Params) -> Params:
        """Add the time for SQLite, whose clock is ours; give MariaDB and MySQL what their connections may not spell."""
        vendor = self.sql.vendor
        if vendor == "sqlite":
            return {**params, "now": self.sql.clock.now_ms}
        if vendor == "mysql" and not _AGENTS.isdisjoint(params):
            return {name: spelt(value, self.connection) if name in _AGENTS else value for name, value in params.items()}
        return params

    def each(self, verb: str, sids: Sequence[str], params: Params | None = None) -> None:
        """Do a verb of ``Statements.of_sids`` to sessions, in statements that every database takes."""
        for sql, named in self._statements_of(verb, sids):
            self.count(sql, {**(params or {}), **named})

    def _statements_of(self, verb: str, sids: Sequence[str]) -> Iterator[tuple[str, Params]]:
        if self.sql.vendor == "postgresql":
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

    # Find.

    def find(self, sid: str, locked: bool = False) -> Found | None:
        """Return what stands under a sid; ``locked``, inside a transaction: and keep others from changing it.

        The time is told with it where it is not known within a minute, or somebody is about to decide by it.
        """
        clock, sql = self.sql.clock, self.sql.read
        if locked:
            self.take_lock()
            sql = self.sql.read_locked
        elif clock.needs_asking:
            sql = self.sql.read_with_clock
        rows = self.rows(sql, {"sid": sid}, often=sql is self.sql.read)
        if not rows:
            return None
        return Found(rows[0], clock.now_ms if sql is self.sql.read else clock.learn(clock_said(rows[0][-1])))

    def _retry(self, sid: str, attempt: Callable[[Found | None], T | None]) -> T:
        """Return what ``attempt`` makes of the session; None from it means that another request was first.

        The second read locks. In the caller's transaction the first one does: under REPEATABLE READ, MariaDB shows a
        plain one what stood when the transaction began, however often it asks.
        """
        for locked in (self.connection.in_atomic_block, True):
            with transaction.atomic(self.connection.alias) if locked else nullcontext():
                outcome = attempt(self.find(sid, locked))
            if outcome is not None:
                return outcome
        raise StoreUnavailableError(_BUSY)

    # Insert.

    def insert(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session; raises ``CreateError`` when the sid is not free."""
        new = new_session(sid, verifier, delta, self.now_ms())
        params = new_params(new)
        packets.check(self, params["data"])
        try:
            is_stored = self.count(self.sql.insert, params, often=True) > 0
        except IntegrityError as error:
            # MariaDB and MySQL have no "on conflict do nothing" that does not hide other errors too.
            if error.args[:1] != (_DUPLICATE_KEY,):
                raise
            is_stored = False
        return new if is_stored else self._inserted_before(sid, verifier)

    def _inserted_before(self, sid: str, verifier: str) -> Loaded:
        try:
            found = self.find(sid, locked=self.connection.in_atomic_block)
        except CorruptSessionError as error:
            raise CreateError from error  # Whatever it is, the place is taken.
        if found is None or found.is_ended or found.record.verifier != verifier or not found.is_live:
            raise CreateError(TAKEN)
        return found.loaded()

    # Change.

    def change(self, sid: str, change: Change, base: Loaded | None) -> Loaded:
        """Apply a change to a live session; raises as ``Store.update``."""
        if base is not None and (after := self._compare_and_set(change, base)):
            return after

        def attempt(found: Found | None) -> Loaded | None:
            if found is None or found.is_ended:
                raise UpdateError(GONE)
            current = found.loaded()
            if change.stands(current):
                return current
            if refusal := change.refusal(current):
                raise refusal
            return self._compare_and_set(change, current)

        return self._retry(sid, attempt)

    def _compare_and_set(self, change: Change, current: Loaded) -> Loaded | None:
        version = current.record.version + version_step(self.connection.in_atomic_block)
        after = change.applied(current, max(self.now_ms(), current.now_ms), version)
        sql, params = self.sql.update(change.columns(current)), change.params(current, after)
        packets.check(self, params.get("new_data", b""))
        return after if self.count(sql, params, often=True) else None

    # End.

    def end(self, params: Params, expected: Mapping[str, bytes | None], is_due: bool) -> SessionRecord | None:
        """End a session that is live, or, ``is_due``, whose time is up; return the record as it was, or None.

        What is damaged opens for nobody, whether a statement ends it or not, and has no record to return.
        """
        if expected or not self.sql.ends_in_one:
            return self._end_by_version(params, expected, is_due)
        in_one = self.sql.expire if is_due else self.sql.end
        if params["verifier"] is not None:
            in_one = self.sql.end_of_verifier
        # What was damaged has ended too, and tells nothing.
        return next(records_of(self.rows(in_one, params, often=True)), None)

    def end_many(self, sids: Sequence[str], params: Params) -> list[SessionRecord]:
        """End those of these sessions that are live; return their records as they were.

        One statement, or, where none returns rows, one that looks and locks and one that ends.
        """
        sids = sorted(set(sids))  # Two who end the same ones lock them in one order.
        if self.sql.ends_in_one:
            found = [self.rows(sql, {**params, **named}) for sql, named in self._statements_of("end", sids)]
            return list(records_of(chain.from_iterable(found)))
        with transaction.atomic(self.connection.alias):
            self.take_lock()
            found = [self.rows(sql, named) for sql, named in self._statements_of("look", sids)]
            rows = list(chain.from_iterable(found))
            self.each("end_locked", [row[_SID] for row in rows], params)
        return list(records_of(rows))

    def _end_by_version(
        self, params: Params, expected: Mapping[str, bytes | None], is_due: bool
    ) -> SessionRecord | None:
        sql = self.sql.expire_of_version if is_due else self.sql.end_of_version

        def attempt(found: Found | None) -> tuple[SessionRecord | None] | None:
            if found is None or not _may_end(found, params["verifier"], expected, is_due):
                return (None,)
            guarded = {**params, "version": found.record.version}
            return (found.record,) if self.count(sql, guarded) else None

        try:
            return self._retry(params["sid"], attempt)[0]
        except CorruptSessionError:
            return None


def _may_end(found: Found, verifier: str | None, expected: Mapping[str, bytes | None], is_due: bool) -> bool:
    if found.is_ended or found.is_live == is_due:
        return False
    if verifier is not None and not found.record.accepts(verifier, found.now_ms):
        return False
    try:
        return not expected or not conflicts(found.loaded().values, expected)
    except CorruptSessionError:
        return False
