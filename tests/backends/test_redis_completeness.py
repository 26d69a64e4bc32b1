"""What a list of the Redis store has lost: found by who ends all sessions of a user, and by clearsessions_srv."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import call_command

from django_srvsession import services
from django_srvsession.admin.ending import end_sessions_of
from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from django_srvsession.backends.redis.checks import messages
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.engine import current_store
from django_srvsession.operations.clearing import PacedClearing
from django_srvsession.records import Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.health import IndexHealth
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, sids
from tests.backends.redis_tools import Recorder, own_pool
from tests.backends.test_redis_cluster import begin_move
from tests.redis_servers import ReplicatedCluster
from tests.runs import wait_until
from tests.servers import RedisServer
from tests.trust import WHOLE


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be restarted, with its data kept."""
    server = RedisServer(appendonly=True, extra=["--repl-diskless-sync-delay", "0"])
    server.start()
    yield server
    server.kill()


@pytest.fixture
def store(server: RedisServer, redis_prefix: str, settings: Any) -> RedisStore:
    own_pool(settings, server.url)
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    store = current_store()
    assert isinstance(store, RedisStore)
    return store


def take_off_the_lists(server: RedisServer, keys: Keys, record: SessionRecord) -> None:
    """Take a session off all lists, as a server does that has lost what it acknowledged."""
    with server.client() as client:
        if record.user_id is not None:
            client.zrem(keys.user(record.user_id), record.sid)
        for _, key in keys.all_live:
            client.zrem(key, record.sid)


def lost(store: RedisStore, server: RedisServer, keys: Keys, user_id: str | None) -> SessionRecord:
    """Make a live session that no list has."""
    record = create(store, **({} if user_id is None else {"user_id": user_id})).record
    take_off_the_lists(server, keys, record)
    return record


def has_ended(store: RedisStore, record: SessionRecord) -> bool:
    return isinstance(store.load(record.sid), Tombstone)


def end_all_async(user_id: str) -> list[SessionRecord]:
    return asyncio.run(services.arevoke_all(user_id))


@pytest.mark.parametrize("revoke_all", [services.revoke_all, end_all_async], ids=["sync", "async"])
def test_who_is_signed_out_everywhere_is_signed_out_of_what_no_list_has(
    store: RedisStore, server: RedisServer, keys: Keys, revoke_all: Any
) -> None:
    user_id = new_user()
    listed, unlisted, other = create(store, user_id=user_id).record, lost(store, server, keys, user_id), create(store)
    assert sids(services.sessions_of(user_id)) == [listed.sid]
    assert {record.sid for record in revoke_all(user_id)} == {listed.sid, unlisted.sid}
    assert has_ended(store, listed)
    assert has_ended(store, unlisted)
    assert isinstance(store.load(other.record.sid), Loaded)


