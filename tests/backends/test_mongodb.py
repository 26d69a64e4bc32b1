"""The MongoDB store: the contract, and what it promises beyond it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from bson import Int64
from pymongo.monitoring import CommandListener

from django_srvsession.backends.mongodb import MongoStore, format, listing
from django_srvsession.backends.mongodb.transport import SESSIONS, USERS
from django_srvsession.records import EXPIRED, TOUCH, Client, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import ConflictError, CorruptSessionError, Store, TooLargeError, UpdateError, listings
from django_srvsession.store.listings import Filter
from django_srvsession.testing import StoreContract
from django_srvsession.testing.sessions import (
    create,
    in_threads,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
    touch_later,
    unexpected,
)
from tests.mongodb_servers import mongodb_settings, new_database, overwrite_document, own_database
from tests.trust import WHOLE

in_whole_runs = pytest.mark.skipif(not WHOLE, reason="takes seconds on the server of tests: in whole runs")


class TestMongoDB(StoreContract):
    """The contract, each test in a database of its own: there the lists are short."""

    @pytest.fixture
    def store(self, mongodb_uri: str, settings: Any) -> Iterator[Store]:
        with new_database(mongodb_uri) as name:
            settings.SRVSESSION_MONGODB = mongodb_settings(mongodb_uri, name)
            yield MongoStore()

    @in_whole_runs
    def test_a_thousand_sessions_can_be_paged(self, store: Store) -> None:
        """Do as the contract says."""
        super().test_a_thousand_sessions_can_be_paged(store)

    @in_whole_runs
    def test_ten_thousand_values_fit_in_one_update(self, store: Store) -> None:
        """Do as the contract says."""
        super().test_ten_thousand_values_fit_in_one_update(store)

    @in_whole_runs
    def test_sessions_that_came_at_once_can_be_had_in_portions(self, store: Store) -> None:
        """Do as the contract says."""
        super().test_sessions_that_came_at_once_can_be_had_in_portions(store)

    @in_whole_runs
    def test_more_than_a_statement_names_end_in_one_step(self, store: Store) -> None:
        """Do as the contract says."""
        super().test_more_than_a_statement_names_end_in_one_step(store)


class Commands(CommandListener):
    """Note the names of the commands that a client sends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: Any) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def of(self, work: Callable[[], object]) -> list[str]:
        """Return the commands that some work sends."""
        self.names.clear()
        work()
        return [name for name in self.names if name not in ("hello", "endSessions")]


@pytest.fixture
def store(mongodb: str) -> MongoStore:
    """The store, in a database of its own."""
    return MongoStore()


@pytest.fixture
def commands(mongodb: str, settings: Any) -> Commands:
    """What is sent by stores that are made from here on."""
    listener = Commands()
    entry = settings.SRVSESSION_MONGODB
    options = {**entry["OPTIONS"], "event_listeners": [listener]}
    settings.SRVSESSION_MONGODB = {**entry, "OPTIONS": options}
    return listener


# One command each.


def test_each_verb_is_one_command(commands: Commands) -> None:
    store, user_id = MongoStore(), new_user()
    session, other, third = (create(store, user_id=user_id, changed={"a": b"a"}) for _ in range(3))
    sid, verifier, new = session.record.sid, session.record.verifier, new_verifier()
    asked: dict[str, Callable[[], object]] = {
        "create": partial(create, store, user_id=user_id),
        "load": partial(store.load, sid),
        "save": partial(store.update, sid, verifier, Delta(changed={"a": b"b"}), session),
        "save without a base": partial(store.update, sid, verifier, Delta(changed={"a": b"c"}, removed=frozenset("b"))),
        "compare and set": partial(store.update, sid, verifier, Delta(expected={"a": b"c"}, changed={"a": b"d"})),
        "rotate": partial(store.update, sid, verifier, Delta(new_verifier=new, user_id=user_id)),
        "end": partial(store.end, sid, Ending("logout", verifier=new)),
        "end again": partial(store.end, sid, Ending("logout", verifier=new)),
        "expire": partial(store.end, other.record.sid, EXPIRED),
        "alive": partial(store.alive, [sid, other.record.sid, new_sid()]),
        "a user's": lambda: len(store.records(user_id)),
        "a user's from": partial(store.records_from, user_id, None, 10),
        "a page": lambda: store.records()[0:10],
        "a portion": partial(store.portion, count=10),
    }
    assert {name: len(commands.of(work)) for name, work in asked.items()} == dict.fromkeys(asked, 1)
    assert len(commands.of(partial(store.end_many, [other.record.sid, third.record.sid], Ending("revoked")))) == 2
    assert len(commands.of(partial(store.admit, user_id, create(store, user_id=user_id).record.sid, 5, "refuse"))) == 3


