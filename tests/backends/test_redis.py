"""The Redis store: the contract, on one server and on a cluster, and what its keys and commands are."""

from __future__ import annotations

import itertools
import re
import struct
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.crc import key_slot

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis import listing as redis_lists
from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.format import (
    HEAD_BYTES,
    INDEXED_FROM,
    LEAST_ROOM_BYTES,
    MOVED_TO,
    RECORD_BYTES,
    room,
    session_image,
)
from django_srvsession.backends.redis.ghosts import Ghosts
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.scripts import (
    ADMIT,
    ADMITTED_FROM,
    END,
    END_AS_KNOWN,
    LIST,
    MARGIN_MS,
    SAVE,
    TTL_STEP_MS,
    WRITE,
)
from django_srvsession.backends.redis.sessions import Sessions
from django_srvsession.backends.redis.transport import Command, Transport
from django_srvsession.backends.redis.transport.redis_py import pack_command
from django_srvsession.records import (
    EXPIRED,
    LATEST_MS,
    ROTATION_GRACE_MS,
    TOUCH,
    Client,
    Delta,
    Ending,
    Loaded,
    Tombstone,
    rotated,
)
from django_srvsession.store import (
    ConflictError,
    CorruptSessionError,
    CreateError,
    LimitReachedError,
    StoreUnavailableError,
    UpdateError,
)
from django_srvsession.store.face import run_blocking
from django_srvsession.store.framing import frame
from django_srvsession.store.health import IndexHealth
from django_srvsession.testing import StoreContract
from django_srvsession.testing.sessions import (
    HOUR_MS,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
)
from tests.backends.redis_tools import Cluster, Recorder, own_pool, pool_entry, rewrite, use
from tests.patience import patient
from tests.servers import RedisServer
from tests.trust import WHOLE

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


class TestContract(StoreContract):
    """All that any store promises."""


@pytest.fixture(scope="session")
def by_the_old_protocol(redis_server: RedisServer) -> dict[str, Any]:
    return pool_entry(f"{redis_server.url}?protocol=2", SOCKET_TIMEOUT=patient(5))


class TestContractByTheOldProtocol(StoreContract):
    """RESP2, which older versions of redis-py and proxies speak."""

    @pytest.fixture
    def store(self, by_the_old_protocol: dict[str, Any], redis_prefix: str, settings: Any) -> RedisStore:
        use(settings, by_the_old_protocol)
        return RedisStore()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def on_the_cluster(redis_cluster: Cluster) -> dict[str, Any]:
    """The entry of all tests on the cluster: they share one client, which takes long to begin and much memory."""
    return pool_entry(redis_cluster.url, CONNECTION_FACTORY=CLUSTER_FACTORY)


class TestContractOnACluster(StoreContract):
    """Three nodes: what spans two slots is refused by Redis itself."""

    @pytest.fixture
    def store(self, on_the_cluster: dict[str, Any], redis_prefix: str, settings: Any) -> RedisStore:
        use(settings, on_the_cluster)
        return RedisStore()


ALLOWED = frozenset(
    "EVALSHA GET GETRANGE SCAN SET TIME ZADD ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZREM ZREMRANGEBYSCORE ZREVRANGEBYSCORE"
    " EXISTS ZMSCORE ZRANDMEMBER ZSCAN".split()
)


class TestContractInOneSlotPerCommand(StoreContract):
    """No command but those that are needed, each on keys of one slot."""

    @pytest.fixture
    def store(self, redis_alias: str) -> RedisStore:
        store = RedisStore()
        Recorder(store).before = self._check
        return store

    def _check(self, commands: Sequence[Command]) -> None:
        for name, *arguments in commands:
            assert name in ALLOWED
            if name == "EVALSHA" and arguments[0] not in (END.sha, END_AS_KNOWN.sha):
                assert arguments[1] == 1
        assert all(command[0] != "EVALSHA" for command in commands[:-1]) or {c[0] for c in commands} == {"EVALSHA"}


@pytest.mark.parametrize(
    ("script", "keys"),
    [
        (SAVE, {"key"}),
        (WRITE, {"key"}),
        (ADMIT, {"index"}),
        (LIST, {"index"}),
        (END, {"key", "KEYS[i]", "KEYS[#KEYS]"}),
        (END_AS_KNOWN, {"key", "list", "index"}),
    ],
)
def test_scripts_touch_no_key_but_those_that_they_are_given(script: str, keys: set[str]) -> None:
    calls = re.findall(r"redis\.p?call\(([^,)]+)(?:, ([\w#[\]]+))?", script)
    assert {key for name, key in calls if name not in ("'TIME'", "'PUBLISH'")} == keys  # A channel is no key.
    for name in keys - {"KEYS[i]", "KEYS[#KEYS]"}:
        assert re.search(rf"^local [\w, ]*\b{name}\b[\w, ]* = KEYS\[1\]", script, re.MULTILINE)


@pytest.mark.parametrize("user_id", ["1", "a}b", "{a}", "}{", "", "x" * 300, "\udc80", "a:b", "é"])
def test_the_keys_of_a_user_are_told_apart_and_lie_in_one_slot(user_id: str) -> None:
    keys = Keys("p:")
    key = keys.user(user_id)
    assert re.fullmatch(r"p:u:\{[^{}]*\}", key)
    assert keys.user(user_id + "}") != key
    if user_id:
        assert key_slot(key.encode()) == key_slot(key[len("p:u:{") : -1].encode())


# Round trips.


def recorded(store: RedisStore) -> Recorder:
    """Return a recorder of a store that knows the time already."""
    store.load(new_sid())
    return Recorder(store)


def test_loading_is_one_command_in_one_round_trip(store: RedisStore) -> None:
    sid, recorder = create(store, user_id=new_user()).record.sid, recorded(store)
    store.load(sid)
    assert recorder.names == [["GET"]]


def test_the_time_is_asked_with_the_first_load_and_when_no_reply_has_told_it_for_a_minute(store: RedisStore) -> None:
    recorder = Recorder(store)
    sid = new_sid()
    for _ in range(3):
        store.load(sid)
    assert store.clock._sample
    offset_ns, at_ns = store.clock._sample
    store.clock._sample = offset_ns, at_ns - 61 * 10**9
    store.load(sid)
    assert recorder.names == [["TIME", "GET"], ["GET"], ["GET"], ["TIME", "GET"]]


