"""What Redis in front of the database saves: which steps each call takes, and how many loads need no database."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.db import connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create, in_threads, new_user, stored
from tests.backends.cached_db_steps import DATABASE, Failing, gate_of_this_thread, steps_can_be_stopped
from tests.servers import RedisServer
from tests.trust import WHOLE

ENGINE = "django_srvsession.backends.cached_db"

pytestmark = pytest.mark.parametrize(
    "database_alias", ["sqlite", "postgresql", "mariadb"] if WHOLE else ["sqlite"], indirect=True
)


class Recording:
    """A store whose steps are noted."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.store = another()

    def steps(self, work: Callable[[], Any]) -> list[str]:
        """Do something, and return its steps."""
        gate = Failing()
        with gate_of_this_thread(self.alias, gate):
            work()
        return gate.seen

    def statements(self, work: Callable[[], Any]) -> list[str]:
        """Do something, and return what it asked of the database."""
        return [step for step in self.steps(work) if step.startswith(DATABASE)]


@pytest.fixture
def recording(database_alias: str, redis_alias: str) -> Iterator[Recording]:
    """A store over each database in turn."""
    with steps_can_be_stopped():
        yield Recording(database_alias)


def another() -> Store:
    """Return the store of another process, which has asked both servers what time it is there."""
    store: Store = import_module(ENGINE).SessionStore.store_class()
    store.load(create(store).record.sid)
    return store


def test_a_second_load_asks_the_database_nothing(recording: Recording) -> None:
    store = recording.store
    sid = create(store, user_id=new_user(), changed={"a": b"1"}).record.sid
    stored(store, sid)
    for reader in (store, another()):
        assert recording.steps(lambda reader=reader: stored(reader, sid)) == ["Redis GET"]


@pytest.mark.parametrize(
    "delta",
    [
        Delta(changed={"a": b"2"}),
        Delta(new_verifier="0" * 64),
        Delta(user_id="7", new_verifier="1" * 64),
        TOUCH,
    ],
    ids=["save", "rotation", "sign-in", "touch"],
)
def test_a_load_after_a_write_asks_the_database_nothing(recording: Recording, delta: Delta) -> None:
    store = recording.store
    base = create(store, changed={"a": b"1"})
    base = stored(store, base.record.sid)
    after = store.update(base.record.sid, base.record.verifier, delta, base)
    for reader in (store, another()):
        found: list[Loaded] = []
        assert recording.steps(lambda reader=reader, found=found: found.append(stored(reader, base.record.sid))) == [
            "Redis GET"
        ]
        assert (found[0].record, found[0].values) == (after.record, after.values)


def test_a_write_is_one_statement_of_the_database(recording: Recording) -> None:
    store = recording.store
    made: list[Loaded] = []
    creating = recording.statements(lambda: made.append(create(store, changed={"a": b"1"})))
    base = stored(store, made[0].record.sid)
    saving = recording.statements(
        lambda: store.update(base.record.sid, base.record.verifier, Delta(changed={"a": b"2"}), base)
    )
    base = stored(store, base.record.sid)
    ending = recording.statements(lambda: store.end(base.record.sid, Ending("logout", base=base)))
    assert [len(creating), len(saving), len(ending)] == [1, 1, 1]


def test_nineteen_of_twenty_loads_of_a_busy_site_need_no_database(recording: Recording) -> None:
    """Three processes, forty sessions; one request of ten saves, some sign out, some are new."""
    chance = random.Random(7)
    stores = [recording.store, another(), another()]
    sids: list[str] = []
    loads = misses = 0
    for _ in range(1000):
        store = chance.choice(stores)
        if len(sids) < 40:
            sids.append(create(store, user_id=new_user(), changed={"a": b"1"}).record.sid)
        sid = chance.choice(sids)
        found: list[Loaded] = []
        misses += len(recording.statements(lambda store=store, sid=sid, found=found: found.append(stored(store, sid))))
        loads += 1
        if chance.random() < 0.1:
            (session,) = found
            store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"2"}), session)
        elif chance.random() < 0.01:
            store.end(sid, Ending("logout", base=found[0]))
            sids.remove(sid)
    assert misses <= loads / 20, f"{misses} of {loads}"


def test_a_copy_is_compared_with_the_database_when_that_is_due_and_then_not_again(
    recording: Recording, settings: Any
) -> None:
    store = recording.store
    sid = create(store, changed={"a": b"1"}).record.sid
    stored(store, sid)
    assert recording.statements(lambda: stored(store, sid)) == []
    settings.SRVSESSION_CACHE_CHECK = 0.001
    time.sleep(0.01)
    assert recording.statements(lambda: stored(store, sid)) != []
    time.sleep(0.01)
    settings.SRVSESSION_CACHE_CHECK = 60
    stored(store, sid)
    assert recording.statements(lambda: stored(store, sid)) == []


# Transactions of the caller.