def test_a_save_with_a_base_brings_no_contents_back(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sizes = MongoStore(), list[int]()
    session = create(store, changed={"large": os.urandom(100_000)})
    monkeypatch.setattr(commands, "succeeded", lambda event: sizes.append(len(str(event.reply))), raising=True)
    after = store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}), session)
    assert after.values == {**session.values, "a": b"a"} == stored(store, session.record.sid).values
    assert sizes[0] < 2000


def test_construction_asks_nobody(settings: Any) -> None:
    settings.SRVSESSION_MONGODB = {"HOST": "mongodb://192.0.2.1:1", "NAME": "nowhere"}
    store = MongoStore()
    assert store.clock_ms > 0
    assert store.load("no sid") is None


# Names and texts.

HOSTILE = ["$verifier", "$$NOW", "$values", {"$gt": ""}, "a.b.c", "$", "", "\0", "$literal", "__proto__", "v.$[]"]


@pytest.mark.parametrize("text", [text for text in HOSTILE if isinstance(text, str)])
def test_no_text_is_read_as_a_field_or_an_operator(store: MongoStore, text: str) -> None:
    agent, name = Client(text, text), text
    session = create(store, client=agent, changed={name: text.encode(), "other": b"o"})
    sid, verifier = session.record.sid, session.record.verifier
    assert stored(store, sid).record.client == agent
    assert stored(store, sid).values == {name: text.encode(), "other": b"o"}
    delta = Delta(client=agent, changed={name: b"$verifier"}, resealed={"other": (b"o", b"$values")}, details=b"$$NOW")
    after = store.update(sid, verifier, delta)
    assert (after.record.client, after.record.details) == (agent, b"$$NOW")
    assert stored(store, sid).values == {name: b"$verifier", "other": b"$values"}
    store.update(sid, verifier, Delta(expected={name: b"$verifier"}, removed=frozenset({name})))
    assert stored(store, sid).values == {"other": b"$values"}
    for foreign in (text, f"${text}"):
        with pytest.raises(UpdateError):
            store.update(sid, foreign, TOUCH)
        assert store.load(foreign) is None
        assert store.end(foreign, Ending("logout")) is None
        assert store.alive([foreign]) == {}
    store.end(sid, Ending(text, by=text))
    tombstone = store.load(sid)
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.reason, tombstone.by) == (text, text)


@pytest.mark.parametrize("user_id", ["$verifier", "$$NOW", "a.b", "$", "x" * 5000, "\u202e"])
def test_a_users_id_may_be_any_text_that_bson_can_write(store: MongoStore, user_id: str) -> None:
    user_id += secrets.token_hex(4)
    first, second = (create(store, user_id=user_id).record for _ in range(2))
    assert set(sids(store.records(user_id))) == {first.sid, second.sid}
    assert list(store.admit(user_id, second.sid, 1, "end_oldest")) == [first.sid]
    ended = store.end(first.sid, Ending("limit", by=user_id))
    assert ended is not None and ended.user_id == user_id