@pytest.mark.parametrize("user_id", [None, "user"])
def test_saving_a_known_session_is_one_round_trip(store: RedisStore, user_id: str | None) -> None:
    session = create(store, **({} if user_id is None else {"user_id": user_id}))
    recorder = recorded(store)
    long_unseen = session._replace(record=session.record._replace(last_seen_ms=session.record.last_seen_ms - 60_000))
    for base in (session, long_unseen, None):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}), base)
    store.update(session.record.sid, session.record.verifier, Delta(new_verifier=new_verifier()), session)
    touched = ["ZADD", "EVALSHA"]
    assert recorder.names == [["EVALSHA"], touched, ["ZADD", "ZADD", "EVALSHA"], ["EVALSHA"]]


def test_creating_is_one_round_trip_and_the_index_comes_first(store: RedisStore) -> None:
    recorder = recorded(store)
    create(store)
    create(store, user_id=new_user())
    assert recorder.names == [["ZADD", "SET"], ["ZADD", "ZADD", "SET", "EVALSHA"]]


def test_what_is_sent_is_written_to_the_socket_once(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    session = create(store, user_id=new_user())
    store.update(session.record.sid, session.record.verifier, TOUCH)  # From now on the server knows the script.
    writes: list[Any] = []
    send = redis.Connection.send_packed_command
    monkeypatch.setattr(
        redis.Connection,
        "send_packed_command",
        lambda self, data, **more: (writes.append(data), send(self, data, **more)),
    )
    store.load(session.record.sid)
    store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}))
    assert [len(data) for data in writes] == [1, 1]


def test_a_save_passes_through_four_modules_on_its_way_to_the_socket(store: RedisStore) -> None:
    """And what else it needs is a word with the store's helpers, on one and the same level."""
    session = create(store, user_id=new_user())
    modules: list[str] = []

    def look(frame: Any, event: str, called: Any) -> None:
        if event == "call":
            modules.append(frame.f_globals.get("__name__", ""))
        if event == "c_call" and called.__name__ == "sendall":
            sys.setprofile(None)

    before = store.update(session.record.sid, session.record.verifier, TOUCH, session)
    sys.setprofile(look)
    try:
        store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}), before)
    finally:
        sys.setprofile(None)
    ours = dict.fromkeys(name.removeprefix("django_srvsession.") for name in modules if "srvsession" in name)
    assert [name for name in ours if name.startswith("backends.")] == [
        "backends.redis",
        "backends.redis.sessions",
        "backends.redis.transport.threads",
        "backends.redis.transport.redis_py",
    ]
    helpers = {name for name in ours if not name.startswith("backends.")}
    assert helpers <= {"store.face", "store.framing", "store.clock", "store.rules", "store.waiting"}


def test_a_sign_in_is_listed_before_the_session_has_the_user(store: RedisStore) -> None:
    session, user_id, recorder = create(store), new_user(), recorded(store)
    store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id), session)
    assert recorder.names == [["ZADD", "EVALSHA"], ["EVALSHA"], ["ZREM"]]


def test_who_knows_whose_session_it_is_ends_it_in_one_round_trip(store: RedisStore, client: Redis, keys: Keys) -> None:
    for user_id in (new_user(), None):
        session = create(store, **({} if user_id is None else {"user_id": user_id}))
        recorder = recorded(store)
        assert store.end(session.record.sid, Ending("logout", base=session)) == session.record
        assert recorder.names == [["EVALSHA"]]
        assert not [key for _, key in keys.all_live if client.zscore(key, session.record.sid) is not None]
        assert user_id is None or not client.exists(keys.user(user_id))


def test_who_does_not_know_whose_session_it_is_takes_it_out_of_the_users_index_afterwards(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session, user_id, visitor = create(store), new_user(), create(store)
    store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id), session)
    recorder = recorded(store)
    assert store.end(visitor.record.sid, Ending("logout")) == visitor.record
    assert recorder.names == [["EVALSHA"]]
    assert store.end(session.record.sid, Ending("logout", base=session)) is not None  # Who has signed in meanwhile.
    assert recorder.names == [["EVALSHA"], ["EVALSHA"], ["EVALSHA"], ["ZREM", "ZREM"]]
    assert not [key for _, key in keys.all_live if client.exists(key)]
    assert not client.exists(keys.user(user_id))


def test_a_session_that_does_not_end_stays_in_the_lists(store: RedisStore) -> None:
    session = create(store, user_id=new_user(), changed={"a": b"a"})
    for ending in (Ending("logout", verifier=new_verifier()), Ending("logout", expected={"a": None}), EXPIRED):
        for base in (session, None):
            assert store.end(session.record.sid, ending._replace(base=base)) is None
    assert sids(store.records(session.record.user_id)) == sids(store.records()) == [session.record.sid]


def test_another_session_of_the_version_that_was_read_is_not_ended_for_it(store: RedisStore) -> None:
    """A server that was promoted lacks what the former one had written last, and goes on from before that."""
    before = create(store, user_id=new_user())
    sid, verifier = before.record.sid, before.record.verifier
    lost = rotated(before._replace(record=before.record._replace(version=2)), new_verifier(), True, False)
    store.update(sid, verifier, TOUCH, before)
    assert store.end(sid, Ending("logout", verifier=lost.record.verifier, base=lost)) is None
    assert isinstance(store.load(sid), Loaded)


def test_what_is_expected_at_an_end_is_what_stands_and_not_what_was_read(store: RedisStore) -> None:
    read = create(store, user_id=new_user(), changed={"a": b"a"})
    sid, verifier = read.record.sid, read.record.verifier
    newer = store.update(sid, verifier, Delta(changed={"a": b"A"}), read)
    assert store.end(sid, Ending("logout", expected={"a": b"a"}, base=read)) is None
    # Nobody's word is taken for a version that he has not read.
    forged = read._replace(record=read.record._replace(version=newer.record.version))
    assert store.end(sid, Ending("logout", expected={"a": b"A"}, base=forged)) == newer.record
    again = create(store, changed={"a": b"a"})
    assert store.end(again.record.sid, Ending("logout", expected={"a": b"x"}, base=again)) is None
    assert store.end(again.record.sid, Ending("logout", expected={"a": b"a"}, base=again)) == again.record


def test_who_ends_a_session_that_was_used_since_is_told_the_record(store: RedisStore) -> None:
    read = create(store, user_id=new_user())
    newer = store.update(read.record.sid, read.record.verifier, Delta(client=Client("192.0.2.1", "agent")), read)
    assert store.end(read.record.sid, Ending("logout", base=read)) == newer.record


def test_a_list_that_is_none_of_ours_keeps_no_session_from_ending(store: RedisStore, client: Redis, keys: Keys) -> None:
    session = create(store, user_id=new_user())
    client.set(keys.user(str(session.record.user_id)), "not ours")
    assert store.end(session.record.sid, Ending("logout", base=session)) == session.record
    assert isinstance(store.load(session.record.sid), Tombstone)


