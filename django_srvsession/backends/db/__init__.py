"""Sessions in the database: one row each, one statement to read and one to write.

All statements run on the caller's connection and join its transaction, and go to the database that is *written* to: a
lagging replica would keep people signed in after a logout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

from django.db import connections, router, transaction

from django_srvsession import conf, engine
from django_srvsession.backends.db import connection as db_connection
from django_srvsession.backends.db import listing
from django_srvsession.backends.db.database import Database
from django_srvsession.backends.db.format import ending_params, records_of
from django_srvsession.backends.db.sql import Params, Row
from django_srvsession.backends.db.table import Table
from django_srvsession.models import Session
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone, is_sid, is_storable, new_session
from django_srvsession.store import GONE, Store, UpdateError, rules
from django_srvsession.store.health import Finding, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Step

T = TypeVar("T")


class DatabaseStore(Store):
    """Keep sessions in a table of the database.

    ``using`` is the alias of the database; None: where ``DATABASE_ROUTERS`` write the model ``Session``. A write inside
    the caller's ``atomic()`` is undone with it. Under an isolation level above READ COMMITTED a ``load`` in there sees
    the session as it was when the transaction began, and on PostgreSQL a write of a session that was changed since then
    raises ``StoreUnavailableError``: only the caller can begin the transaction anew. A write that other requests kept
    overtaking raises it too; nothing was written then.
    """

    settings_used: ClassVar[frozenset[str]] = frozenset({"DATABASES", "DATABASE_ROUTERS", "SRVSESSION_LIVE_NOTIFY"})
    has_device_index: ClassVar[bool] = True
    ends_at_once: ClassVar[int] = 500  # Keeps its locks for some tens of milliseconds.

    def __init__(self, using: str | None = None) -> None:
        self._using = using
        self._databases: dict[str, Database] = {}

    @property
    def using(self) -> str:
        """Return the alias of the database."""
        return self._using or router.db_for_write(Session)

    def on_database(self, using: str) -> DatabaseStore:
        """Return a store like this one, in another database."""
        return type(self)(using)

    def _run(self, work: Callable[[Table], T], *, writes: bool = True) -> T:
        using, known = self.using, self._databases
        # Made where an outage is told as one: MariaDB and MySQL are asked for their version.
        return db_connection.run(
            using, lambda connection: work(Table(connection, known.get(using) or self._database(using))), writes=writes
        )

    def _database(self, using: str) -> Database:
        try:
            return self._databases[using]
        except KeyError:
            return self._databases.setdefault(using, Database(connections[using]))

    @property
    def clock_ms(self) -> int:
        """Return what is known of the database's clock."""
        known = self._databases.get(self.using)
        return (known.clock.now_ms if known else 0) or super().clock_ms

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as the interface says; the same ``sid`` and verifier succeed only as long as that session is live.

        Raises ``ValueError`` for a user's id of more than 255 characters, and ``TooLargeError`` for a session that the
        server takes in no statement (``max_allowed_packet`` of MariaDB and MySQL). So do the other writes.
        """
        return self._run(lambda table: table.insert(new_session(sid, verifier, delta, table.now_ms())))

    def restore(self, session: Loaded) -> Loaded:
        """Do as the interface says; raises as :meth:`create`."""
        return self._run(lambda table: table.restore(session._replace(now_ms=table.now_ms())))

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Do as the interface says; a ``sid`` of any other form than ours is unknown, without a statement."""
        if not is_sid(sid):
            return None
        found = self._run(lambda table: table.find(sid), writes=False)
        return None if found is None else found.session()

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as the interface says: in one statement if ``base`` still stands."""
        if not is_sid(sid):
            raise UpdateError(GONE)
        if base is not None and base.record.sid != sid:
            base = None
        return self._run(lambda table: table.change(sid, verifier, delta, base))

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """Do as the interface says; values that are damaged are not the ``expected`` ones."""
        if not is_sid(sid):
            return None
        params = ending_params(ending, rules.keep_ms())
        return self._run(lambda table: table.end(sid, ending, params))

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """Do as the interface says, in one statement; MariaDB and MySQL need two."""
        if ending.reason is None or ending.verifier is not None or ending.expected:
            return super().end_many(sids, ending)
        params = ending_params(ending, rules.keep_ms())
        return self._run(lambda table: table.end_many(list(filter(is_sid, sids)), params))

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Do as the interface says, in one statement."""
        known = list(filter(is_sid, sids))
        rows = self._run(lambda table: table.rows_of("alive", known), writes=False)
        return {sid: tuple(verifier.hex() for verifier in openers if verifier is not None) for sid, *openers in rows}

    def listen(self, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
        """Do as the interface says, where PostgreSQL tells of ends (``SRVSESSION_LIVE_NOTIFY``)."""
        if not conf.live_notify:
            return False
        from django_srvsession.backends.db import hearing

        return hearing.listen(self.using, heard, stopped)

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as the interface says, and make the live session ``sid``, if it is nobody's, the user's.

        That a sid was handed out is remembered for a minute; if its caller has not ended it by then, the next one gets
        it. Under "refuse" a session of more than a minute ago counts as admitted, also from before there was a limit.
        """
        from django_srvsession.backends.db.limit import admit

        return self._run(lambda table: admit(table, user_id, sid, limit, policy))

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as the interface says; ``len()`` counts exactly, which for all sessions reads a whole index."""
        return listing.AllRows(self._fetch) if user_id is None else listing.UserRows(self._fetch, user_id)

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Do as the interface says, in one statement."""
        created, sid = after or (listing.FOREVER, "")
        params = {"user_id": user_id, "created": created, "sid": sid, "limit": count}
        return list(records_of(self._fetch(lambda sql: sql.of_user_from, params)))

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Do as the interface says, by the index of last uses; a kind, or an address, is looked for in its windows."""
        return listing.walk(self._fetch, after, wanted)

    def activity(self) -> Activity:
        """Do as the interface says: exactly up to 10,000 sessions, of more a sample, or else of the newest."""
        return listing.activity(self._fetch, can_sample=connections[self.using].vendor == "postgresql")

    def storage_info(self) -> StorageInfo:
        """Return which database the sessions are in."""
        from django_srvsession.backends.db import health

        return self._run(health.storage_info, writes=False)

    def examine(self) -> Iterator[Finding]:
        """Ask the database what an operator should know of it."""
        from django_srvsession.backends.db import health

        return iter(self._run(health.findings, writes=False))

    def _fetch(self, which: listing.Which, params: Params) -> list[Row]:
        # No user has such an id, and databases refuse to look for it.
        if not is_storable(params.get("user_id", "")):
            return []
        return self._run(lambda table: table.rows(which(table.database.lists), params), writes=False)

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """Do as the interface says, in one transaction for each batch; ``on_ended`` is called after it.

        A session that expired longer ago than ``SRVSESSION_ENDED_KEEP`` leaves no tombstone. The records of a batch go
        to nobody if the process dies, or ``on_ended`` raises, before they are all handed over.
        """
        if dry_run:
            return int(self._fetch(lambda sql: sql.count_due, {})[0][0])
        from django_srvsession.backends.db.clearing import Clearing

        total = 0
        clearing = Clearing(batch_size, rules.keep_ms(), with_records=on_ended is not None)
        while not clearing.is_done:
            batch = self._run(clearing.batch)
            total += batch.ended
            if on_ended:
                for record in batch.records():
                    on_ended(record)
            if on_swept and batch.forgotten:
                on_swept("tombstones", batch.forgotten)
            if on_progress:
                on_progress(total)
        return total

    @property
    def has_one_writer(self) -> bool:
        """Tell whether the database is SQLite, whose lock is on the whole file."""
        return connections[self.using].vendor == "sqlite"

    @property
    def clears_at_once(self) -> int:
        """Return how many rows a batch may have where each takes little time; slow ones make batches smaller."""
        from django_srvsession.backends.db.clearing import most_at_once

        return most_at_once(connections[self.using].vendor)

    @property
    def in_transaction(self) -> bool:
        """Tell whether the caller's ``atomic()`` may still undo a write made now."""
        return connections[self.using].in_atomic_block

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` after the caller's ``atomic()`` has committed; at once outside of one."""

        def call() -> None:  # With a name, which a partial lacks, for Django's report of its failure.
            function()

        transaction.on_commit(call, using=self.using, robust=True)


class SessionStore(engine.SessionStore):
    """Be ``request.session``, kept in the database."""

    store_class = DatabaseStore