@pytest.mark.parametrize("user_id", ["a\0b", "half \ud83d"])
def test_a_users_id_that_bson_cannot_write_is_refused_and_looked_for_in_vain(store: MongoStore, user_id: str) -> None:
    session = create(store)
    for refused in (
        partial(create, store, user_id=user_id),
        partial(store.update, session.record.sid, session.record.verifier, Delta(user_id=user_id)),
        partial(store.admit, user_id, session.record.sid, 1, "refuse"),
    ):
        with pytest.raises(ValueError, match="id"):
            refused()
    assert list(store.records(user_id)) == list(store.records_from(user_id, None, 5)) == []
    assert stored(store, session.record.sid).record == session.record


@pytest.mark.parametrize("name", ["a", "a.b", "$a", "", "\0", "é", "\ud83d", "=a", "~a", "x" * 201, "a b", "_-9"])
def test_the_name_of_a_value_comes_back_from_its_field(name: str) -> None:
    field = format.field(name)
    assert format.name_of(field) == name
    assert not set(field) & set(".$\0")
    assert field[0] in "=~"


def test_what_is_too_large_for_a_document_is_refused_and_nothing_is_written(store: MongoStore) -> None:
    session = create(store, changed={"a": bytes(9_000_000)})
    before = snapshot(store, session.record.sid)
    with pytest.raises(TooLargeError, match="16 MiB"):
        create(store, changed={"a": bytes(17_000_000)})
    with pytest.raises(TooLargeError):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"b": bytes(17_000_000)}))
    assert snapshot(store, session.record.sid) == before


# What is damaged.

DAMAGES = [
    *[{"seen": "now"}, {"seen": 1.5}, {"expires": "never"}, {"lifetime": None}, {"ip": 5}],
    *[{"format": 0}, {"format": "2"}, {"version": "1"}, {"details": "text"}, {"user_id": 7}],
    *[{"expires": float("inf")}, {"seen": Int64(2**61)}, {"previous": 5}, {"agent": ["x"]}],
]


@pytest.mark.parametrize("damage", DAMAGES, ids=map(str, DAMAGES))
def test_a_damaged_session_opens_for_nobody_and_hides_no_other(store: MongoStore, damage: dict[str, Any]) -> None:
    user_id = new_user()
    session, sound = (create(store, user_id=user_id, changed={"a": b"a"}).record for _ in range(2))
    overwrite_document(session.sid, damage)
    with pytest.raises(CorruptSessionError):
        store.load(session.sid)
    for base in (None, Loaded(session, {"a": b"a"}, 0)):
        with pytest.raises(UpdateError):
            store.update(session.sid, session.verifier, Delta(changed={"a": b"b"}), base)
    assert list(store.alive([session.sid, sound.sid])) == [sound.sid]
    if damage.get("user_id") is None:
        assert sids(list(store.records(user_id))) == [sound.sid]
    assert sids(list(store.records())) == [sound.sid]
    assert sids(store.portion().records) == [sound.sid]
    assert list(store.end_many([session.sid, sound.sid], Ending("revoked"))) == [sound]
    store.clear_expired()
    assert list(store.records()) == []


@pytest.mark.parametrize("values", [None, [], "text", {"=a": "text"}, {"a": b"a"}, {"~é": b"a"}], ids=str)
def test_damaged_contents_open_for_nobody_and_can_be_ended(store: MongoStore, values: Any) -> None:
    session = create(store).record
    overwrite_document(session.sid, {"values": values})
    with pytest.raises(CorruptSessionError):
        store.load(session.sid)
    assert store.end(session.sid, Ending("revoked")) == session


@pytest.mark.parametrize(
    "damage", [{"seen": "now"}, {"expires": "never"}, {"lifetime": None}, {"version": "1"}, {"values": None}], ids=str
)
def test_nothing_is_written_to_a_session_that_cannot_be_computed_with(
    store: MongoStore, damage: dict[str, Any]
) -> None:
    session = create(store, changed={"a": b"a"}).record
    overwrite_document(session.sid, damage)
    with own_database() as database:
        before = database[SESSIONS].find_one({"_id": session.sid})
        with pytest.raises(CorruptSessionError):
            store.update(session.sid, session.verifier, Delta(changed={"a": b"b"}))
        assert database[SESSIONS].find_one({"_id": session.sid}) == before


