"""Tenants on one Redis: what is one tenant's is not to be seen, opened or ended by another."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth import login as django_login
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from redis.cluster import key_slot

from django_srvsession import services
from django_srvsession.backends.redis import RedisStore, SessionStore
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.engine import current_store
from django_srvsession.records import EXPIRED, Delta, Ending, Loaded, SessionRecord
from django_srvsession.store import UpdateError
from django_srvsession.store.health import IndexHealth
from django_srvsession.testing.sessions import (
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
)
from tests.backends import tenancy
from tests.backends.tenancy import at
from tests.servers import RedisServer

WAYS: dict[str, tuple[dict[str, Any], Any]] = {
    "key function": ({"KEY_FUNCTION": tenancy.key_function}, None),
    "path of a key function": ({"KEY_FUNCTION": "tests.backends.tenancy.key_function", "VERSION": 2}, None),
    "behind the key": ({"KEY_FUNCTION": tenancy.suffix_function}, None),
    "client": ({"OPTIONS": {"CLIENT_CLASS": "tests.backends.tenancy.Client"}}, None),
    "function": ({}, tenancy.prefix),
    "path of a function": ({}, "tests.backends.tenancy.prefix"),
    "both": ({"KEY_FUNCTION": tenancy.key_function}, tenancy.prefix),
}


@pytest.fixture
def use(redis_server: RedisServer, redis_prefix: str, settings: Any) -> Callable[[str], None]:
    """A function that makes the site one of tenants, in one of the ways above."""

    def use(way: str) -> None:
        entry, prefix = WAYS[way]
        plain = redis_server.cache_settings()
        options = {**plain["OPTIONS"], **entry.get("OPTIONS", {})}
        settings.CACHES = {**settings.CACHES, "sessions": {**plain, **entry, "OPTIONS": options}}
        settings.SESSION_CACHE_ALIAS = "sessions"
        settings.SESSION_ENGINE = "django_srvsession.backends.redis"
        if prefix is not None:
            settings.SRVSESSION_REDIS_PREFIX = prefix

    return use


@pytest.fixture
def names() -> tuple[str, str]:
    """Two tenants whom no other test knows."""
    mark = secrets.token_hex(4)
    return f"one{mark}", f"two{mark}"


@pytest.fixture(params=WAYS)
def store(request: pytest.FixtureRequest, use: Callable[[str], None]) -> RedisStore:
    use(request.param)
    store = current_store()
    assert isinstance(store, RedisStore)
    return store


def test_a_session_of_one_tenant_does_not_open_change_or_end_at_another(
    store: RedisStore, names: tuple[str, str]
) -> None:
    one, two = names
    with at(one):
        session = create(store, user_id="1")
    sid, verifier = session.record.sid, session.record.verifier
    with at(two):
        assert store.load(sid) is None
        for base in (None, session):
            with pytest.raises(UpdateError):
                store.update(sid, verifier, Delta(changed={"a": b"x"}), base)
            with pytest.raises(UpdateError):
                store.update(sid, verifier, Delta(new_verifier=new_verifier()), base)
        assert store.end(sid, Ending("logout")) is None
        assert store.end(sid, EXPIRED) is None
        mine = store.create(sid, new_verifier(), new_delta(user_id="1"))
        assert store.end(sid, Ending("logout")) == mine.record
    with at(one):
        assert stored(store, sid).record == session.record


@pytest.mark.parametrize("way", ["function", "path of a function", "both"])
def test_a_session_that_was_copied_to_another_tenant_opens_for_nobody_there(
    way: str, use: Callable[[str], None], names: tuple[str, str], redis_server: RedisServer
) -> None:
    use(way)
    store = RedisStore()
    with at(names[0]):
        session = SessionStore()
        session.update({"_auth_user_id": "1", "basket": ["book"]})
        session.save()
        place = store.tenants.now().keys.session(session.sid or "")
    with at(names[1]):
        copied = store.tenants.now().keys.session(session.sid or "")
    with redis_server.client() as client:
        assert client.copy(place, copied)
    with at(names[1]):
        assert dict(SessionStore(session.session_key).load()) == {}
        assert not SessionStore().exists(session.session_key)
    with at(names[0]):
        assert SessionStore(session.session_key)["basket"] == ["book"]


def test_lists_counts_limits_and_ends_are_a_tenants_own(store: RedisStore, names: tuple[str, str]) -> None:
    one, two = names
    with at(one):
        mine = [create(store, user_id="1").record.sid for _ in range(3)]
    with at(two):
        theirs = create(store, user_id="1").record.sid
        assert sids(services.sessions_of("1")) == [theirs]
        assert sids(services.live_sessions()) == [theirs]
        assert [step.record.sid for step in store.walk() if step.record] == [theirs]
        assert store.activity().live == 1
        assert store.admit("1", theirs, 1, "refuse") == []
        assert sids(services.revoke_all("1")) == [theirs]
        assert services.revoke(mine[0]) is None
    with at(one):
        assert set(sids(services.sessions_of("1"))) == set(mine)
        assert store.activity().live == 3


def test_a_list_goes_on_with_the_tenant_that_asked_for_it(store: RedisStore, names: tuple[str, str]) -> None:
    one, two = names
    with at(one):
        mine = create(store, user_id="1").record.sid
        lists, walk = [store.records("1"), store.records()], store.walk()
    with at(two):
        create(store, user_id="1")
        assert [sids(list(each)) for each in lists] == [[mine], [mine]]
        assert [step.record.sid for step in walk if step.record] == [mine]


def test_clearing_and_examining_touch_a_tenants_own_only(store: RedisStore, names: tuple[str, str]) -> None:
    one, two = names
    with at(one):
        due = make_due(store, create(store, user_id="1")).record.sid
        live = create(store, user_id="1").record.sid
    with at(two):
        mine = create(store, user_id="1").record.sid
        assert store.clear_expired() == 0
        assert store.check_index(repair=True) == IndexHealth(1, 0, 0, 0)
        make_due(store, stored(store, mine))
        ended: list[str] = []

        def note(record: SessionRecord) -> None:
            ended.append(record.sid)
            tenancy.tenant.set(one)  # Whoever is told may be somebody else's code.

        assert store.clear_expired(on_ended=note) == 1
        assert ended == [mine]
    with at(one):
        assert sids(store.records("1")) == [live]
        assert store.clear_expired(on_ended=lambda record: ended.append(record.sid)) == 1
        assert ended == [mine, due]


def test_what_a_server_lost_of_one_tenants_lists_is_restored_for_that_tenant_only(
    store: RedisStore, names: tuple[str, str]
) -> None:
    one, two = names
    lost = {}
    for name in names:
        with at(name):
            record = lost[name] = create(store, user_id="1").record
            tenant = store.tenants.now()
            live = tenant.keys.live_of("user", record.sid)
            store.transport.exchange([("ZREM", key, record.sid) for key in (tenant.keys.user("1"), live)])
            assert sids(store.records("1")) == []
    with at(two):
        assert store.relist() == 1
        assert sids(services.revoke_all("1")) == [lost[two].sid]
    with at(one):
        assert sids(store.records("1")) == []
        assert sids(asyncio.run(services.arevoke_all("1"))) == [lost[one].sid]


@pytest.mark.parametrize("longer", ["", "s:", "u:{1}", "live:user:00", "sessions:"])
def test_a_tenant_whose_name_begins_like_anothers_is_not_taken_for_it(
    longer: str, use: Callable[[str], None], names: tuple[str, str], redis_server: RedisServer
) -> None:
    use("behind the key")
    store, short, long = RedisStore(), names[0], f"{names[0]}{longer or 'x'}"
    with at(long):
        theirs = create(store, user_id="1").record.sid
        with redis_server.client() as client:
            before = {key: client.type(key) for key in client.scan_iter(f"*{names[0]}*")}
    with at(short):
        assert store.check_index(repair=True) == IndexHealth(0, 0, 0, 0)
        assert store.clear_expired() == 0
    with redis_server.client() as client:
        assert {key: client.type(key) for key in client.scan_iter(f"*{names[0]}*")} == before
    with at(long):
        assert sids(store.records("1")) == [theirs]
        assert store.check_index() == IndexHealth(1, 0, 0, 0)


# Threads and tasks.


def visit(store: RedisStore, name: str, rounds: int) -> Iterator[str]:
    """Use the store as one tenant, again and again; yield what was seen that is not the tenant's."""
    user_id, own = "1", set[str]()
    for number in range(rounds):
        with at(name):
            session = create(store, user_id=user_id, changed={"tenant": name.encode()})
            own.add(session.record.sid)
            found = store.load(session.record.sid)
            if not isinstance(found, Loaded) or found.values["tenant"] != name.encode():
                yield f"{found!r} at {name}"
            listed = set(sids(list(store.records(user_id))))
            if listed != own:
                yield f"{listed ^ own} at {name}"
            if number % 3 == 0:
                store.end(session.record.sid, Ending("logout"))
                own.discard(session.record.sid)


