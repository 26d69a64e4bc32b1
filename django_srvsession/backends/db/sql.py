"""The SQL of the database store, written once for all databases and spelt out for each kind when it is first used.

In the templates ``{name}`` is a quoted column, ``{now}`` the clock of the database in milliseconds since 1970 UTC, and
``%(name)s`` a parameter. A statement sees one instant: ``{now}`` has the same value wherever it stands in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django_srvsession.backends.db.prepared import Prepared
from django_srvsession.models import Session
from django_srvsession.records import (
    CLOCKS_DIFFER_MS,
    ROTATION_GRACE_MS,
    Client,
    Loaded,
    SessionRecord,
    Tombstone,
    is_instant,
    is_sid,
    is_sound,
)
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.clock import LocalClock, ServerClock
from django_srvsession.store.framing import unframe
from django_srvsession.store.listings import note_damaged

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Row = tuple[Any, ...]
Params = dict[str, Any]

FOREVER: Final = 2**62
"""Is later than everything."""

BY_KEY_BEFORE: Final = "by the key before"
"""Stands among the columns of an update whose caller has the key from before a rotation."""

RECORD_COLUMNS: Final = (
    *("sid", "verifier", "created_ms", "last_seen_ms", "lifetime_ms", "expires_ms", "user_id", "ip", "user_agent"),
    *("signed_in_ms", "deadline_ms", "previous_verifier", "rotated_ms", "rotation_final", "version"),
)

_REST: Final = slice(len(RECORD_COLUMNS), len(RECORD_COLUMNS) + 4)

# Sums, not columns, so that no database goes through the index of expiries to a session that has a sid or a user.
# (MariaDB did where the table was small: an UPDATE then locks index entries first, and two of them deadlock.)
_LIVE = "{ended_ms} IS NULL AND {expires_ms} + 0 > {now}"
_DUE = "{ended_ms} IS NULL AND {expires_ms} + 0 <= {now}"
_OWN = "COALESCE({user_id}, %(user_id)s) = %(user_id)s"
_ACCEPTS = (
    "({verifier} = %(verifier)s OR ({previous_verifier} = %(verifier)s AND NOT {rotation_final}"
    f" AND {{rotated_ms}} > {{now}} - {ROTATION_GRACE_MS}))"
)
_SAME_VERSION = "{version} = %(version)s"

_BURY = "{ended_expires_ms} = {expires_ms}, {expires_ms} = {now} + %(keep_ms)s, {data} = %(nothing)s"
_END = "{ended_ms} = {now}, {ended_reason} = %(reason)s, {ended_by} = %(by)s, " + _BURY
EXPIRE: Final = (
    "{ended_ms} = {now}, {ended_reason} = CASE WHEN {deadline_ms} IS NOT NULL AND {expires_ms} >= {deadline_ms}"
    " THEN 'expired_lifetime' ELSE 'expired_idle' END, " + _BURY
)
_INSERTED: Final = (
    *("sid", "verifier", "user_id", "ip", "user_agent", "device_family", "data", "created_ms", "last_seen_ms"),
    *("lifetime_ms", "expires_ms", "deadline_ms", "signed_in_ms", "rotation_final", "version"),
)


class _Dialect(NamedTuple):
    """How one kind of database spells what they all can do."""

    now: str
    said: str = "{now}"
    for_update: str = " FOR UPDATE"
    on_conflict: str = " ON CONFLICT ({sid}) DO NOTHING"


_DIALECTS: Final[Mapping[str, _Dialect]] = {
    # The start of the statement: within a transaction it moves on, and it is one instant for the whole statement.
    "postgresql": _Dialect(
        now="(date_part('epoch', statement_timestamp()) * 1000)::bigint",
        # Whoever reads it multiplies: for less than it costs to parse that.
        said="date_part('epoch', statement_timestamp())",
    ),
    "mysql": _Dialect(now="(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)", on_conflict=""),
    # Runs in this process: its clock is ours.
    "sqlite": _Dialect(now="%(now)s", for_update=""),
}


class Statements:
    """Hold the SQL for one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        quote, dialect = connection.ops.quote_name, _DIALECTS[connection.vendor]
        fields = {field.name: quote(field.attname) for field in Session._meta.concrete_fields}
        words = {**dialect._asdict(), **fields, "table": quote(Session._meta.db_table)}
        words |= {name: words[name].format_map(words) for name in ("said", "on_conflict")}
        self._words = words
        self._updates: dict[tuple[str, ...], str] = {}
        self.vendor = connection.vendor
        self.prepared = Prepared()
        self.clock = LocalClock() if self.vendor == "sqlite" else ServerClock()
        self.ends_in_one = self.vendor == "postgresql" or (
            self.vendor == "sqlite" and sqlite3.sqlite_version_info >= (3, 35)
        )
        self._build_reads()
        self._build_writes()
        self._build_listings(connection.features.has_select_for_update_skip_locked)

    def _sql(self, *templates: str, **words: str) -> str:
        return "".join(templates).format_map(self._words | words)

    def spell(self, template: str) -> str:
        """Return a template of this module's kind as this database spells it."""
        return self._sql(template)

    def _columns(self, *names: str) -> str:
        return ", ".join(self._words[name] for name in names)

    def _build_reads(self) -> None:
        columns = self._columns(*RECORD_COLUMNS, "ended_ms", "ended_reason", "ended_by", "data")
        found = " FROM {table} WHERE {sid} = %(sid)s"
        self.read = self._sql("SELECT ", columns, found)
        self.read_with_clock = self._sql("SELECT ", columns, ", {said}", found)
        self.read_locked = self._sql(self.read_with_clock, "{for_update}")
        # SQLite has no lock on a row. A write that finds nothing takes the lock on the file, before anything is read.
        lock_file = self._sql("UPDATE {table} SET {version} = 0 WHERE {sid} = ''")
        self.take_lock = lock_file if self.vendor == "sqlite" else ""

    def _build_writes(self) -> None:
        given = ", ".join(f"%({name})s" for name in _INSERTED)
        self.insert = self._sql(
            f"INSERT INTO {{table}} ({self._columns(*_INSERTED)}) VALUES ({given})", "{on_conflict}"
        )
        was = self._columns(*RECORD_COLUMNS).replace(self._words["expires_ms"], self._words["ended_expires_ms"])
        returning = f" RETURNING {was}" if self.ends_in_one else ""
        end = self._sql("UPDATE {table} SET ", _END, " WHERE {sid} = %(sid)s AND ", _LIVE)
        expire = self._sql("UPDATE {table} SET ", EXPIRE, " WHERE {sid} = %(sid)s AND ", _DUE)
        self.returning: str = returning
        self.end = end + returning
        self.end_of_verifier = self._sql(end, " AND ", _ACCEPTS, returning)
        self.expire = expire + returning
        self.end_of_version = self._sql(end, " AND ", _SAME_VERSION)
        self.expire_of_version = self._sql(expire, " AND ", _SAME_VERSION)

    def _build_listings(self, can_skip_locked: bool) -> None:
        columns = self._columns(*RECORD_COLUMNS)
        newest_first = " ORDER BY {last_seen_ms} DESC, {sid} DESC"
        live = self._sql("FROM {table} WHERE ", _LIVE)
        self.of_user = self._sql(f"SELECT {columns} ", live, " AND {user_id} = %(user_id)s", newest_first)
        by_creation = " AND ({created_ms} < %(created)s OR ({created_ms} = %(created)s AND {sid} < %(sid)s))"
        self.of_user_from = (
            self._sql(
                f"SELECT {columns} ",
                live,
                " AND {user_id} = %(user_id)s",
                by_creation,
                " ORDER BY {created_ms} DESC, {sid} DESC",
            )
            + " LIMIT %(limit)s"
        )
        self.of_user_page = self.of_user + " LIMIT %(limit)s OFFSET %(offset)s"
        self.count_of_user = self._sql("SELECT COUNT(*) ", live, " AND {user_id} = %(user_id)s")
        self.count = self._sql("SELECT COUNT(*) FROM {table} WHERE {expires_ms} > {now} AND {ended_ms} IS NULL")
        self.page = self._sql(f"SELECT {columns} ", live, newest_first, " LIMIT %(limit)s OFFSET %(offset)s")
        further = " AND {last_seen_ms} <= %(seen)s AND ({last_seen_ms} < %(seen)s OR {sid} < %(sid)s)"
        self.further = self._sql(f"SELECT {columns} ", live, further, newest_first, " LIMIT %(limit)s")
        self._build_walk(columns, newest_first, further)
        self.ask_clock = self._sql("SELECT {said}")
        self._build_admission()
        self._build_clearing(columns, can_skip_locked)

    def _build_walk(self, columns: str, newest_first: str, further: str) -> None:
        """Spell out lists of some sessions, found among so many of the next rows, tombstones included.

        However many sessions have ended, and whatever they were, no statement goes further than its window.
        """
        rows = f"FROM {{table}} WHERE 1 = 1{further}"
        by_device = f"{rows} AND {{device_family}} = %(device_family)s"
        self.everyone = self._window(columns, newest_first, rows)
        self.signed_in = self._window(columns, newest_first, rows, " AND {user_id} IS NOT NULL")
        self.anonymous = self._window(columns, newest_first, rows, " AND {user_id} IS NULL")
        self.of_ip = self._window(columns, newest_first, rows, " AND {ip} = %(ip)s")
        self.of_device = self._window(columns, newest_first, by_device)
        end = f"{newest_first} LIMIT 1 OFFSET %(window)s"
        self.window_end = self._sql(f"SELECT {{last_seen_ms}}, {{sid}} {rows}{end}")
        self.window_end_of_device = self._sql(f"SELECT {{last_seen_ms}}, {{sid}} {by_device}{end}")
        self._build_activity()

    def _window(self, columns: str, newest_first: str, rows: str, asked_for: str = "") -> str:
        window = f"(SELECT {columns}, {{ended_ms}} {rows}{newest_first} LIMIT %(window)s) w"
        return self._sql(f"SELECT {columns} FROM {window} WHERE {_LIVE}{asked_for}{newest_first} LIMIT %(limit)s")

    def _build_activity(self) -> None:
        newest = "{last_seen_ms} DESC LIMIT %(window)s"
        looked_at = f"SELECT {{ended_ms}}, {{expires_ms}} FROM {{table}} ORDER BY {newest}"
        live = f"SUM(CASE WHEN {_LIVE} THEN 1 ELSE 0 END)"
        self.count_some = self._sql(f"SELECT COUNT(*), {live} FROM ({looked_at}) w")
        minute = "{last_seen_ms} - {last_seen_ms} %% 60000 AS minute"
        recent = f"FROM {{table}} WHERE {{last_seen_ms}} >= %(since)s ORDER BY {newest}"
        seen = f"(SELECT {minute}, {{ended_ms}}, {{expires_ms}} {recent}) w"
        self.by_minute = self._sql(f"SELECT minute, COUNT(*) FROM {seen} WHERE {_LIVE} GROUP BY minute")
        # PostgreSQL alone: a sample of the table's pages, and how many there are.
        known = "CASE WHEN {last_seen_ms} >= %(since)s THEN {last_seen_ms} - {last_seen_ms} %% 60000 END AS minute"
        sampled = f"SELECT {known} FROM {{table}} TABLESAMPLE SYSTEM (CAST(%(percent)s AS real)) WHERE {_LIVE}"
        self.sample = self._sql(f"SELECT minute, COUNT(*) FROM ({sampled}) w GROUP BY minute")
        table = self._words["table"].replace("'", "''")
        self.pages = f"SELECT pg_relation_size('{table}') / current_setting('block_size')::bigint"
        self.table_bytes = f"SELECT pg_total_relation_size('{table}')"

    def _build_admission(self) -> None:
        # The version moves only if the session changes hands; it is assigned first, while user_id is what it was.
        bind = (
            "UPDATE {table} SET {version} = {version} + CASE WHEN {user_id} IS NULL THEN %(step)s ELSE 0 END,"
            " {user_id} = %(user_id)s, {admitted_ms} = {now}"
            " WHERE {sid} = %(sid)s AND {admitted_ms} IS NULL AND "
        )
        self.bind = self._sql(bind, _OWN, " AND ", _LIVE)
        minute_ago = f"{{now}} - {ROTATION_GRACE_MS}"
        handed_out = f"CASE WHEN {{evicting_ms}} > {minute_ago} THEN 1 ELSE 0 END"
        # A sign-in of more than a minute ago, before there was a limit, counts like one that was admitted.
        counts = f"CASE WHEN {{admitted_ms}} IS NOT NULL OR {{signed_in_ms}} <= {minute_ago} THEN 1 ELSE 0 END"
        # Only MariaDB and MySQL need the lock to see what was committed since the transaction began; and they walk
        # through a small table, and lock the rows of other users' sign-ins, unless they are told the index.
        index, lock = (" FORCE INDEX (srvsession_user)", "{for_update}") if self.vendor == "mysql" else ("", "")
        table = f"FROM {{table}}{index} WHERE {{user_id}} = %(user_id)s AND {_LIVE}"
        users = f"SELECT {{sid}}, {handed_out}, {counts} {table}"
        self.admitted = self._sql(users, " ORDER BY {last_seen_ms}, {sid}", lock)

    def _build_clearing(self, columns: str, can_skip_locked: bool) -> None:
        lock = self._words["for_update"] + (" SKIP LOCKED" if can_skip_locked else "")
        # With old statistics of a table that has grown, PostgreSQL and MariaDB may sort all that is due for each batch.
        self.sort_no_more = {"postgresql": "SET LOCAL enable_sort = off"}.get(self.vendor, "")
        self.sort_again = {"postgresql": "SET LOCAL enable_sort = DEFAULT"}.get(self.vendor, "")
        walk = " FORCE INDEX (srvsession_expires)" if self.vendor == "mysql" else ""
        due = " WHERE {expires_ms} <= {now} AND {expires_ms} >= %(bound)s ORDER BY {expires_ms} LIMIT %(limit)s"
        brief = "SELECT {ended_ms}, {now}, {sid}, {expires_ms}"
        self.due_briefly = self._sql(brief, " FROM {table}", walk, due, lock)
        self.due = self._sql(brief, f", {columns} FROM {{table}}", walk, due, lock)
        self.locked_due = self._sql(due, lock)
        self.count_due = self._sql("SELECT COUNT(*) FROM {table} WHERE {expires_ms} <= {now} AND {ended_ms} IS NULL")

    def update(self, names: tuple[str, ...]) -> str:
        """Return the statement that sets these columns where version and verifier stand.

        With ``BY_KEY_BEFORE`` among them the verifier may be the one from before a rotation, as long as it is accepted.
        """
        try:
            return self._updates[names]
        except KeyError:
            return self._updates.setdefault(names, self._new_update(names))

    def _new_update(self, names: tuple[str, ...]) -> str:
        # As long as the version stands, so does the verifier: the key before is the one that time may have run out for.
        accepts = _ACCEPTS if BY_KEY_BEFORE in names else "{verifier} = %(verifier)s"
        # A second guard against giving a session to another user, should a version ever be mistaken.
        own = f" AND {_OWN}" if "user_id" in names else ""
        condition = f"{{sid}} = %(sid)s AND {_SAME_VERSION} AND {_LIVE} AND {accepts}{own}"
        assigned = ", ".join(f"{{{name}}} = %(new_{name})s" for name in names if name != BY_KEY_BEFORE)
        return self._sql(f"UPDATE {{table}} SET {assigned} WHERE {condition}")

    def of_sids(self, verb: str, count: int) -> str:
        """Return the statement that does a verb to ``count`` sessions, named by the parameters ``sid0``, ``sid1``...

        On PostgreSQL they are one parameter, ``sids``: to write a thousand into a statement costs more than to do it.
        """
        heads = {
            "delete": "DELETE FROM {table} WHERE {expires_ms} + 0 <= {now} AND ",
            "expire": "UPDATE {table} SET " + EXPIRE + " WHERE " + _DUE + " AND ",
            # Those whose rows are not locked by who asks are judged here; the others were, when they were looked at.
            "end": "UPDATE {table} SET " + _END + " WHERE " + _LIVE + " AND ",
            "end_locked": "UPDATE {table} SET " + _END + " WHERE {ended_ms} IS NULL AND ",
            "look": f"SELECT {self._columns(*RECORD_COLUMNS)} FROM {{table}} WHERE {_LIVE} AND ",
            "evict": "UPDATE {table} SET {evicting_ms} = {now} WHERE {ended_ms} IS NULL AND ",
        }
        tail: str = {"end": self.returning, "look": self._words["for_update"]}.get(verb, "")
        if self.vendor == "postgresql":
            return self._sql(heads[verb], "{sid} = ANY(%(sids)s)") + tail
        return self._sql(heads[verb], "{sid} IN (", ", ".join(f"%(sid{i})s" for i in range(count)), ")") + tail


