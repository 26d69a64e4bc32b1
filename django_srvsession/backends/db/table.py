"""The sessions' table, on one connection: find, insert, change, end.

A write names the version that it is based on. When another request was first it reads again and tries anew, the last
time with the row locked, so that nobody starves. What a verb may do is said by ``store/rules.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final, TypeVar

from django.db import IntegrityError, transaction

from django_srvsession.backends.db import packets
from django_srvsession.backends.db.database import Runner
from django_srvsession.backends.db.format import (
    StoredRow,
    changed_columns,
    changed_params,
    clock_said,
    new_params,
    records_of,
    sought,
    version_step,
)
from django_srvsession.backends.db.sql import RECORD_COLUMNS, Params
from django_srvsession.records import MOVED, Delta, Ending, Loaded, SessionRecord
from django_srvsession.store import (
    BUSY,
    GONE,
    TAKEN,
    ConflictError,
    CorruptSessionError,
    CreateError,
    StoreUnavailableError,
    UpdateError,
    rules,
)

T = TypeVar("T")

_SID: Final = RECORD_COLUMNS.index("sid")
_DUPLICATE_KEY: Final = 1062


class Table(Runner):
    """Do what the verbs of the store do; errors of the database are those of ``django.db``."""

    # Find.

    def find(self, sid: str, locked: bool = False) -> StoredRow | None:
        """Return what stands under a sid; ``locked``, inside a transaction: and keep others from changing it.

        The time is told with it where it is not known within a minute, or somebody is about to decide by it.
        """
        clock, sql = self.database.clock, self.sql.read
        if locked:
            self.take_lock()
            sql = self.sql.read_locked
        elif clock.needs_asking:
            sql = self.sql.read_with_clock
        is_usual = sql is self.sql.read
        rows = self.rows(sql, {"sid": sid}, often=is_usual)
        if not rows:
            return None
        return StoredRow(rows[0], clock.now_ms if is_usual else clock.learn(clock_said(rows[0][-1])))

    def _retry(self, sid: str, attempt: Callable[[StoredRow | None], T | None]) -> T:
        """Return what ``attempt`` makes of the session; None from it means that another request was first.

        The second read locks. In the caller's transaction the first one does: under REPEATABLE READ, MariaDB shows a
        plain one what stood when the transaction began, however often it asks.
        """
        for locked in (self.connection.in_atomic_block, True):
            with transaction.atomic(self.connection.alias) if locked else nullcontext():
                outcome = attempt(self.find(sid, locked))
            if outcome is not None:
                return outcome
        raise StoreUnavailableError(BUSY)

    # Insert.

    def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere; raises as :meth:`insert`."""
        try:
            return self.insert(session, self.sql.restore)
        except CreateError:
            if not self.count(self.sql.forget_moved, {"sid": session.record.sid, "moved": MOVED}):
                raise
        return self.insert(session, self.sql.restore)

    def insert(self, new: Loaded, restoring: str = "") -> Loaded:
        """Store a new session, or one by another statement; raises ``CreateError`` when the sid is not free."""
        params = new_params(new)
        packets.check(self, params["data"])
        sql = restoring or self.sql.insert
        try:
            is_stored = self.count(sql, params, often=not restoring) > 0
        except IntegrityError as error:
            # MariaDB and MySQL have no "on conflict do nothing" that does not hide other errors too.
            if error.args[:1] != (_DUPLICATE_KEY,):
                raise
            is_stored = False
        return new if is_stored else self._inserted_before(new.record.sid, new.record.verifier)

    def _inserted_before(self, sid: str, verifier: str) -> Loaded:
        try:
            found = self.find(sid, locked=self.connection.in_atomic_block)
            stored = found and rules.already_created(found.session(), verifier, found.now_ms)
        except CorruptSessionError as error:
            raise CreateError from error  # Whatever it is, the place is taken.
        if not stored:
            raise CreateError(TAKEN)  # It has gone since.
        return stored

    # Change.

    def change(self, sid: str, verifier: str, delta: Delta, base: Loaded | None) -> Loaded:
        """Apply a change to a live session; raises as ``Store.update``."""
        if base is not None and (after := self._change_base(verifier, delta, base)):
            return after

        def attempt(found: StoredRow | None) -> Loaded | None:
            if found is None:
                raise UpdateError(GONE)
            current = found.session()
            after = rules.changed(current, verifier, delta, max(self.now_ms(), found.now_ms))
            if not isinstance(current, Loaded) or after is current:
                return after
            return self._compare_and_set(verifier, delta, current, after)

        return self._retry(sid, attempt)

    def _change_base(self, verifier: str, delta: Delta, base: Loaded) -> Loaded | None:
        """Change the session if what the caller knows of it still stands; return None where that is not sure."""
        try:
            after = rules.changed(base, verifier, delta, max(self.now_ms(), base.now_ms))
        except (UpdateError, ConflictError):
            return None  # It may be out of date: only what stands now can tell.
        return None if after is base else self._compare_and_set(verifier, delta, base, after)

    def _compare_and_set(self, verifier: str, delta: Delta, current: Loaded, after: Loaded) -> Loaded | None:
        version = current.record.version + version_step(self.connection.in_atomic_block)
        if after.record.version != version:
            after = after._replace(record=after.record._replace(version=version))
        sql = self.sql.update(changed_columns(delta, verifier, current))
        params = changed_params(delta, verifier, current, after)
        packets.check(self, params.get("new_data", b""))
        return after if self.count(sql, params, often=True) else None

    # End.

    def end(self, sid: str, ending: Ending, params: Params) -> SessionRecord | None:
        """End a session as ``Store.end``, by the parameters of its ending; return the record as it was, or None.

        What is damaged opens for nobody, whether a statement ends it or not, and has no record to return.
        """
        params = {**params, "sid": sid}
        has_rare_conditions = (
            ending.version is not None or ending.expected or (ending.verifier is not None and ending.reason is None)
        )
        if has_rare_conditions or not self.sql.ends_in_one:
            return self._end_base(sid, ending, params) or self._end_by_version(sid, ending, params)
        in_one = self.sql.expire if ending.reason is None else self.sql.end
        if ending.verifier is not None:
            in_one, params["verifier"] = self.sql.end_of_verifier, sought(ending.verifier)
        # What was damaged has ended too, and tells nothing.
        return next(records_of(self.rows(in_one, params, often=True)), None)

    def _end_base(self, sid: str, ending: Ending, params: Params) -> SessionRecord | None:
        """End the session if what the caller knows of it still stands; return None where that is not sure."""
        base = ending.base
        if base is None or base.record.sid != sid:
            return None
        record = rules.may_end(base, ending, max(self.now_ms(), base.now_ms))
        return record if record is not None and self._end_version(record, ending, params) else None

    def _end_by_version(self, sid: str, ending: Ending, params: Params) -> SessionRecord | None:
        def attempt(found: StoredRow | None) -> tuple[SessionRecord | None] | None:
            record = None if found is None else _may_end(found, ending)
            if record is None:
                return (None,)
            return (record,) if self._end_version(record, ending, params) else None

        try:
            return self._retry(sid, attempt)[0]
        except CorruptSessionError:
            return None

    def _end_version(self, record: SessionRecord, ending: Ending, params: Params) -> bool:
        sql = self.sql.expire_of_version if ending.reason is None else self.sql.end_of_version
        return self.count(sql, {**params, "version": record.version}, often=True) > 0

    def end_many(self, sids: Sequence[str], params: Params) -> list[SessionRecord]:
        """End those of these sessions that are live; return their records as they were.

        One statement, or, where none returns rows, one that looks and locks and one that ends.
        """
        sids = sorted(set(sids))  # Two who end the same ones lock them in one order.
        if self.sql.ends_in_one:
            return list(records_of(self.rows_of("end", sids, params)))
        with transaction.atomic(self.connection.alias):
            self.take_lock()
            rows = self.rows_of("look", sids)
            self.each("end_locked", [row[_SID] for row in rows], params)
        return list(records_of(rows))


def _may_end(found: StoredRow, ending: Ending) -> SessionRecord | None:
    """Return the record of a session that may be ended; its values are looked at only where they matter."""
    return rules.may_end(found.session() if ending.expected else found.without_values(), ending, found.now_ms)