def test_threads_of_two_tenants_see_their_own_only(store: RedisStore, names: tuple[str, str]) -> None:
    with ThreadPoolExecutor(6) as pool:
        seen = pool.map(lambda number: list(visit(store, f"{names[number % 2]}-{number}", 15)), range(6))
        assert [each for of_thread in seen for each in of_thread] == []


async def avisit(store: RedisStore, name: str, rounds: int) -> list[str]:
    """Do as ``visit`` does, in a task of its own."""
    tenancy.tenant.set(name)
    user_id, own, strange = "1", set[str](), list[str]()
    for number in range(rounds):
        changed = {"tenant": name.encode()}
        session = await store.face().create(new_sid(), new_verifier(), new_delta(user_id=user_id, changed=changed))
        sid, verifier = session.record.sid, session.record.verifier
        own.add(sid)
        await store.face().update(sid, verifier, Delta(changed={"n": b"x"}), session)
        found = await store.face().load(sid)
        if not isinstance(found, Loaded) or found.values["tenant"] != name.encode():
            strange.append(f"{found!r} at {name}")
        listed = set(sids(list(await store.face().records(user_id))))
        if listed != own:
            strange.append(f"{listed ^ own} at {name}")
        if number % 3 == 0:
            await store.face().end(sid, Ending("logout"))
            own.discard(sid)
    return strange