def clock_said(said: float) -> int:
    """Return the clock, in milliseconds, that a statement returned as ``{said}``: as such, or as a float of seconds.

    Cut, not rounded: what is known of the clock must never be ahead of it.
    """
    return int(said if isinstance(said, int) else said * 1000)


def record_of(row: Row) -> SessionRecord:
    """Make a record of a row that begins with ``RECORD_COLUMNS``; raises ``CorruptSessionError`` for a damaged one."""
    record = SessionRecord(*row[:7], Client(row[7], row[8]), *row[9:13], bool(row[13]), row[14])  # type: ignore[call-arg]
    if is_sound(record) and is_sid(record.sid):
        return record
    raise CorruptSessionError("The row of the session is damaged.")


def records_of(rows: Iterable[Row]) -> Iterator[SessionRecord]:
    """Make the records of rows; leaves out, and logs, what is damaged."""
    for row in rows:
        try:
            yield record_of(row)
        except CorruptSessionError:
            note_damaged(row[0])


class Found:
    """Hold a row of the statement ``read``: a session or a tombstone, with its values still framed.

    Raises ``CorruptSessionError`` for a damaged row.
    """

    def __init__(self, row: Row, now_ms: int) -> None:
        self.record = record_of(row)
        self.ended_ms, self.reason, self.by, self.data = row[_REST]
        if self.ended_ms is not None and not is_instant(self.ended_ms):
            raise CorruptSessionError("The row of the session is damaged.")
        # What has happened is not ahead of the clock, whatever is known of it here, unless somebody forged it.
        happened_ms = max(self.record.last_seen_ms, self.ended_ms or 0)
        self.now_ms = happened_ms if now_ms < happened_ms <= now_ms + CLOCKS_DIFFER_MS else now_ms

    @property
    def is_ended(self) -> bool:
        """Tell whether this is a tombstone."""
        return self.ended_ms is not None

    @property
    def is_live(self) -> bool:
        """Tell whether its time was not up when it was read."""
        return self.record.is_live(self.now_ms)

    def loaded(self) -> Loaded:
        """Return the session; raises ``CorruptSessionError`` when its values are damaged."""
        if not isinstance(self.data, bytes | memoryview):
            raise CorruptSessionError("The values of the session are damaged.")
        return Loaded(self.record, unframe(bytes(self.data)), self.now_ms)

    def tombstone(self) -> Tombstone:
        """Return what is left of the session; raises ``CorruptSessionError`` when that is damaged."""
        record = self.record
        known = (record.verifier, record.previous_verifier)
        verifiers = tuple(verifier for verifier in known if verifier is not None)
        tombstone = Tombstone(record.sid, verifiers, self.reason, self.by, self.ended_ms, self.now_ms, record.user_id)
        if tombstone.is_sound:
            return tombstone
        raise CorruptSessionError("The row of the ended session is damaged.")