def test_a_document_of_somebody_else_under_a_sid_is_left_alone(store: MongoStore) -> None:
    sid = new_sid()
    with own_database() as database:
        database[SESSIONS].insert_one({"_id": sid, "title": "not ours"})
        with pytest.raises(CorruptSessionError):
            store.load(sid)
        for refused in (partial(store.create, sid, new_verifier(), new_delta()), partial(store.update, sid, "", TOUCH)):
            with pytest.raises(Exception, match=r"\w"):
                refused()
        assert store.end(sid, Ending("revoked")) is None
        assert database[SESSIONS].find_one({"_id": sid}) == {"_id": sid, "title": "not ours"}


# What stays of a session.


def test_a_tombstone_holds_no_contents_and_no_client_and_alone_has_a_date(store: MongoStore) -> None:
    live, gone = (create(store, client=Client("192.0.2.1", "agent"), changed={"a": b"secret"}) for _ in range(2))
    store.end(gone.record.sid, Ending("logout"))
    with own_database() as database:
        tombstone = database[SESSIONS].find_one({"_id": gone.record.sid}) or {}
        session = database[SESSIONS].find_one({"_id": live.record.sid}) or {}
        keyed = [index["key"] for index in database[SESSIONS].list_indexes() if "expireAfterSeconds" in index]
    assert tombstone.keys() == {"_id", "format", "ended", "reason", "by", "user_id", "verifiers", "gone", "nonce"}
    assert "gone" not in session
    assert [dict(key) for key in keyed] == [{"gone": 1}]


def test_a_tombstone_that_mongodb_has_not_deleted_yet_is_none(store: MongoStore, settings: Any) -> None:
    settings.SRVSESSION_ENDED_KEEP = 0
    session = create(store).record
    store.end(session.sid, Ending("logout"))
    while store.load(session.sid) is not None:
        pass
    swept: list[tuple[str, int]] = []
    store.clear_expired(on_swept=lambda what, count: swept.append((what, count)))
    assert swept == [("tombstones", 1)]


def test_clearing_goes_along_the_expiries_and_leaves_what_is_not_due(store: MongoStore) -> None:
    due = [make_due(store, create(store)).record.sid for _ in range(7)]
    live = create(store).record
    told: list[str] = []
    assert store.clear_expired(batch_size=2, on_ended=lambda record: told.append(record.sid)) == 7
    assert sorted(told) == sorted(due)
    assert stored(store, live.sid).record == live


@pytest.mark.parametrize("signed_in", [None, True])
def test_what_is_rare_is_looked_for_in_windows_and_further_on(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, signed_in: bool | None
) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 4)
    monkeypatch.setattr(listings, "LOOK_AT", 4)
    rare = touch_later(store, create(store, user_id=new_user(), client=Client("192.0.2.9", ""))).record
    for _ in range(10):
        touch_later(store, create(store, client=Client("192.0.2.1", "")))
    wanted, portions, after = Filter(signed_in=signed_in, ip="192.0.2.9"), [], ""
    while True:
        portion = store.portion(wanted, 2, after)
        portions.append(sids(portion.records))
        if portion.further is None:
            break
        after = portion.further
    assert portions == [[], [], [rare.sid]]
    assert sids(store.portion(Filter(signed_in=False), 20).records[:3]) == sids(list(store.records())[:3])


# Many at once.


def test_a_limit_is_exact_under_50_parallel_sign_ins(store: MongoStore) -> None:
    user_id = new_user()

    def sign_in() -> str:
        sid = create(store, user_id=user_id).record.sid
        for other in store.admit(user_id, sid, 3, "end_oldest"):
            store.end(other, Ending("limit"))
        return sid

    outcomes = in_threads([sign_in] * 50, lambda: None)
    assert unexpected(outcomes) == []
    assert len(store.records(user_id)) == 3


