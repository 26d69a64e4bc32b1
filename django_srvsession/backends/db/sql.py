"""The SQL of the database store, written once for all databases and spelt out for each kind when it is first used.

In the templates ``{name}`` is a quoted column, ``{now}`` the clock of the database in milliseconds since 1970 UTC, and
``%(name)s`` a parameter. A statement sees one instant: ``{now}`` has the same value wherever it stands in it.

The rules are ``store/rules.py``'s. Where a statement has to say one again (what is live, which verifier is accepted,
why a session expires), ``tests/backends/test_db_rules.py`` holds it against them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django_srvsession import conf
from django_srvsession.models import Session
from django_srvsession.records import ROTATION_GRACE_MS
from django_srvsession.store.rules import LEAVING_MS

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Row = tuple[Any, ...]
Params = dict[str, Any]

RECORD_COLUMNS: Final = (
    *("sid", "verifier", "created_ms", "last_seen_ms", "lifetime_ms", "expires_ms", "user_id", "ip", "user_agent"),
    *("signed_in_ms", "deadline_ms", "previous_verifier", "rotated_ms", "rotation_final", "version", "details"),
)
"""The columns of a record, in the order of ``SessionRecord``."""

BY_KEY_BEFORE: Final = "by the key before"
"""Stands among the columns of an update whose caller has the key from before a rotation."""

# Sums, not columns, so that no database goes through the index of expiries to a session that has a sid or a user.
# (MariaDB did where the table was small: an UPDATE then locks index entries first, and two of them deadlock.)
ENDED_CHANNEL: Final = "srvsession_ended"
"""Where PostgreSQL tells of ends."""
LIVE: Final = "{ended_ms} IS NULL AND {expires_ms} + 0 > {now}"
_DUE: Final = "{ended_ms} IS NULL AND {expires_ms} + 0 <= {now}"
_OWN: Final = "COALESCE({user_id}, %(user_id)s) = %(user_id)s"
_IN_GRACE: Final = f"NOT {{rotation_final}} AND {{rotated_ms}} > {{now}} - {ROTATION_GRACE_MS}"
_ACCEPTS: Final = "({verifier} = %(verifier)s OR ({previous_verifier} = %(verifier)s AND " + _IN_GRACE + "))"
_OPENERS: Final = "{verifier}, CASE WHEN " + _IN_GRACE + " THEN {previous_verifier} END"
_SAME_VERSION: Final = "{version} = %(version)s"

_BURY: Final = "{ended_expires_ms} = {expires_ms}, {expires_ms} = {now} + %(keep_ms)s, {data} = %(nothing)s"
_END: Final = "{ended_ms} = {now}, {ended_reason} = %(reason)s, {ended_by} = %(by)s, " + _BURY
EXPIRE: Final = (
    "{ended_ms} = {now}, {ended_reason} = CASE WHEN {deadline_ms} IS NOT NULL AND {expires_ms} >= {deadline_ms}"
    " THEN 'expired_lifetime' ELSE 'expired_idle' END, " + _BURY
)
_INSERTED: Final = (
    *("sid", "verifier", "user_id", "ip", "user_agent", "device_family", "data", "created_ms", "last_seen_ms"),
    *("lifetime_ms", "expires_ms", "deadline_ms", "signed_in_ms", "rotation_final", "version", "details"),
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


class Spelling:
    """Spell templates as one database wants them."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        quote, dialect = connection.ops.quote_name, _DIALECTS[connection.vendor]
        fields = {field.name: quote(field.attname) for field in Session._meta.concrete_fields}
        words = {**dialect._asdict(), **fields, "table": quote(Session._meta.db_table)}
        self.words: Mapping[str, str] = words | {
            name: words[name].format_map(words) for name in ("said", "on_conflict")
        }
        self.vendor = connection.vendor
        self.skips_locked: bool = connection.features.has_select_for_update_skip_locked

    def spell(self, *templates: str) -> str:
        """Return a template, given in parts, as this database spells it."""
        return "".join(templates).format_map(self.words)

    def columns(self, *names: str) -> str:
        """Return quoted columns, with commas."""
        return ", ".join(self.words[name] for name in names)


