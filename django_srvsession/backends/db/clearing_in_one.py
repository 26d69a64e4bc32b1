"""Clear on PostgreSQL: one statement for a batch ends what is due, forgets old tombstones, and says what it did.

Where few rows are due they are found by the index of expiries. Where most of a large table is due it is cheaper to go
through the table itself, page by page (8 kB): each page is read and written once, as one big ``DELETE`` would.
"""

from __future__ import annotations

import time
from typing import Final

from django.db import OperationalError, transaction

from django_srvsession.backends.db.clearing_walk import Batch, IndexWalk, Walk
from django_srvsession.backends.db.connection import code_of
from django_srvsession.backends.db.database import Database, Runner
from django_srvsession.backends.db.sql import EXPIRE, RECORD_COLUMNS, Row

_LEAST_PAGES: Final = 1000
"""A table of 8 MB; a smaller one is cleared in no time either way."""
_LEAST_BATCH: Final = 1000
"""Who asks for smaller batches gets them by the index: how many rows are due on a page is known on average only."""
_SAMPLED_PAGES: Final = 200
_MANY_ON_A_PAGE: Final = 0.5
"""From so many due rows on a page, on average, the index would lead to most pages anyhow, and to many of them twice."""
_PATIENCE: Final = "SET LOCAL lock_timeout = '20ms'"
_LOCK_NOT_AVAILABLE: Final = "55P03"

_PAST: Final = "({ended_ms} IS NOT NULL OR {expires_ms} + %(past_ms)s <= {now})"
# The index cannot serve the sum: the pages are to be read in order.
_ON_PAGES: Final = (
    "ctid >= CAST(%(first)s AS tid) AND ctid < CAST(%(behind)s AS tid) AND {expires_ms} + 0 <= {now} AND "
)
_COUNTED: Final = "COUNT(*) FILTER (WHERE was_live), COUNT(*) FILTER (WHERE NOT was_live)"


def _clearing(past: str, recent: str, with_records: bool) -> str:
    """Spell out the part that clears: ``cleared`` has a row for each, and, asked for them, the records as they were."""
    columns = [f"{{{name}}}" for name in RECORD_COLUMNS] if with_records else []
    gone = ", ".join(["{ended_ms} IS NULL AS was_live", *columns])
    buried = ", ".join(["true", *columns]).replace("{expires_ms}", "{ended_expires_ms}")
    return (
        f"gone AS (DELETE FROM {{table}} WHERE {past} RETURNING {gone}), "
        f"buried AS (UPDATE {{table}} SET {EXPIRE} WHERE {recent} RETURNING {buried}), "
        "cleared AS (SELECT * FROM gone UNION ALL SELECT * FROM buried) "
    )


def of_index(database: Database, with_records: bool) -> str:
    """Return the statement that clears what the index says is due; each row begins with how many and how far."""
    due = f"WITH due AS MATERIALIZED (SELECT ctid, {{expires_ms}}, {_PAST} AS past FROM {{table}}"
    # Rows that are locked stay where they are, and need no index to be found again.
    past, recent = (f"ctid = ANY(ARRAY(SELECT ctid FROM due WHERE {which}))" for which in ("past", "NOT past"))
    cleared = "cleared" if with_records else f"(SELECT {_COUNTED} FROM cleared) cleared"
    said = f"SELECT * FROM (SELECT COUNT(*), MAX({{expires_ms}}) FROM due) seen LEFT JOIN {cleared} ON true"
    return (
        database.spell(due)
        + database.lists.locked_due
        + database.spell("), " + _clearing(past, recent, with_records) + said)
    )


def of_pages(database: Database, with_records: bool) -> str:
    """Return the statement that clears what is due on some pages."""
    clearing = _clearing(_ON_PAGES + _PAST, f"{_ON_PAGES} NOT {_PAST}", with_records)
    what = "cleared.*" if with_records else _COUNTED
    return database.spell(f"WITH {clearing} SELECT NULL, NULL, {what} FROM cleared")


def _outcome(rows: list[Row], with_records: bool) -> tuple[int, int, list[Row]]:
    """Return how many were ended, how many forgotten, and the records' columns."""
    if not with_records:
        ((_, _, ended, forgotten),) = rows
        return ended, forgotten, []
    ended_rows = [row[3:] for row in rows if row[2]]
    return len(ended_rows), sum(row[2] is False for row in rows), ended_rows


class OneStatementWalk(IndexWalk):
    """Find, end and delete in one statement."""

    def batch(self, table: Runner, size: int) -> Batch:
        """Clear ``size`` sessions at most."""
        sql = of_index(table.database, self.with_records)
        began = time.monotonic()
        with transaction.atomic(table.connection.alias):
            rows = table.rows_in_order_of_index(sql, {"bound": self.bound, "limit": size, **self.burial})
        looked_at, bound = rows[0][:2]
        self.advance(looked_at, size, bound)
        return Batch(*_outcome(rows, self.with_records), time.monotonic() - began)


class PageWalk(Walk):
    """Go through the table from its first page to its last.

    Locks nothing before it deletes, which takes half the time. Where another transaction holds one of the rows it does
    not wait for long: it leaves those pages to a walk by the index, which steps over that row.
    """

    def __init__(self, keep_ms: int, with_records: bool, pages: int, due_on_a_page: float) -> None:
        super().__init__(keep_ms, with_records)
        self._next, self._pages = 0, pages
        self._due_on_a_page = due_on_a_page

    def batch(self, table: Runner, size: int) -> Batch:
        """Clear about ``size`` sessions."""
        first, behind = self._next, self._next + max(int(size / self._due_on_a_page), 1)
        began = time.monotonic()
        rows = self._clear(table, first, behind)
        self._next, self.is_done = behind, behind >= self._pages
        return Batch(*_outcome(rows, self.with_records), time.monotonic() - began)

    def _clear(self, table: Runner, first: int, behind: int) -> list[Row]:
        pages = {"first": f"({first},0)", "behind": f"({behind},0)", **self.burial}
        try:
            with transaction.atomic(table.connection.alias):
                table.execute(_PATIENCE)
                return table.rows(of_pages(table.database, self.with_records), pages)
        except OperationalError as error:
            if code_of(error) != _LOCK_NOT_AVAILABLE:
                raise
            self.further = OneStatementWalk(self.keep_ms, self.with_records)
            return [] if self.with_records else [(None, None, 0, 0)]


def first_walk(table: Runner, most: int, keep_ms: int, with_records: bool) -> Walk:
    """Return the way that is cheaper, by a look at some pages; in a transaction of the caller's always by the index."""
    by_index = OneStatementWalk(keep_ms, with_records)
    if table.connection.in_atomic_block or most < _LEAST_BATCH:
        return by_index
    pages = int(table.rows(table.database.lists.pages, {})[0][0])
    if pages < _LEAST_PAGES:
        return by_index
    due = _due_on_a_page(table, pages)
    return by_index if due < _MANY_ON_A_PAGE else PageWalk(keep_ms, with_records, pages, due)


def _due_on_a_page(table: Runner, pages: int) -> float:
    sampled = min(_SAMPLED_PAGES, pages)
    sample = "{table} TABLESAMPLE SYSTEM (CAST(%(percent)s AS real)) WHERE {expires_ms} + 0 <= {now}"
    rows = table.rows(table.database.spell(f"SELECT COUNT(*) FROM {sample}"), {"percent": 100 * sampled / pages})
    return int(rows[0][0]) / sampled