def test_those_that_are_live_are_told_in_one_round_trip(store: RedisStore) -> None:
    live = [create(store).record.sid, create(store, user_id=new_user()).record.sid]
    ended, due = create(store), make_due(store, create(store))
    store.end(ended.record.sid, Ending("logout"))
    recorder = recorded(store)
    asked = [*live, ended.record.sid, due.record.sid, new_sid()]
    assert store.alive(asked).keys() == frozenset(live)
    assert [len(names) for names in recorder.names] == [len(asked)]
    assert store.alive([]) == {}


class Collected:
    """Take down the commands of procedures, and answer as if they were done."""

    is_one_server = True

    def __init__(self) -> None:
        self.commands: list[Command] = []

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        self.commands += commands
        return [b"OK"] * len(commands)


class NoGhosts(Ghosts):
    """Look at no entries: nobody answers here."""

    async def note_listed(self, to: Transport, keys: Keys, kind: str) -> None:
        pass


def create_many(store: RedisStore, count: int) -> None:
    """Create sessions of as many users in one round trip."""
    collected = Collected()
    sessions = Sessions(store.tenants.now().keys, store.clock, NoGhosts(store.clock))
    for _ in range(count):
        run_blocking(sessions.create(collected, new_sid(), new_verifier(), new_delta(user_id=new_user())))
    store.transport.exchange(collected.commands)


@pytest.mark.slow
def test_listing_a_users_sessions_costs_the_same_among_a_hundred_and_a_hundred_thousand(store: RedisStore) -> None:
    user_id = new_user()
    mine = {create(store, user_id=user_id).record.sid for _ in range(10)}
    recorder = recorded(store)

    def commands(others: int) -> int:
        store.__dict__["transport"] = recorder.transport
        for start in range(0, others, 1000):
            create_many(store, min(1000, others - start))
        store.__dict__["transport"] = recorder
        recorder.trips.clear()
        assert set(sids(store.records(user_id))) == mine
        return sum(map(len, recorder.trips))

    others = 99_900 if WHOLE else 4_900
    assert commands(100) == commands(others) == 12
    assert len(store.records()) == others + 110


# Indexes.


def index_of(client: Redis, keys: Keys, user_id: str) -> dict[str, float]:
    return {sid.decode(): score for sid, score in client.zrange(keys.user(user_id), 0, -1, withscores=True)}