class Statements:
    """Hold the SQL of the verbs for one database; that of lists is in ``listing_sql.py``."""

    def __init__(self, spelling: Spelling) -> None:
        self.spelling = spelling
        self.vendor = spelling.vendor
        self._updates: dict[tuple[str, ...], str] = {}
        can_return = self.vendor == "sqlite" and sqlite3.sqlite_version_info >= (3, 35)
        self.ends_in_one = self.vendor == "postgresql" or can_return
        """Whether an ``UPDATE`` returns what it met."""
        self._build_reads()
        self._build_writes()

    def _build_reads(self) -> None:
        spell, columns = self.spelling.spell, self.spelling.columns
        selected = "SELECT " + columns(*RECORD_COLUMNS, "ended_ms", "ended_reason", "ended_by", "data")
        found = spell(" FROM {table} WHERE {sid} = %(sid)s")
        self.read = selected + found
        self.read_with_clock = selected + spell(", {said}") + found
        self.read_locked = self.read_with_clock + spell("{for_update}")
        # SQLite has no lock on a row. A write that finds nothing takes the lock on the file, before anything is read.
        self.take_lock = spell("UPDATE {table} SET {version} = 0 WHERE {sid} = ''") if self.vendor == "sqlite" else ""
        self.ask_clock = spell("SELECT {said}")

    def _build_writes(self) -> None:
        spell, columns, words = self.spelling.spell, self.spelling.columns, self.spelling.words
        self.insert = self._inserting(_INSERTED)
        was = columns(*RECORD_COLUMNS).replace(words["expires_ms"], words["ended_expires_ms"])
        self.returning = f" RETURNING {was}" if self.ends_in_one else ""
        tells = self.vendor == "postgresql" and conf.live_notify
        # At the commit. Several that are alike are told once: those of a batch name no session.
        self.telling = f", pg_notify('{ENDED_CHANNEL}', {words['sid']})" if tells else ""
        self.telling_of_many = f", pg_notify('{ENDED_CHANNEL}', '')" if tells else ""
        end = spell("UPDATE {table} SET ", _END, " WHERE {sid} = %(sid)s AND ", LIVE)
        expire = spell("UPDATE {table} SET ", EXPIRE, " WHERE {sid} = %(sid)s AND ", _DUE)
        self.end = end + self.returning + self.telling
        self.end_of_verifier = spell(end, " AND ", _ACCEPTS, self.returning, self.telling)
        self.expire = expire + self.returning
        self.end_of_version = spell(end, " AND ", _SAME_VERSION, self.telling and self.returning + self.telling)
        self.expire_of_version = spell(expire, " AND ", _SAME_VERSION)

    def _inserting(self, names: tuple[str, ...]) -> str:
        given = ", ".join(f"%({name})s" for name in names)
        head = f"INSERT INTO {{table}} ({self.spelling.columns(*names)}) VALUES ({given})"
        return self.spelling.spell(head, "{on_conflict}")

    @cached_property
    def restore(self) -> str:
        """Insert a session as it stood elsewhere, where its key may have been replaced."""
        return self._inserting((*_INSERTED, "previous_verifier", "rotated_ms"))

    @cached_property
    def forget_moved(self) -> str:
        """Delete what a session left that moved elsewhere."""
        moved = "{sid} = %(sid)s AND {ended_ms} IS NOT NULL AND {ended_reason} = %(moved)s"
        return self.spelling.spell("DELETE FROM {table} WHERE ", moved)

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
        condition = f"{{sid}} = %(sid)s AND {_SAME_VERSION} AND {LIVE} AND {accepts}{own}"
        assigned = ", ".join(f"{{{name}}} = %(new_{name})s" for name in names if name != BY_KEY_BEFORE)
        return self.spelling.spell(f"UPDATE {{table}} SET {assigned} WHERE {condition}")

    def of_sids(self, verb: str, count: int) -> str:
        """Return the statement that does a verb to ``count`` sessions, named by the parameters ``sid0``, ``sid1``...

        On PostgreSQL they are one parameter, ``sids``: to write a thousand into a statement costs more than to do it.
        """
        heads = {
            "alive": "SELECT {sid}, " + _OPENERS + " FROM {table} WHERE " + LIVE + " AND ",
            "delete": "DELETE FROM {table} WHERE {expires_ms} + 0 <= {now} AND ",
            "expire": "UPDATE {table} SET " + EXPIRE + " WHERE " + _DUE + " AND ",
            # Those whose rows are not locked by who asks are judged here; the others were, when they were looked at.
            "end": "UPDATE {table} SET " + _END + " WHERE " + LIVE + " AND ",
            "end_locked": "UPDATE {table} SET " + _END + " WHERE {ended_ms} IS NULL AND ",
            "look": f"SELECT {self.spelling.columns(*RECORD_COLUMNS)} FROM {{table}} WHERE {LIVE} AND ",
            "evict": "UPDATE {table} SET {evicting_ms} = {now} WHERE {ended_ms} IS NULL AND ",
        }
        tail = {"end": self.returning + self.telling_of_many, "look": self.spelling.words["for_update"]}.get(verb, "")
        if self.vendor == "postgresql":
            return self.spelling.spell(heads[verb], "{sid} = ANY(%(sids)s)") + tail
        named = ", ".join(f"%(sid{number})s" for number in range(count))
        return self.spelling.spell(heads[verb], f"{{sid}} IN ({named})") + tail

    # Limits.

    @cached_property
    def bind(self) -> str:
        """Make a live session that is nobody's a user's, and count it."""
        # The version moves only if the session changes hands; it is assigned first, while user_id is what it was.
        return self.spelling.spell(
            "UPDATE {table} SET {version} = {version} + CASE WHEN {user_id} IS NULL THEN %(step)s ELSE 0 END,",
            " {user_id} = %(user_id)s, {admitted_ms} = {now}",
            f" WHERE {{sid}} = %(sid)s AND {{admitted_ms}} IS NULL AND {_OWN} AND {LIVE}",
        )

    @cached_property
    def admitted(self) -> str:
        """Read a user's live sessions, longest unseen first: the sid, whether it is handed out, whether it counts."""
        handed_out = f"CASE WHEN {{evicting_ms}} > {{now}} - {LEAVING_MS} THEN 1 ELSE 0 END"
        # A sign-in of more than a minute ago, before there was a limit, counts like one that was admitted.
        before = f"{{signed_in_ms}} <= {{now}} - {ROTATION_GRACE_MS}"
        counts = f"CASE WHEN {{admitted_ms}} IS NOT NULL OR {before} THEN 1 ELSE 0 END"
        # Only MariaDB and MySQL need the lock to see what was committed since the transaction began; and they walk
        # through a small table, and lock the rows of other users' sign-ins, unless they are told the index.
        index, lock = (" FORCE INDEX (srvsession_user)", "{for_update}") if self.vendor == "mysql" else ("", "")
        found = f"FROM {{table}}{index} WHERE {{user_id}} = %(user_id)s AND {LIVE} ORDER BY {{last_seen_ms}}, {{sid}}"
        return self.spelling.spell(f"SELECT {{sid}}, {handed_out}, {counts} {found}", lock)