def test_tasks_of_two_tenants_in_one_loop_see_their_own_only(store: RedisStore, names: tuple[str, str]) -> None:
    async def both() -> list[list[str]]:
        return await asyncio.gather(*(avisit(store, f"{names[number % 2]}-{number}", 6) for number in range(6)))

    assert asyncio.run(both()) == [[]] * 6


def test_a_key_function_that_looks_at_a_thread_is_asked_in_the_thread_of_sync_code(
    use: Callable[[str], None], settings: Any, names: tuple[str, str]
) -> None:
    use("key function")
    entry = {**settings.CACHES["sessions"], "KEY_FUNCTION": tenancy.key_function_of_thread}
    settings.CACHES = {**settings.CACHES, "sessions": entry}
    store = RedisStore()

    async def as_tenant(name: str) -> str:
        def enter() -> None:
            tenancy.of_thread.tenant = name

        await sync_to_async(enter)()
        session = await store.face().create(new_sid(), new_verifier(), new_delta(user_id="1"))
        return session.record.sid

    async def both() -> list[str]:
        return [await as_tenant(name) for name in names]

    one, two = asyncio.run(both())
    tenancy.of_thread.tenant = names[0]
    try:
        assert sids(store.records("1")) == [one]
        tenancy.of_thread.tenant = names[1]
        assert sids(store.records("1")) == [two]
    finally:
        del tenancy.of_thread.tenant


# Through the site: pages, admin, commands.


def sign_in(request: HttpRequest) -> HttpResponse:
    user = get_user_model().objects.get(username="boss")
    django_login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def whoami(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username(), "sid": request.session.sid})


async def awhoami(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "sid": request.session.sid})


urlpatterns = [
    path("sign-in/", sign_in),
    path("whoami/", whoami),
    path("a/whoami/", awhoami),
    path("", include("tests.admin_site")),
]


@pytest.fixture
def site(transactional_db: None, settings: Any) -> Any:
    """A site of two tenants, told by a header, with one user each whose primary keys are equal."""
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["tests.backends.tenancy.ByHeader", *settings.MIDDLEWARE]
    return get_user_model().objects.create_superuser("boss", "boss@example.org", "x")


def of(name: str) -> dict[str, Any]:
    return {"headers": {"X-Tenant": name}}


@pytest.mark.parametrize("way", ["key function", "function"])
def test_a_cookie_of_one_tenant_opens_nothing_at_another_and_its_pages_show_own_sessions(
    way: str, use: Callable[[str], None], names: tuple[str, str], site: Any
) -> None:
    use(way)
    one, two = names
    client, other = Client(), Client()
    client.get("/sign-in/", **of(one))
    other.get("/sign-in/", **of(two))
    (sid,), (their_sid,) = ([each.get("/whoami/", **of(h)).json()["sid"]] for each, h in ((client, one), (other, two)))
    assert client.get("/whoami/", **of(two)).json() == {"user": "", "sid": None}
    browser = AsyncClient()
    browser.cookies = other.cookies
    seen = [asyncio.run(browser.get("/a/whoami/", **of(name))).json() for name in (one, two)]
    assert [each["user"] for each in seen] == ["", "boss"]
    rows = other.get("/admin/srvsession/livesession/", **of(two)).context["cl"].result_list
    assert [row.sid for row in rows] == [their_sid]
    assert other.get(f"/admin/srvsession/livesession/{sid}/change/", **of(two)).status_code == 302
    other.post(f"/admin/srvsession/livesession/end-user/?user={site.pk}", {"user": site.pk, "post": "yes"}, **of(two))
    assert client.get("/whoami/", **of(one)).json()["user"] == "boss"