def test_a_server_that_was_restarted_may_have_lost_what_lists_a_session(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    user_id = new_user()
    store.ensure_listed()
    unlisted = lost(store, server, keys, user_id)
    server.restart()
    assert services.revoke_all(user_id) == [unlisted]
    assert has_ended(store, unlisted)


def test_all_sessions_are_looked_at_once_and_then_not_until_a_server_may_have_lost_something(
    store: RedisStore, server: RedisServer
) -> None:
    session, recorder = create(store, user_id=new_user()), Recorder(store)
    assert services.revoke_all(session.record.user_id) == [session.record]
    assert ["GETRANGE"] in recorder.names
    for _ in range(2):
        recorder.trips.clear()
        assert services.revoke_all(session.record.user_id) == []
        asks = [["ZRANGEBYSCORE", "TIME"], ["INFO"], ["GET"], ["ZRANGEBYSCORE", "TIME"]]
        assert recorder.names == asks
    assert RedisStore().completeness.is_known()  # To another process, too.
    server.restart()
    assert not store.completeness.is_known()
    services.revoke_all(session.record.user_id)
    assert store.completeness.is_known()


def test_what_another_process_has_listed_meanwhile_is_not_missed(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    user_id = new_user()
    listed, unlisted = create(store, user_id=user_id).record, lost(store, server, keys, user_id)
    found = services.all_sessions_of(user_id)
    assert next(found) == listed  # The list has been read.
    assert RedisStore().relist() == 1
    assert store.completeness.is_known()
    assert list(found) == [unlisted]


def test_a_server_that_is_lost_while_all_sessions_are_looked_at_is_not_taken_for_complete(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    lost(store, server, keys, new_user())
    assert store.relist(on_batch=server.restart) == 1
    assert not store.completeness.is_known()


def test_where_info_is_refused_all_sessions_are_looked_at_each_time_and_a_check_says_so(
    store: RedisStore, server: RedisServer, keys: Keys, settings: Any
) -> None:
    user_id = new_user()
    create(store)
    with server.client() as client:
        client.acl_setuser("silent", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    own_pool(settings, server.url.replace("redis://", "redis://silent:any@"))
    silent = RedisStore()
    for _ in range(2):
        unlisted = lost(store, server, keys, user_id)
        assert silent.ensure_listed()
        assert sids(silent.records(user_id)) == [unlisted.sid]
        silent.end(unlisted.sid, Ending("logout"))
    assert "srvsession.W107" in {message.id for message in messages(True)}


def test_ending_by_the_command_reaches_what_no_list_has(store: RedisStore, server: RedisServer, keys: Keys) -> None:
    user_id = new_user()
    unlisted, visitor = lost(store, server, keys, user_id), lost(store, server, keys, None)
    call_command("revokesessions_srv", "--user-id", user_id, "--no-input", stdout=io.StringIO())
    assert has_ended(store, unlisted)
    store.end(visitor.sid, Ending("logout"))
    again = lost(store, server, keys, None)
    server.restart()
    call_command("revokesessions_srv", "--everyone", "--no-input", stdout=io.StringIO())
    assert has_ended(store, again)


@pytest.mark.django_db
def test_ending_by_the_admin_reaches_what_no_list_has(
    store: RedisStore, server: RedisServer, keys: Keys, rf: Any, admin_user: Any
) -> None:
    user_id = new_user()
    unlisted = lost(store, server, keys, user_id)
    request = rf.post("/")
    request.user, request._messages = admin_user, CookieStorage(request)
    end_sessions_of(request, admin.site, [user_id], "all sessions of the user")
    assert has_ended(store, unlisted)


@pytest.mark.django_db
def test_clearing_lists_what_no_list_has(store: RedisStore, server: RedisServer, keys: Keys) -> None:
    user_id = new_user()
    store.ensure_listed()
    unlisted, visitor = lost(store, server, keys, user_id), lost(store, server, keys, None)

    def clear(*options: str) -> Any:
        output = io.StringIO()
        call_command("clearsessions_srv", *options, stdout=output)
        return output.getvalue()

    assert json.loads(clear("--json", "--dry-run"))["relisted"] == 0
    assert "Listed 2 live sessions that no list had." in clear()
    assert json.loads(clear("--json"))["relisted"] == 0
    assert sids(services.sessions_of(user_id)) == [unlisted.sid]
    assert {record.sid for record in services.live_sessions()} == {unlisted.sid, visitor.sid}
    assert store.check_index() == IndexHealth(2, 0, 0, 0)


@pytest.mark.django_db
def test_clearing_whose_time_is_up_begins_with_the_lists_the_next_time(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    lost(store, server, keys, None)

    def clear(**options: Any) -> PacedClearing:
        clearing = PacedClearing(pause=0, **options)
        clearing.run()
        return clearing

    stopped = clear(budget_seconds=0)
    assert (stopped.is_complete, stopped._resume_at) == (False, "lists")
    again = clear()
    assert (again.is_complete, again._resume_at) == (True, "")


def test_clearing_goes_through_all_sessions_in_batches_and_may_be_stopped(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    for _ in range(1500):
        create(store)

    batches = 0

    def stop() -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.relist(on_batch=stop)
    assert not store.completeness.is_known()
    with server.client() as client:
        client.mset({f"theirs:{number}": "x" for number in range(5000)})
    recorder = Recorder(store)
    store.relist()
    assert max(map(len, recorder.trips)) <= 1000
    assert min(map(len, recorder.trips)) >= 1  # Nothing is asked where there was no session among the keys.
    assert store.completeness.is_known()


def follow(replica: RedisServer, primary: RedisServer) -> None:
    """Make one server the primary and the other its replica, with all of its data, and with all that it followed."""
    with replica.client() as client:
        if client.info("replication")["connected_slaves"]:
            client.set("replicated", 1)
            assert client.wait(1, 10_000) == 1
    with primary.client() as client:
        client.replicaof("NO", "ONE")
    with replica.client() as client:
        client.replicaof(primary.host, str(primary.port))
        job = replica.job
        assert job
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", job)


def test_a_primary_that_another_took_the_place_of_meanwhile_is_not_what_it_was(
    store: RedisStore, server: RedisServer, keys: Keys
) -> None:
    user_id = new_user()
    other = RedisServer(extra=["--repl-diskless-sync-delay", "0"])
    other.start()
    try:
        follow(other, server)
        store.ensure_listed()
        assert store.completeness.is_known()
        unlisted = lost(store, server, keys, user_id)
        follow(server, other)
        with pytest.raises(StoreUnavailableError):
            store.relist()  # A replica lists nothing.
        follow(other, server)  # The same process as before, with the data of the other.
        assert not store.completeness.is_known()
        assert services.revoke_all(user_id) == [unlisted]
    finally:
        other.kill()


# On a cluster.


@pytest.fixture
def cluster(replicated_cluster: ReplicatedCluster) -> ReplicatedCluster:
    return replicated_cluster


@pytest.fixture
def on_cluster(cluster: ReplicatedCluster, redis_prefix: str, settings: Any) -> RedisStore:
    own_pool(settings, cluster.running[0].url, CONNECTION_FACTORY=CLUSTER_FACTORY)
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    store = current_store()
    assert isinstance(store, RedisStore)
    return store


def test_while_slots_of_a_cluster_move_no_look_is_taken_for_complete(
    cluster: ReplicatedCluster, on_cluster: RedisStore, keys: Keys
) -> None:
    key = keys.session(create(on_cluster).record.sid)
    source = cluster.owner(key)
    target = next(node for node in cluster.running if node.is_primary and node.id != source.id)
    begin_move(source, target, key)
    on_cluster.ensure_listed()
    assert not on_cluster.completeness.is_known()
    cluster.move_slot_of(key, target)
    on_cluster.ensure_listed()
    assert on_cluster.completeness.is_known()
    assert on_cluster.check_index().unlisted == 0


@pytest.mark.skipif(not WHOLE, reason="make trust: a node dies, and its replica takes over")
def test_a_fail_over_that_lost_what_lists_a_session_signs_nobody_in_who_was_signed_out_everywhere(
    cluster: ReplicatedCluster, on_cluster: RedisStore, keys: Keys
) -> None:
    user_id = new_user()
    assert on_cluster.ensure_listed()
    assert on_cluster.completeness.is_known()
    dying = cluster.owner(keys.user(user_id))
    (replica,) = cluster.replicas_of(dying)
    sid = next(sid for sid in iter(new_sid, "") if cluster.owner(keys.session(sid)).id != dying.id)
    replica.freeze()
    dying.ask("CLIENT", "KILL", "TYPE", "replica")
    on_cluster.create(sid, new_verifier(), new_delta(user_id=user_id))  # Acknowledged, and on one node only.
    dying.kill()
    replica.thaw()

    def is_promoted() -> bool:
        try:
            return list(on_cluster.records(user_id)) == []
        except StoreUnavailableError:
            return False

    job = replica.job
    assert job
    try:
        wait_until(is_promoted, job, 30)
        assert isinstance(on_cluster.load(sid), Loaded)
        wait_until(lambda: _ends(user_id, sid), job, 30)
        assert isinstance(on_cluster.load(sid), Tombstone)
    finally:
        dying.start()
        cluster.wait_ready()


def _ends(user_id: str, sid: str) -> bool:
    """Tell whether "sign out everywhere" is acknowledged, and has ended this session."""
    try:
        ended = services.revoke_all(user_id)
    except StoreUnavailableError:
        return False
    assert sids(ended) == [sid]
    return True