def test_a_session_that_ended_between_the_read_and_the_end_of_many_is_not_told_twice(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others end one of them, and touch another one, in between."""
    kept, taken, touched = (create(store).record for _ in range(3))
    to, fired = store.transport, list[int]()
    change_each = to.change_each

    async def slow(*args: Any) -> int:
        if not fired:
            fired.append(1)
            assert MongoStore().end(taken.sid, Ending("logout")) == taken
            touch_later(MongoStore(), Loaded(touched, {}, 0))
        return await change_each(*args)

    monkeypatch.setattr(to, "change_each", slow)
    ended = store.end_many([kept.sid, taken.sid, touched.sid], Ending("revoked"))
    assert {record.sid for record in ended} == {kept.sid, touched.sid}
    assert next(record for record in ended if record.sid == touched.sid).version > touched.version


def test_a_note_on_a_user_is_small_and_goes_by_itself(store: MongoStore) -> None:
    user_id = new_user()
    for _ in range(5):
        sid = create(store, user_id=user_id).record.sid
        for other in store.admit(user_id, sid, 2, "end_oldest"):
            store.end(other, Ending("limit"))
    with own_database() as database:
        (note,) = database[USERS].find({})
    assert note["_id"] == user_id
    assert len(note["admitted"]) <= 2
    assert len(note["leaving"]) <= 1
    assert "gone" in note


# Threads, processes and loops.


def test_a_forked_process_has_a_client_of_its_own(store: MongoStore) -> None:
    session = create(store)
    mine, reader, writer = store.transport.client, *os.pipe()
    process = os.fork()
    if process == 0:
        try:
            is_new = store.transport.client is not mine
            is_there = isinstance(store.load(session.record.sid), Loaded)
            os.write(writer, b"yes" if is_new and is_there else b"no")
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    assert os.read(reader, 3) == b"yes"
    assert store.transport.client is mine
    assert stored(store, session.record.sid).record == session.record


def test_a_long_lived_loop_has_a_client_that_is_closed_with_it(store: MongoStore) -> None:
    async def work() -> Any:
        face = store.face()
        sid = (await face.create(new_sid(), new_verifier(), new_delta())).record.sid
        to = await store.loops.get()
        await asyncio.gather(*(face.load(sid) for _ in range(5)))
        assert to is await store.loops.get()
        return to

    first, second = asyncio.run(work()), asyncio.run(work())
    assert first is not second
    assert first.client._closed and second.client._closed


@pytest.mark.fence
def test_a_loop_of_one_call_goes_through_a_thread(store: MongoStore) -> None:
    async def work() -> Any:
        await store.face().load(new_sid())
        return await store.loops.get()

    assert async_to_sync(work)() is None


def test_a_cancelled_save_harms_no_other(store: MongoStore) -> None:
    async def work() -> None:
        face = store.face()
        session = await face.create(new_sid(), new_verifier(), new_delta())
        sid, verifier = session.record.sid, session.record.verifier
        for number in range(10):
            task = asyncio.create_task(face.update(sid, verifier, Delta(changed={"a": b"%d" % number})))
            await asyncio.sleep(0.001 * number / 3)
            task.cancel()
        await face.update(sid, verifier, Delta(changed={"b": b"b"}))
        found = await face.load(sid)
        assert isinstance(found, Loaded)
        assert found.values["b"] == b"b"

    asyncio.run(work())


def test_the_contract_of_errors_holds_where_a_rotation_was_faster(store: MongoStore) -> None:
    session = create(store, changed={"a": b"a"})
    sid, verifier = session.record.sid, session.record.verifier
    store.update(sid, verifier, Delta(new_verifier=new_verifier()))
    with pytest.raises(UpdateError):
        store.update(sid, verifier, Delta(expected={"a": b"x"}), session)
    with pytest.raises(ConflictError):
        store.update(sid, stored(store, sid).record.verifier, Delta(expected={"a": b"x"}))