def test_the_users_index_runs_ahead_of_every_expiry(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    session = create(store, user_id=user_id, lifetime_ms=1000)
    sid, verifier = session.record.sid, session.record.verifier
    recorder = recorded(store)
    for delta in (
        TOUCH,
        Delta(lifetime_ms=DAY_MS),
        TOUCH,
        Delta(lifetime_ms=HOUR_MS),
        Delta(lifetime_ms=90 * DAY_MS),
        TOUCH,
    ):
        after = store.update(sid, verifier, delta, session)
        assert index_of(client, keys, user_id)[sid] >= after.record.expires_ms
    # Twice the expiry left what the index promised, and the index was raised before the session was.
    script, raise_index = ["EVALSHA"], ["ZADD", "EVALSHA"]
    expected = [script, script, raise_index, script, script, script, script, raise_index, script, script]
    assert recorder.names == expected


def test_an_expiry_beyond_the_index_is_not_written_until_the_index_is(store: RedisStore, keys: Keys) -> None:
    session = create(store, user_id=new_user(), lifetime_ms=1000)
    recorder = recorded(store)

    def fail(commands: Sequence[Command]) -> None:
        if any(command[:2] == ("EVALSHA", LIST.sha) for command in commands):
            raise StoreUnavailableError

    recorder.before = fail
    with pytest.raises(StoreUnavailableError):
        store.update(session.record.sid, session.record.verifier, Delta(lifetime_ms=DAY_MS), session)
    assert stored(store, session.record.sid).record == session.record


def test_an_entry_that_was_lost_comes_back_when_the_index_is_raised(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    session = create(store, user_id=user_id, lifetime_ms=1000)
    client.delete(keys.user(user_id))
    store.update(session.record.sid, session.record.verifier, Delta(lifetime_ms=DAY_MS), session)
    assert sids(store.records(user_id)) == [session.record.sid]


def test_past_entries_go_with_the_users_next_sign_in(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id, now_ms = new_user(), create(store).now_ms
    client.zadd(keys.user(user_id), {"past": now_ms - MARGIN_MS - 1000, "lately": now_ms - MARGIN_MS + 30_000})
    session = create(store, user_id=user_id)
    assert index_of(client, keys, user_id).keys() == {"lately", session.record.sid}


def test_a_touch_does_not_list_what_was_ended_meanwhile(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    session = create(store, user_id=user_id)
    store.end(session.record.sid, Ending("logout"))
    for base in (None, session._replace(record=session.record._replace(last_seen_ms=0))):
        with pytest.raises(UpdateError):
            store.update(session.record.sid, session.record.verifier, TOUCH, base)
    assert not [key for _, key in keys.all_live if client.zcard(key)]
    assert not client.exists(keys.user(user_id))


def test_a_sign_in_on_an_ended_session_leaves_nothing_in_the_indexes(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session, user_id = create(store), new_user()
    store.end(session.record.sid, Ending("logout"))
    with pytest.raises(UpdateError):
        store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id), session)
    assert not client.exists(keys.user(user_id))
    assert len(store.records()) == 0


def test_a_losing_sign_in_does_not_take_the_winner_out_of_the_index(store: RedisStore) -> None:
    """A double click: the second one finds the key rotated away."""
    session, user_id = create(store), new_user()
    sid, verifier = session.record.sid, session.record.verifier
    store.update(sid, verifier, Delta(user_id=user_id, new_verifier=new_verifier()), session)
    with pytest.raises(UpdateError):
        store.update(sid, verifier, Delta(user_id=user_id, new_verifier=new_verifier()), session)
    assert sids(store.records(user_id)) == [sid]


def test_the_session_of_another_is_not_listed_for_who_tried_to_take_it(store: RedisStore) -> None:
    owner, other = new_user(), new_user()
    session = create(store, user_id=owner)
    with pytest.raises(UpdateError):
        store.update(session.record.sid, session.record.verifier, Delta(user_id=other), session)
    with pytest.raises(CreateError):
        store.create(session.record.sid, new_verifier(), new_delta(user_id=other))
    assert list(store.records(other)) == []
    assert list(store.admit(other, new_sid(), 1, "refuse")) == []
    assert sids(list(store.records())) == [session.record.sid]


def test_a_session_whose_index_cannot_be_written_is_not_handed_out(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id, sid, verifier = new_user(), new_sid(), new_verifier()
    client.set(keys.user(user_id), "not ours")
    with pytest.raises(StoreUnavailableError):
        store.create(sid, verifier, new_delta(user_id=user_id))
    anonymous = create(store)
    with pytest.raises(StoreUnavailableError):
        store.update(anonymous.record.sid, anonymous.record.verifier, Delta(user_id=user_id), anonymous)
    assert stored(store, anonymous.record.sid).record.user_id is None
    client.delete(keys.user(user_id))
    assert store.create(sid, verifier, new_delta(user_id=user_id)).record.user_id == user_id
    assert sids(store.records(user_id)) == [sid]


def test_who_has_signed_in_is_listed_once_though_the_lists_could_not_be_tidied(store: RedisStore) -> None:
    session, user_id, recorder = create(store), new_user(), recorded(store)

    def fail(commands: Sequence[Command]) -> None:
        if commands[0][0] == "ZREM":
            raise StoreUnavailableError

    recorder.before = fail
    store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id), session)
    assert sids(list(store.records())) == [session.record.sid]
    recorder.before = lambda commands: None
    store.clear_expired()
    assert len(store.records()) == 1


def test_the_key_before_a_rotation_is_refused_when_its_minute_is_over(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store)
    sid, old = session.record.sid, session.record.verifier
    rotated_ms = store.update(sid, old, Delta(new_verifier=new_verifier(), final=False)).record.rotated_ms
    store.update(sid, old, TOUCH)
    assert rotated_ms
    rewrite(client, keys.session(sid), rotated_ms=rotated_ms - ROTATION_GRACE_MS)
    with pytest.raises(UpdateError):
        store.update(sid, old, TOUCH)
    assert store.end(sid, Ending("logout", verifier=old)) is None


def test_deep_pages_are_reached_by_score(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create(store, **({"user_id": "u"} if number % 3 else {})).record.sid for number in range(60)][::-1]
    monkeypatch.setattr(redis_lists, "_SEEK_FROM", 3)
    listed = store.records()
    for start in (0, 2, 3, 4, 17, 30, 59, 60, 1000):
        assert sids(listed[start : start + 7]) == made[start : start + 7]
    assert [listed[number].sid for number in (5, 40, 59)] == [made[number] for number in (5, 40, 59)]
    assert sids(listed[-3:]) == made[-3:]
    assert sids(listed[::-7]) == made[::-7]
    with pytest.raises(IndexError):
        listed[60]


def test_sessions_of_one_instant_are_paged_without_loss_or_repetition(
    store: RedisStore, client: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [create(store).record.sid for _ in range(50)]
    for sid in made:
        client.zadd(keys.live_of("anon", sid), {sid: 1_800_000_000_000})
    monkeypatch.setattr(redis_lists, "_PORTION", 7)
    assert sorted(sids(list(store.records()))) == sorted(made)
    listed = [sid for start in range(0, 50, 10) for sid in sids(store.records()[start : start + 10])]
    assert sorted(listed) == sorted(made)


# Clearing.


def test_a_login_under_way_is_not_cleared_and_a_lost_one_is(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id, now_ms = new_user(), create(store).now_ms
    fresh, lost = new_sid(), new_sid()
    for sid, seen_ms in ((fresh, now_ms), (lost, now_ms - 2 * MARGIN_MS)):
        client.zadd(keys.live_of("user", sid), {sid: seen_ms})
        client.zadd(keys.user(user_id), {sid: now_ms + DAY_MS})
    store.clear_expired()
    assert client.zscore(keys.live_of("user", fresh), fresh) == now_ms
    assert client.zscore(keys.live_of("user", lost), lost) is None
    # Both are missing, and are forgotten in a minute, unless the login goes on and raises its entry again.
    assert all(now_ms <= score < now_ms + HOUR_MS for score in index_of(client, keys, user_id).values())
    session = store.create(fresh, new_verifier(), new_delta(user_id=user_id))
    assert index_of(client, keys, user_id)[fresh] > session.record.expires_ms
    client.zadd(keys.user(user_id), {lost: now_ms - 2 * MARGIN_MS})
    store.clear_expired()
    assert index_of(client, keys, user_id).keys() == {fresh}


def test_entries_of_ended_sessions_are_cleared_at_once(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    session = create(store, user_id=user_id)
    before = client.dump(keys.user(user_id)), client.dump(keys.live_of("user", session.record.sid))
    store.end(session.record.sid, Ending("logout"))
    client.restore(keys.user(user_id), 0, before[0])
    client.restore(keys.live_of("user", session.record.sid), 0, before[1])
    assert store.clear_expired() == 0
    assert not client.exists(keys.user(user_id), keys.live_of("user", session.record.sid))


def test_an_end_is_acknowledged_though_the_indexes_cannot_be_tidied(store: RedisStore) -> None:
    session = create(store, user_id=new_user())
    recorder = recorded(store)

    def fail(commands: Sequence[Command]) -> None:
        if commands[0][0] == "ZREM":
            raise StoreUnavailableError

    recorder.before = fail
    assert store.end(session.record.sid, Ending("logout")) == session.record
    assert list(store.records(session.record.user_id)) == []


def test_a_session_that_nobody_cleared_goes_with_its_key(store: RedisStore, client: Redis, keys: Keys) -> None:
    record = create(store).record
    assert client.pexpiretime(keys.session(record.sid)) == record.expires_ms + DAY_MS + TTL_STEP_MS
    store.end(record.sid, Ending("logout"))
    ended = store.load(record.sid)
    assert isinstance(ended, Tombstone)
    assert client.pexpiretime(keys.session(record.sid)) == ended.ended_ms + DAY_MS
    assert not [key for _, key in keys.all_live if client.pttl(key) > 0]


def test_a_key_of_another_type_is_a_taken_place(store: RedisStore, client: Redis, keys: Keys) -> None:
    sid = new_sid()
    client.hset(keys.session(sid), "their", "field")
    with pytest.raises(CreateError):
        store.create(sid, new_verifier(), new_delta())
    assert client.hgetall(keys.session(sid)) == {b"their": b"field"}


def test_the_key_outlives_the_session_whether_or_not_a_save_moves_its_ttl(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store, lifetime_ms=HOUR_MS)
    sid, verifier = session.record.sid, session.record.verifier
    for lifetime_ms in (HOUR_MS + 1, 2 * HOUR_MS, HOUR_MS, TTL_STEP_MS // 2):
        session = store.update(sid, verifier, Delta(lifetime_ms=lifetime_ms), session)
        for _ in range(3):
            session = store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
            kept_ms = client.pexpiretime(keys.session(sid)) - session.record.expires_ms
            assert DAY_MS <= kept_ms <= DAY_MS + TTL_STEP_MS


def test_a_save_after_the_last_expiry_moved_on_moves_the_ttl(store: RedisStore, client: Redis, keys: Keys) -> None:
    session = create(store, lifetime_ms=HOUR_MS)
    key, record = keys.session(session.record.sid), session.record
    rewrite(client, key, expires_ms=record.expires_ms - TTL_STEP_MS)  # As if the last save were a minute ago.
    client.pexpireat(key, record.expires_ms + DAY_MS)
    after = store.update(record.sid, record.verifier, Delta(changed={"a": b"a"}), session).record
    assert client.pexpiretime(key) == after.expires_ms + DAY_MS + TTL_STEP_MS


def test_a_tombstone_holds_no_value_and_no_client(store: RedisStore, client: Redis, keys: Keys) -> None:
    session = create(store, user_id="user-7", client=Client("192.0.2.1", "agent"), changed={"secret": b"s3cret"})
    store.end(session.record.sid, Ending("revoked", by="admin"))
    left = client.get(keys.session(session.record.sid))
    assert isinstance(left, bytes)
    assert left.endswith(b"revokedadminuser-7")
    assert len(left) < HEAD_BYTES


# The limit.


def test_a_login_that_was_admitted_and_not_stored_yet_counts_for_a_minute(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    for _ in range(2):
        assert list(store.admit(user_id, new_sid(), 2, "refuse")) == []
    with pytest.raises(LimitReachedError):
        store.admit(user_id, new_sid(), 2, "refuse")
    for mark, score in client.zrange(keys.user(user_id), 0, -1, withscores=True):
        client.zadd(keys.user(user_id), {mark: score - MARGIN_MS})  # They were admitted a minute ago.
    assert list(store.admit(user_id, new_sid(), 2, "refuse")) == []


def test_marks_of_admission_are_not_sessions(store: RedisStore) -> None:
    user_id = new_user()
    store.admit(user_id, new_sid(), 2, "end_oldest")
    assert list(store.records(user_id)) == []


def test_a_session_that_is_to_be_ended_is_listed_until_it_is(store: RedisStore) -> None:
    user_id = new_user()
    first, second = create(store, user_id=user_id).record, create(store, user_id=user_id).record
    assert list(store.admit(user_id, second.sid, 1, "end_oldest")) == [first.sid]
    assert set(sids(store.records(user_id))) == {first.sid, second.sid}


def test_a_session_that_was_given_to_somebody_who_did_not_end_it_is_given_again(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    first, second = create(store, user_id=user_id).record, create(store, user_id=user_id).record
    assert list(store.admit(user_id, second.sid, 1, "end_oldest")) == [first.sid]
    third = create(store, user_id=user_id).record
    assert first.sid not in store.admit(user_id, third.sid, 1, "end_oldest")
    client.zincrby(keys.user(user_id), -MARGIN_MS, f"x:{first.sid}")
    assert first.sid in store.admit(user_id, create(store, user_id=user_id).record.sid, 1, "end_oldest")


def test_what_is_marked_of_a_session_goes_with_it(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    for _ in range(3):
        for sid in store.admit(user_id, create(store, user_id=user_id).record.sid, 1, "end_oldest"):
            store.end(sid, Ending("limit"))
    for record in store.records(user_id):
        store.end(record.sid, Ending("logout"))
    assert not client.exists(keys.user(user_id))


# The indexes, put right.


class InSteps:
    """Be the way to a cluster, and wait behind each round trip until the procedure is gone on with."""

    is_one_server = False

    def __init__(self, to: Recorder) -> None:
        self._to = to

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._to.exchange(commands)
        await self._pause()
        return replies

    @types.coroutine
    def _pause(self) -> Iterator[None]:
        yield


def test_a_repair_lists_a_session_for_as_long_as_its_saves_rely_on(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store, user_id=new_user())
    user_key, sid = keys.user(str(session.record.user_id)), session.record.sid
    promised_ms = client.zscore(user_key, sid)
    client.delete(user_key)
    assert store.check_index(repair=True) == IndexHealth(1, 0, 1, 1)
    assert client.zscore(user_key, sid) == promised_ms
    client.zadd(user_key, {sid: session.record.expires_ms})  # Listed, but not for as long as a save relies on.
    assert store.check_index(repair=True) == IndexHealth(1, 0, 1, 1)
    assert client.zscore(user_key, sid) == promised_ms
    assert store.check_index() == IndexHealth(1, 0, 0, 0)


@pytest.mark.parametrize("first", ["the sweep", "the creation"])
def test_a_sweep_between_the_two_steps_of_a_creation_leaves_it_listed(
    store: RedisStore, client: Redis, keys: Keys, first: str
) -> None:
    """Which are apart on a cluster."""
    user_id, sid = new_user(), new_sid()
    recorder = recorded(store)
    apart = InSteps(recorder)
    creation = store.tenants.now().sessions.create(apart, sid, new_verifier(), new_delta(user_id=user_id))
    creation.send(None)

    def finish() -> None:
        recorder.before = lambda commands: None
        creation.send(None)
        creation.send(None)
        with pytest.raises(StopIteration):
            creation.send(None)

    if first == "the sweep":
        store.clear_expired()
        finish()
    else:

        def step_in(commands: Sequence[Command]) -> None:
            if any(command[:3] == ("ZADD", keys.user(user_id).encode(), "XX") for command in commands):
                finish()

        recorder.before = step_in
        store.clear_expired()
    session = stored(store, sid)
    assert client.zscore(keys.user(user_id), sid) > session.record.expires_ms
    assert list(store.records(user_id)) == [session.record]


# What stands there and is none of ours.


def other_type(client: Redis, key: bytes) -> None:
    client.delete(key)
    client.hset(key, "a", "1")


def replaced_by(change: Callable[[bytes], bytes]) -> Any:
    def damage(client: Redis, key: bytes) -> None:
        image = client.get(key)
        assert isinstance(image, bytes)
        client.set(key, change(image), keepttl=True)

    return damage


DAMAGES: dict[str, Any] = {
    "another type": other_type,
    "a newer format": replaced_by(lambda image: b"\x03" + image[1:]),
    "text": replaced_by(lambda image: b"theirs"),
    "nothing in it": replaced_by(lambda image: b""),
    "half a head": replaced_by(lambda image: image[: HEAD_BYTES // 2]),
    "no texts": replaced_by(lambda image: image[:HEAD_BYTES]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_session_is_told_from_a_missing_one_and_left_as_it_is(
    store: RedisStore, client: Redis, keys: Keys, damage: str
) -> None:
    session = create(store, user_id=new_user(), changed={"a": b"a"})
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    DAMAGES[damage](client, key)
    before = client.dump(key)
    for verb in (
        lambda: store.load(sid),
        lambda: store.update(sid, verifier, Delta(changed={"b": b"b"})),
        lambda: store.update(sid, verifier, TOUCH, session),
        lambda: store.update(sid, verifier, Delta(new_verifier=new_verifier())),
        lambda: store.end(sid, Ending("logout")),
        lambda: store.end(sid, EXPIRED),
    ):
        with pytest.raises(CorruptSessionError):
            verb()
    with pytest.raises(CreateError):
        store.create(sid, new_verifier(), new_delta())
    assert (list(store.records(session.record.user_id)), list(store.records())) == ([], [])
    store.clear_expired()
    assert client.dump(key) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.rstrip(b"\0")[:-1],
        lambda image: image.rstrip(b"\0")[:-12],
        lambda image: image[: MOVED_TO - 4] + struct.pack("<I", len(image.rstrip(b"\0")) + 1) + image[MOVED_TO:],
    ],
    ids=["a byte less", "much less", "a byte more in use"],
)
def test_a_session_whose_values_are_damaged_is_refused_and_can_be_seen_and_ended(
    store: RedisStore, client: Redis, keys: Keys, change: Callable[[bytes], bytes]
) -> None:
    session = create(store, user_id=new_user(), changed={"a": b"a", "b": b"b"})
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    replaced_by(change)(client, key)
    before = client.dump(key)
    for verb in (
        lambda: store.load(sid),
        lambda: store.update(sid, verifier, Delta(changed={"b": b"b"})),
        lambda: store.update(sid, verifier, Delta(new_verifier=new_verifier())),
        lambda: store.end(sid, Ending("logout", expected={"a": b"a"})),
    ):
        with pytest.raises(CorruptSessionError):
            verb()
    assert client.dump(key) == before
    assert list(store.records(session.record.user_id)) == [session.record]
    assert store.end(sid, Ending("revoked")) == session.record
    assert isinstance(store.load(sid), Tombstone)


def test_a_save_writes_nothing_to_a_session_that_was_cut_since_it_was_read(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store, changed={"a": b"a"})
    key = keys.session(session.record.sid)
    replaced_by(lambda image: image.rstrip(b"\0")[:-1])(client, key)
    before = client.dump(key)
    with pytest.raises(CorruptSessionError):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"b": b"b"}), session)
    assert client.dump(key) == before


def test_a_record_that_claims_to_be_longer_than_its_string_is_nobody_s_to_list(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    damaged, sound = create(store, user_id=user_id, client=Client("", "x" * 600)), create(store, user_id=user_id)
    replaced_by(lambda image: image[: HEAD_BYTES - 2] + struct.pack("<H", 60_000) + image[HEAD_BYTES:])(
        client, keys.session(damaged.record.sid)
    )
    with pytest.raises(CorruptSessionError):
        store.load(damaged.record.sid)
    recorder = recorded(store)
    assert list(store.records(user_id)) == list(store.records()) == [sound.record]
    assert list(store.admit(user_id, sound.record.sid, 5, "end_oldest")) == []
    assert store.clear_expired() == 0
    assert store.check_index().looked_at == 1
    assert len(recorder.trips) < 500


@pytest.mark.parametrize(
    "names_part", [b"\x01\0\0\0\x00\0\0\0", b"\x02\0\0\0\x01\0\0\0\x01\0\0\0aa"], ids=["short", "twice"]
)
def test_names_that_python_refuses_no_script_takes(
    store: RedisStore, client: Redis, keys: Keys, names_part: bytes
) -> None:
    session = create(store, changed={"a": b"1", "b": b"2"})
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    part = frame({"a": b"", "b": b""})[5:-8]
    replaced_by(lambda image: image.replace(part, names_part.ljust(len(part), b"a")))(client, key)
    before = client.dump(key)
    for verb in (lambda: store.load(sid), lambda: store.update(sid, verifier, Delta(changed={"c": b"3"}))):
        with pytest.raises(CorruptSessionError):
            verb()
    assert client.dump(key) == before


def test_a_session_without_any_run_of_values_is_damaged_to_all(store: RedisStore, client: Redis, keys: Keys) -> None:
    session = create(store)
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    replaced_by(lambda image: image[: MOVED_TO - 4] + struct.pack("<I", HEAD_BYTES) + image[MOVED_TO:])(client, key)
    before = client.dump(key)
    for verb in (
        lambda: store.load(sid),
        lambda: store.update(sid, verifier, TOUCH),
        lambda: store.update(sid, verifier, TOUCH, session),
    ):
        with pytest.raises(CorruptSessionError):
            verb()
    assert client.dump(key) == before


@pytest.mark.parametrize("base", ["with base", "without base"])
def test_a_save_beyond_what_the_index_promises_lists_the_session_for_longer_first(
    store: RedisStore, client: Redis, keys: Keys, base: str
) -> None:
    session = create(store, user_id=new_user())
    sid, user_key, now_ms = session.record.sid, keys.user(str(session.record.user_id)), session.now_ms
    promise = struct.pack("<q", now_ms)
    replaced_by(lambda image: image[:INDEXED_FROM] + promise + image[INDEXED_FROM + 8 :])(client, keys.session(sid))
    client.zadd(user_key, {sid: now_ms})
    after = store.update(sid, session.record.verifier, TOUCH, session if base == "with base" else None)
    assert client.zscore(user_key, sid) >= after.record.expires_ms
    assert store.check_index() == IndexHealth(1, 0, 0, 0)


def test_an_end_that_redis_refuses_half_way_leaves_the_session(
    store: RedisStore, client: Redis, redis_server: RedisServer, settings: Any
) -> None:
    session = create(store)
    client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-set"])
    own_pool(settings, redis_server.url.replace("redis://", "redis://reader:any@"))
    with pytest.raises(StoreUnavailableError):
        RedisStore().end(session.record.sid, Ending("logout"))
    client.acl_deluser("reader")
    assert stored(store, session.record.sid).record == session.record


def test_what_bounds_the_index_of_an_anonymous_session_stops_nobody(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store)
    key = keys.session(session.record.sid)
    replaced_by(lambda image: image[:INDEXED_FROM] + bytes(8) + image[INDEXED_FROM + 8 :])(client, key)
    assert store.update(session.record.sid, session.record.verifier, TOUCH, session).record.version == 2


def test_ending_a_session_whose_texts_are_damaged_ends_it_and_takes_it_off_the_list(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    session = create(store, client=Client("", "agent"))
    replaced_by(lambda image: image.replace(b"agent", b"\xff" * 5))(client, keys.session(session.record.sid))
    assert store.end(session.record.sid, Ending("revoked")) is None
    assert isinstance(store.load(session.record.sid), Tombstone)
    assert len(store.records()) == 0


@pytest.mark.parametrize("lifetime_ms", [LATEST_MS, 2**52])
def test_a_session_that_is_to_live_for_ever_lives_to_the_end_of_the_calendar(
    store: RedisStore, client: Redis, keys: Keys, lifetime_ms: int
) -> None:
    session = create(store, lifetime_ms=lifetime_ms, user_id=new_user())
    for delta in (Delta(changed={"a": b"a"}), TOUCH, Delta(lifetime_ms=lifetime_ms + 1), Delta(changed={"a": b"b"})):
        session = store.update(session.record.sid, session.record.verifier, delta, session)
        assert session.record.expires_ms == LATEST_MS
        assert stored(store, session.record.sid).record == session.record
    assert client.pexpiretime(keys.session(session.record.sid)) > LATEST_MS
    assert session.record.expires_at.year == 9999
    assert list(store.records(session.record.user_id)) == [session.record]


def test_a_name_like_a_field_of_the_record_is_only_a_value(store: RedisStore) -> None:
    names = ["v", "m", "x", "e", "u", "v:", "v:e", "", "\udc80"]
    session = create(store, changed=dict.fromkeys(names, b"1"))
    updated = store.update(session.record.sid, session.record.verifier, Delta(changed=dict.fromkeys(names, b"2")))
    assert updated.values == dict.fromkeys(names, b"2")
    cleared = store.update(session.record.sid, session.record.verifier, Delta(cleared=True), updated)
    assert cleared.values == {}
    assert stored(store, session.record.sid).record == cleared.record
    assert stored(store, session.record.sid).values == {}


def test_twenty_thousand_values_can_be_written_expected_removed_and_cleared(store: RedisStore) -> None:
    many = {f"key-{number}": b"1" for number in range(20_000)}
    session = create(store, changed=many)
    sid, verifier = session.record.sid, session.record.verifier
    store.update(sid, verifier, Delta(changed=dict.fromkeys(many, b"2"), expected=many), session)
    with pytest.raises(ConflictError) as caught:
        store.update(sid, verifier, Delta(expected=many))
    assert caught.value.current == dict.fromkeys(many, b"2")
    store.update(sid, verifier, Delta(removed=frozenset(list(many)[:15_000])))
    assert len(stored(store, sid).values) == 5_000
    store.update(sid, verifier, Delta(cleared=True, changed={"key-19999": b"3"}))
    assert stored(store, sid).values == {"key-19999": b"3"}


# Settings.


def test_exceptions_that_the_cache_ignores_are_not_ignored_here(
    redis_server: RedisServer, redis_prefix: str, settings: Any
) -> None:
    own_pool(settings, "redis://127.0.0.1:1/0", IGNORE_EXCEPTIONS=True)
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    with pytest.raises(StoreUnavailableError):
        RedisStore().load(new_sid())


def test_a_cache_that_is_not_of_django_redis_is_refused_by_name(settings: Any) -> None:
    settings.SESSION_CACHE_ALIAS = "default"
    with pytest.raises(ImproperlyConfigured, match=r"'default'.*django-redis"):
        RedisStore().load(new_sid())


def test_building_a_store_does_no_io(settings: Any) -> None:
    own_pool(settings, "redis://127.0.0.1:1/0")
    RedisStore()


def test_an_alias_of_a_cluster_that_decodes_replies_gives_bytes_all_the_same(
    redis_cluster: Cluster, redis_prefix: str, settings: Any
) -> None:
    url = f"{redis_cluster.url}?decode_responses=True"
    own_pool(settings, url, CONNECTION_FACTORY=CLUSTER_FACTORY)
    store = RedisStore()
    session = create(store, user_id="é", client=Client("192.0.2.1", "x" * 600), changed={"a": b"\xff\x00"})
    sid, verifier = session.record.sid, session.record.verifier
    session = store.update(sid, verifier, Delta(changed={"b": b"\xfe"}), session)
    assert stored(store, sid)[:2] == session[:2]
    assert list(store.records("é")) == list(store.records()) == [session.record]
    assert store.check_index() == IndexHealth(1, 0, 0, 0)
    assert store.clear_expired() == 0
    assert store.end(sid, Ending("logout")) == session.record


def test_two_prefixes_are_two_stores(store: RedisStore, settings: Any) -> None:
    record = create(store, user_id="same").record
    settings.SRVSESSION_REDIS_PREFIX += "other:"
    other = RedisStore()
    assert other.load(record.sid) is None
    assert (list(other.records("same")), list(other.records())) == ([], [])


def test_a_prefix_with_wildcards_clears_no_other_prefix(store: RedisStore, client: Redis, settings: Any) -> None:
    user_id = new_user()
    foreign = f"{settings.SRVSESSION_REDIS_PREFIX}Xu:{{{user_id}}}"
    client.zadd(foreign, {"x": 1})
    settings.SRVSESSION_REDIS_PREFIX += "*"
    RedisStore().clear_expired()
    assert client.exists(foreign)
    client.delete(foreign)


# The clock, and the wire format.


def test_the_clock_is_never_ahead_of_what_redis_would_say_nor_behind_what_it_said() -> None:
    clock = RedisClock()
    assert (clock.now_ms, clock.score, clock.needs_asking) == (0, 0.0, True)
    assert clock.learn(1_800_000_000_000) <= clock.now_ms < 1_800_000_001_000
    clock.learn(1_800_000_000_000 - 500)  # A reply that was half a second under way.
    assert 1_800_000_000_000 <= clock.now_ms < 1_800_000_001_000
    clock.learn_from_time([b"1800000060", b"123456"])
    assert 1_800_000_060_123 <= clock.now_ms < 1_800_000_061_000
    assert not clock.needs_asking


def test_a_clock_that_was_set_back_is_believed_after_a_minute() -> None:
    clock = RedisClock()
    clock.learn(1_800_000_000_000)
    assert clock._sample
    clock._sample = clock._sample[0], clock._sample[1] - 61 * 10**9
    clock.learn(1_700_000_000_000)
    assert clock.now_ms < 1_700_000_001_000


def test_commands_are_packed_as_redis_reads_them() -> None:
    commands = [("SET", b"k", "é", 1, 1.5), ("TIME",)]
    assert b"".join(map(pack_command, commands)) == (
        b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\xc3\xa9\r\n$1\r\n1\r\n$3\r\n1.5\r\n*1\r\n$4\r\nTIME\r\n"
    )


def test_marks_sort_above_every_expiry_and_are_exact() -> None:
    assert LATEST_MS * 3 < ADMITTED_FROM
    assert float(ADMITTED_FROM + 1) != float(ADMITTED_FROM)


def test_a_listed_session_is_read_without_what_its_values_may_weigh(store: RedisStore) -> None:
    session, recorder = create(store, user_id=new_user(), changed={"a": b"a" * 100_000}), recorded(store)
    assert list(store.records(session.record.user_id)) == [session.record]
    assert [command[2:] for command in recorder.trips[-1]] == [(0, RECORD_BYTES - 1)]


@pytest.mark.parametrize("length", [*range(RECORD_BYTES - HEAD_BYTES - 3, RECORD_BYTES - HEAD_BYTES + 3), 5000])
def test_a_record_that_is_longer_than_most_is_read_whole(store: RedisStore, length: int) -> None:
    user_id = new_user()
    session = create(store, user_id=user_id, client=Client("", "x" * (length - len(user_id))), changed={"a": b"a"})
    assert list(store.records(user_id)) == list(store.records()) == [session.record]
    store.clear_expired()
    assert list(store.admit(user_id, session.record.sid, 1, "refuse")) == []
    assert store.check_index() == IndexHealth(1, 0, 0, 0)


# The room for what saves change.


def test_a_save_writes_what_it_changes_into_the_room(store: RedisStore, client: Redis, keys: Keys) -> None:
    session = create(store, changed={"a": b"a" * 5000, "b": b"b"})
    key, record = keys.session(session.record.sid), session.record
    image = client.get(key)
    used = len(session_image(record, session.values, 0).rstrip(b"\0"))
    after = store.update(record.sid, record.verifier, Delta(changed={"b": b"B"}), session)
    written = client.get(key)
    assert len(written) == len(image)
    assert written[MOVED_TO:used] == image[MOVED_TO:used]
    assert written[used:].rstrip(b"\0") == frame({"b": b"B"})
    assert stored(store, record.sid)._replace(now_ms=0) == after._replace(now_ms=0)
    touched = store.update(record.sid, record.verifier, TOUCH, after)
    assert client.get(key)[MOVED_TO:] == written[MOVED_TO:]
    assert stored(store, record.sid)._replace(now_ms=0) == touched._replace(now_ms=0)


@pytest.mark.parametrize("size_bytes", [10, 2000, 20_000])
def test_a_session_without_room_is_written_whole_by_the_save_itself(
    store: RedisStore, client: Redis, keys: Keys, size_bytes: int
) -> None:
    session = create(store, user_id=new_user(), client=Client("192.0.2.1", "agent"), changed={"a": b"a" * size_bytes})
    key, record, recorder = keys.session(session.record.sid), session.record, recorded(store)
    expected, images = {"a": b"a" * size_bytes}, [client.get(key)]
    for number in range(300):
        changed = {f"k{number % 7}": b"%d" % number * 10}
        expected |= changed
        session = store.update(record.sid, record.verifier, Delta(changed=changed), session)
        images.append(client.get(key))
    assert [names for names in recorder.names if names[-1] != "EVALSHA"] == []
    assert len(recorder.trips) == 300
    assert stored(store, record.sid).values == session.values == expected
    assert stored(store, record.sid).record == session.record
    whole = len(session_image(session.record, expected, 0))
    in_use = [struct.unpack_from("<I", image, MOVED_TO - 4)[0] for image in images]
    assert any(later < earlier for earlier, later in itertools.pairwise(in_use)), "it was never written whole"
    assert max(map(len, images)) <= whole * 1.25 + LEAST_ROOM_BYTES
    assert client.pexpiretime(key) > session.record.expires_ms


def test_a_session_that_is_saved_often_weighs_little_more(store: RedisStore, client: Redis, keys: Keys) -> None:
    """Redis doubles what it keeps for a string that grows: none of ours does."""
    session = create(store, changed={"a": b"a" * 5000})
    record, key = session.record, keys.session(session.record.sid)
    before = client.memory_usage(key)
    for number in range(100):
        session = store.update(record.sid, record.verifier, Delta(changed={"n": b"%d" % number}), session)
        assert client.memory_usage(key) <= before * 1.2


def test_a_stale_save_that_writes_the_session_whole_is_told_the_record(store: RedisStore) -> None:
    base = create(store, changed={"a": b"a"})
    newer = store.update(base.record.sid, base.record.verifier, Delta(client=Client("192.0.2.1", "agent")), base)
    big = {f"k{number}": b"1" * 3000 for number in range(2)}
    after = store.update(base.record.sid, base.record.verifier, Delta(changed=big), base)
    assert after.record.client == newer.record.client
    assert stored(store, base.record.sid).record == after.record
    assert stored(store, base.record.sid).values == {"a": b"a", **big}


def test_scripts_write_what_python_would(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    session = create(store, changed={"a": b"a", "é\udc80": b"", "gone": b"1"})
    sid, verifier = session.record.sid, session.record.verifier
    delta = Delta(
        changed={"b": b"\x00\xff"},
        removed=frozenset({"gone"}),
        user_id=user_id,
        client=Client("2001:db8::1", "agent \udcff"),
        deadline_ms=session.now_ms + DAY_MS,
    )
    after = store.update(sid, verifier, delta._replace(new_verifier=new_verifier(), final=False), session)
    image = client.get(keys.session(sid))
    until_ms = int(client.zscore(keys.user(user_id), sid) or 0)
    assert image.rstrip(b"\0") == session_image(after.record, after.values, until_ms).rstrip(b"\0")
    assert image.rstrip(b"\0") == session_image(*stored(store, sid)[:2], until_ms).rstrip(b"\0")
    used = len(image.rstrip(b"\0"))
    assert len(image) == used + LEAST_ROOM_BYTES + room(used + LEAST_ROOM_BYTES)


def test_a_lost_answer_can_be_asked_for_again(store: RedisStore) -> None:
    """What a caller does after an unknown outcome: the same again, and it counts once."""
    sid, verifiers = new_sid(), [new_verifier(), new_verifier()]
    recorder = recorded(store)

    def lose(commands: Sequence[Command]) -> None:
        raise StoreUnavailableError

    recorder.after = lose
    with pytest.raises(StoreUnavailableError):
        store.create(sid, verifiers[0], new_delta(changed={"n": b"1"}))
    recorder.after = lambda commands: None
    created = store.create(sid, verifiers[0], new_delta(changed={"n": b"1"}))
    recorder.after = lose
    with pytest.raises(StoreUnavailableError):
        store.update(sid, verifiers[0], Delta(changed={"n": b"2"}, new_verifier=verifiers[1]), created)
    recorder.after = lambda commands: None
    rotated = store.update(sid, verifiers[0], Delta(changed={"n": b"2"}, new_verifier=verifiers[1]), created)
    assert isinstance(rotated, Loaded)
    assert (rotated.values, rotated.record.version) == ({"n": b"2"}, 2)
    assert stored(store, sid).record == rotated.record
