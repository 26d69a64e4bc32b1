"""The SQL of lists, of the overview and of clearing; for its words see ``sql.py``.

However many sessions have ended, and whatever they were, no statement of a walk goes further than its window: so many
of the next rows, tombstones included.
"""

from __future__ import annotations

from django_srvsession.backends.db.sql import LIVE, RECORD_COLUMNS, Spelling

_NEWEST_FIRST = " ORDER BY {last_seen_ms} DESC, {sid} DESC"
_FURTHER = " AND {last_seen_ms} <= %(seen)s AND ({last_seen_ms} < %(seen)s OR {sid} < %(sid)s)"
_ROWS = f"FROM {{table}} WHERE 1 = 1{_FURTHER}"
_ROWS_OF_DEVICE = f"{_ROWS} AND {{device_family}} = %(device_family)s"
_BY_CREATION = " AND ({created_ms} < %(created)s OR ({created_ms} = %(created)s AND {sid} < %(sid)s))"


class ListStatements:
    """Hold the SQL that reads many sessions of one database."""

    def __init__(self, spelling: Spelling) -> None:
        self._spell = spelling.spell
        self._columns = spelling.columns(*RECORD_COLUMNS)
        self._build_lists()
        self._build_walk()
        self._build_activity(spelling.words["table"].replace("'", "''"))
        self._build_clearing(spelling)

    def _build_lists(self) -> None:
        live = f"FROM {{table}} WHERE {LIVE}"
        live_of_user = f"{live} AND {{user_id}} = %(user_id)s"
        of_user = f"SELECT {self._columns} {live_of_user}"
        self.of_user = self._spell(of_user, _NEWEST_FIRST)
        self.of_user_page = self._spell(of_user, _NEWEST_FIRST, " LIMIT %(limit)s OFFSET %(offset)s")
        self.of_user_from = self._spell(
            of_user, _BY_CREATION, " ORDER BY {created_ms} DESC, {sid} DESC LIMIT %(limit)s"
        )
        self.count_of_user = self._spell("SELECT COUNT(*) ", live_of_user)
        self.count = self._spell("SELECT COUNT(*) FROM {table} WHERE {expires_ms} > {now} AND {ended_ms} IS NULL")
        everyone = f"SELECT {self._columns} {live}"
        self.page = self._spell(everyone, _NEWEST_FIRST, " LIMIT %(limit)s OFFSET %(offset)s")
        self.further = self._spell(everyone, _FURTHER, _NEWEST_FIRST, " LIMIT %(limit)s")

    def _build_walk(self) -> None:
        self.everyone = self._window(_ROWS)
        self.signed_in = self._window(_ROWS, " AND {user_id} IS NOT NULL")
        self.anonymous = self._window(_ROWS, " AND {user_id} IS NULL")
        self.of_ip = self._window(_ROWS, " AND {ip} = %(ip)s")
        self.of_device = self._window(_ROWS_OF_DEVICE)
        place, end = "SELECT {last_seen_ms}, {sid} ", f"{_NEWEST_FIRST} LIMIT 1 OFFSET %(window)s"
        self.window_end = self._spell(place, _ROWS, end)
        self.window_end_of_device = self._spell(place, _ROWS_OF_DEVICE, end)

    def _window(self, rows: str, asked_for: str = "") -> str:
        window = f"(SELECT {self._columns}, {{ended_ms}} {rows}{_NEWEST_FIRST} LIMIT %(window)s) w"
        return self._spell(
            f"SELECT {self._columns} FROM {window} WHERE {LIVE}{asked_for}{_NEWEST_FIRST} LIMIT %(limit)s"
        )

    def _build_activity(self, table: str) -> None:
        newest = "{last_seen_ms} DESC LIMIT %(window)s"
        looked_at = f"SELECT {{ended_ms}}, {{expires_ms}} FROM {{table}} ORDER BY {newest}"
        live = f"SUM(CASE WHEN {LIVE} THEN 1 ELSE 0 END)"
        self.count_some = self._spell(f"SELECT COUNT(*), {live} FROM ({looked_at}) w")
        minute = "{last_seen_ms} - {last_seen_ms} %% 60000 AS minute"
        recent = f"FROM {{table}} WHERE {{last_seen_ms}} >= %(since)s ORDER BY {newest}"
        seen = f"(SELECT {minute}, {{ended_ms}}, {{expires_ms}} {recent}) w"
        self.by_minute = self._spell(f"SELECT minute, COUNT(*) FROM {seen} WHERE {LIVE} GROUP BY minute")
        # PostgreSQL alone: a sample of the table's pages, and how many there are.
        known = "CASE WHEN {last_seen_ms} >= %(since)s THEN {last_seen_ms} - {last_seen_ms} %% 60000 END AS minute"
        sampled = f"SELECT {known} FROM {{table}} TABLESAMPLE SYSTEM (CAST(%(percent)s AS real)) WHERE {LIVE}"
        self.sample = self._spell(f"SELECT minute, COUNT(*) FROM ({sampled}) w GROUP BY minute")
        self.pages = f"SELECT pg_relation_size('{table}') / current_setting('block_size')::bigint"
        self.table_bytes = f"SELECT pg_total_relation_size('{table}')"

    def _build_clearing(self, spelling: Spelling) -> None:
        lock = spelling.words["for_update"] + (" SKIP LOCKED" if spelling.skips_locked else "")
        # With old statistics of a table that has grown, PostgreSQL and MariaDB may sort all that is due for each batch.
        is_postgresql = spelling.vendor == "postgresql"
        self.sort_no_more = "SET LOCAL enable_sort = off" if is_postgresql else ""
        self.sort_again = "SET LOCAL enable_sort = DEFAULT" if is_postgresql else ""
        walk = " FORCE INDEX (srvsession_expires)" if spelling.vendor == "mysql" else ""
        due = " WHERE {expires_ms} <= {now} AND {expires_ms} >= %(bound)s ORDER BY {expires_ms} LIMIT %(limit)s"
        brief = "SELECT {ended_ms}, {now}, {sid}, {expires_ms}"
        self.due_briefly = self._spell(brief, " FROM {table}", walk, due, lock)
        self.due = self._spell(brief, f", {self._columns} FROM {{table}}", walk, due, lock)
        self.locked_due = self._spell(due, lock)
        self.count_due = self._spell("SELECT COUNT(*) FROM {table} WHERE {expires_ms} <= {now} AND {ended_ms} IS NULL")