def run(command: str, *arguments: str) -> Any:
    stdout = io.StringIO()
    call_command(command, *arguments, "--json", stdout=stdout)
    return json.loads(stdout.getvalue())


@pytest.mark.parametrize("way", ["key function", "function"])
def test_commands_are_for_the_tenant_that_they_run_as(
    way: str, use: Callable[[str], None], names: tuple[str, str], transactional_db: None
) -> None:
    use(way)
    one, two = names
    user_id, store = new_user(), current_store()
    with at(one):
        mine = create(store, user_id=user_id).record.sid
        make_due(store, create(store, user_id=user_id))
    with at(two):
        theirs = create(store, user_id=user_id).record.sid
        assert run("listsessions_srv")["sid"] == theirs
        assert run("sessionstats_srv")["live"] == 1
        (index,) = [each for each in run("doctorsessions_srv", "--repair") if each["name"] == "index"]
        assert index["level"] == "ok"
        assert run("clearsessions_srv")["expired"] == 0
        assert run("revokesessions_srv", "--everyone", "--no-input")["ended"] == 1
    with at(one):
        assert sids(store.records(user_id)) == [mine]
        assert run("clearsessions_srv")["expired"] == 1


# What is said of it.


@pytest.mark.parametrize("value", [None, "", 7, b"x"])
def test_a_function_that_returns_no_text_is_told_and_is_nobodys_prefix(
    value: Any, use: Callable[[str], None], settings: Any
) -> None:
    use("function")
    settings.SRVSESSION_REDIS_PREFIX = lambda: value
    store = RedisStore()
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_REDIS_PREFIX returned"):
        store.load(new_sid())
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_REDIS_PREFIX returned"):
        asyncio.run(store.face().load(new_sid()))


def test_an_alias_that_says_nothing_of_its_keys_adds_nothing_and_is_never_asked(
    redis_alias: str, redis_prefix: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "django_redis.client.DefaultClient.make_key", lambda *arguments, **options: pytest.fail("asked")
    )
    store = RedisStore()
    sid = create(store).record.sid
    with redis_server.client() as client:
        assert client.exists(f"{redis_prefix}s:{sid}")


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"KEY_PREFIX": "site"}, "site:1:{prefix}s:{sid}"),
        ({"VERSION": 3}, ":3:{prefix}s:{sid}"),
        ({"KEY_FUNCTION": tenancy.key_function, "KEY_PREFIX": "site"}, "public:site:1:{prefix}s:{sid}"),
    ],
)
def test_keys_are_what_the_alias_makes_of_the_prefix(
    entry: dict[str, Any], key: str, redis_alias: str, redis_prefix: str, redis_server: RedisServer, settings: Any
) -> None:
    settings.CACHES = {**settings.CACHES, redis_alias: {**settings.CACHES[redis_alias], **entry}}
    sid = create(RedisStore()).record.sid
    with redis_server.client() as client:
        assert client.exists(key.format(prefix=redis_prefix, sid=sid))


@pytest.mark.parametrize("prefix", ["p:", "{tenant}:", "}{", "{", "a{}b", "%7Bx%7D", "é\udc80:"])
def test_a_users_index_keeps_its_slot_whatever_the_prefix(prefix: str) -> None:
    keys = Keys(prefix)
    assert key_slot(keys.user("1").encode("utf-8", "surrogatepass")) == key_slot(b"1")
    shards = {key_slot(key.encode("utf-8", "surrogatepass")) for _, key in keys.all_live}
    assert len(shards) > 16


def test_prefixes_with_braces_are_told_apart() -> None:
    prefixes = ["{a}", "%7Ba%7D", "%257Ba%257D", "a"]
    assert len({Keys(prefix).session("x") for prefix in prefixes}) == len(prefixes)


@pytest.mark.parametrize("value", ["no.such.function", "tests.backends.tenancy.tenant_", None, 7, b"x:", ["x:"]])
def test_a_prefix_that_is_neither_text_nor_function_is_reported(value: Any, settings: Any) -> None:
    settings.SRVSESSION_REDIS_PREFIX = value
    assert "srvsession.E002" in {message.id for message in run_checks()}


@pytest.mark.parametrize("value", ["x:", "site.example:", "", "tests.backends.tenancy.prefix", tenancy.prefix])
def test_a_prefix_that_is_text_or_a_function_is_fine(value: Any) -> None:
    with override_settings(SRVSESSION_REDIS_PREFIX=value):
        assert "srvsession.E002" not in {message.id for message in run_checks()}