def committed(store: Store, sid: str, alias: str) -> tuple[Any, Any]:
    """Return what another process sees of a session, and what the database has."""
    found, row = another().load(sid), DatabaseStore(alias).load(sid)
    return (
        (found.record, found.values) if isinstance(found, Loaded) else type(found),
        (row.record, row.values) if isinstance(row, Loaded) else type(row),
    )


def test_nothing_is_cached_from_a_transaction_that_rolls_back(recording: Recording) -> None:
    store, alias = recording.store, recording.alias
    base = create(store, changed={"a": b"1"})
    sid = base.record.sid
    stored(store, sid)
    with transaction.atomic(using=alias):
        after = store.update(sid, base.record.verifier, Delta(changed={"a": b"2"}), base)
        assert after.values == {"a": b"2"}
        assert stored(store, sid).values == {"a": b"2"}  # As the caller's own statements see it.
        transaction.set_rollback(True, using=alias)
    assert stored(store, sid).values == {"a": b"1"}
    seen, row = committed(store, sid, alias)
    assert seen == row


def test_a_session_made_in_a_transaction_that_rolls_back_is_nowhere(recording: Recording) -> None:
    store, alias = recording.store, recording.alias
    with transaction.atomic(using=alias):
        sid = create(store, changed={"a": b"1"}).record.sid
        assert isinstance(store.load(sid), Loaded)
        transaction.set_rollback(True, using=alias)
    assert store.load(sid) is None
    assert another().load(sid) is None


def test_an_end_that_is_rolled_back_has_ended_nothing(recording: Recording) -> None:
    store, alias = recording.store, recording.alias
    sid = create(store, changed={"a": b"1"}).record.sid
    stored(store, sid)
    with transaction.atomic(using=alias):
        assert store.end(sid, Ending("logout")) is not None
        assert isinstance(store.load(sid), Tombstone)
        transaction.set_rollback(True, using=alias)
    assert isinstance(store.load(sid), Loaded)
    assert isinstance(another().load(sid), Loaded)


@pytest.mark.parametrize("work", ["save", "end"])
def test_what_a_transaction_has_written_is_seen_by_all_when_it_commits(recording: Recording, work: str) -> None:
    store, alias = recording.store, recording.alias
    base = create(store, changed={"a": b"1"})
    sid = base.record.sid
    stored(store, sid)
    with transaction.atomic(using=alias):
        if work == "save":
            store.update(sid, base.record.verifier, Delta(changed={"a": b"2"}), base)
        else:
            store.end(sid, Ending("logout"))
        stored_here = store.load(sid)
    assert isinstance(stored_here, Loaded if work == "save" else Tombstone)
    seen, row = committed(store, sid, alias)
    assert seen == row
    assert isinstance(store.load(sid), type(stored_here))


def test_a_savepoint_that_is_rolled_back_takes_its_writes_with_it(recording: Recording) -> None:
    store, alias = recording.store, recording.alias
    base = create(store, changed={"a": b"1"})
    sid = base.record.sid
    with transaction.atomic(using=alias):
        kept = store.update(sid, base.record.verifier, Delta(changed={"kept": b"1"}), base)
        with transaction.atomic(using=alias):
            store.update(sid, base.record.verifier, Delta(changed={"a": b"2"}), kept)
            transaction.set_rollback(True, using=alias)
        assert stored(store, sid).values == {"a": b"1", "kept": b"1"}
    seen, row = committed(store, sid, alias)
    assert seen == row
    assert stored(store, sid).values == {"a": b"1", "kept": b"1"}


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("work", ["save", "end"])
def test_a_copy_that_is_made_beside_a_transaction_is_neither_read_in_it_nor_left_after_it(
    recording: Recording, redis_server: RedisServer, redis_prefix: str, work: str, commits: bool
) -> None:
    """Redis loses what guards the session until the commit, and another process makes a copy of what it was."""
    store, alias = recording.store, recording.alias
    base = create(store, changed={"a": b"1"})
    sid = base.record.sid
    stored(store, sid)
    there = another()
    with transaction.atomic(using=alias):
        if work == "save":
            store.update(sid, base.record.verifier, Delta(changed={"a": b"2"}), base)
        else:
            store.end(sid, Ending("logout"))
        with redis_server.client() as client:
            for key in client.scan_iter(match=f"{redis_prefix}*"):
                client.delete(key)
        copied = in_threads([lambda: [there.load(sid).values, there.load(sid).values]], connections.close_all)  # type: ignore[union-attr]
        assert copied == [[{"a": b"1"}] * 2]
        within = store.load(sid)
        transaction.set_rollback(not commits, using=alias)
    assert isinstance(within, Tombstone if work == "end" else Loaded)
    assert work == "end" or within.values == {"a": b"2"}  # type: ignore[union-attr]
    row = DatabaseStore(alias).load(sid)
    for reader in (store, there, another()):
        found = reader.load(sid)
        assert type(found) is type(row)
        if isinstance(row, Loaded) and isinstance(found, Loaded):
            assert (found.record, found.values) == (row.record, row.values)
            assert found.values == {"a": b"2" if commits else b"1"}
