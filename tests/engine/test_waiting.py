"""Who ends all sessions of a user ends those too that still wait in the engine which the site moves from."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import update_session_auth_hash
from django.core.management import call_command
from django.test import Client, override_settings

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from django_srvsession.store import StoreUnavailableError
from tests.engine.every_store import on_every_store
from tests.engine.other_engine import OtherEngine, on_every_engine, on_every_engine_that_ends, other
from tests.engine.pages import Browser, at_once, login, logout, make_user, name_user, put, read, rotate, sid
from tests.engine.steps import Server, first, first_back, old, on, ours, second, second_back, user_on, visit
from tests.engine.watched import WatchedStore
from tests.trust import rounds

__all__ = ["first", "first_back", "old", "other", "ours", "second", "second_back"]

ELSEWHERE = "django_srvsession.backends.db"


def end_all(user: Any, **options: Any) -> None:
    services.revoke_all(user, **options)


def aend_all(user: Any, **options: Any) -> None:
    async_to_sync(services.arevoke_all)(user, **options)


def why(request: Any) -> Any:
    """Show why the session before has ended, once it was read."""
    request.session.get("a")
    ended = request.session.ended
    return None if ended is None else [ended.reason, ended.by_owner]


# In the second step.


@on_every_engine
@pytest.mark.parametrize("ends", [end_all, aend_all])
def test_a_session_that_waits_ends_with_all_others_of_its_user(
    other: OtherEngine, ann: Any, bob: Any, ends: Callable[..., None]
) -> None:
    waiting, another = other.browser(put(a=1), user=ann), other.browser(user=bob)
    ends(ann, by=bob)
    copy = waiting.copy()
    assert waiting.show(why) == ["revoked", False]
    assert copy.show(read) == {}
    assert not services.sessions_of(ann)
    assert another.user() == "bob"


@on_every_store
def test_it_does_on_every_store(other: OtherEngine, ann: Any) -> None:
    waiting, carried = other.browser(user=ann), other.browser(user=ann)
    assert carried.user() == "ann"
    services.revoke_all(ann, keep=carried.show(sid))
    services.clear_expired()
    assert waiting.user() == ""
    assert waiting.user() == ""
    assert carried.user() == "ann"


def test_a_waiting_visitor_who_is_not_signed_in_stays(other: OtherEngine, ann: Any) -> None:
    waiting = other.browser(put(a=1))
    services.revoke_all(ann)
    assert waiting.show(read) == {"a": 1}


@on_every_engine
def test_the_session_that_is_kept_is_found_by_its_old_key_too(other: OtherEngine, ann: Any) -> None:
    """The answer that brought the new one may be lost."""
    own, waiting = other.browser(user=ann), other.browser(put(a=1), user=ann)
    before = own.copy()
    services.revoke_all(ann, keep=own.show(sid))
    assert own.user() == before.user() == "ann"
    assert waiting.user() == ""


@on_every_engine_that_ends
def test_it_ends_in_its_engine_too(other: OtherEngine, ann: Any, engine: Any) -> None:
    waiting = other.browser(user=ann)
    key = waiting.cookie or ""
    assert engine.SessionStore().exists(key)
    services.revoke_all(ann)
    assert not engine.SessionStore().exists(key)
    assert waiting.user() == ""
    assert not other.has(key)


def test_the_command_carries_none_of_them_over(other: OtherEngine, ann: Any, bob: Any) -> None:
    for user in (ann, ann, bob):
        other.browser(user=user)
    services.revoke_all(ann)
    call_command("migratesessions_srv", "--from", other.path, stdout=io.StringIO())
    assert not services.sessions_of(ann)
    assert len(services.sessions_of(bob)) == 1


def test_a_user_who_was_inactive_for_a_while_does_not_get_them_back(other: OtherEngine, ann: Any) -> None:
    waiting = other.browser(user=ann)
    for is_active in (False, True):
        ann.is_active = is_active
        ann.save()
    assert waiting.user() == ""


def test_the_command_that_ends_all_of_a_user_reaches_them(
    other: OtherEngine, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, carried, asked = other.browser(user=ann), other.browser(user=ann), list[str]()
    monkeypatch.setattr("django_srvsession.management.commands.revokesessions_srv.ask", asked.append)
    for chosen in ("--dry-run", "--inactive=30d", "--anonymous"):
        call_command("revokesessions_srv", "--user", "ann", "--no-input", chosen, stdout=io.StringIO())
    assert carried.user() == "ann"
    services.revoke(carried.show(sid))
    call_command("revokesessions_srv", "--user", "ann", stdout=io.StringIO())
    assert asked == ["End 0 sessions, and those that wait in the other engine?"]
    assert waiting.user() == ""


def test_the_admin_that_ends_all_of_a_user_reaches_them(other: OtherEngine, ann: Any, settings: Any) -> None:
    waiting, boss = other.browser(user=ann), Client()
    boss.force_login(make_user("boss", is_staff=True, is_superuser=True))
    chosen = {"action": "log_out_selected_users", "_selected_action": [ann.pk], "post": "yes"}
    with override_settings(ROOT_URLCONF="tests.admin_site"):
        assert boss.post("/admin/auth/user/", chosen).status_code == 302
    assert waiting.user() == ""


def test_a_mark_is_in_no_list_and_names_nobody(other: OtherEngine, ann: Any, store: WatchedStore) -> None:
    services.revoke_all(ann)
    assert not services.live_sessions()
    (mark,) = [asked.args for asked in store.asked if asked.verb == "create"]
    tombstone = store.load(mark[0])
    assert tombstone.user_id is None
    assert mark[0] == SessionKey.marking(str(ann.pk), 0)[0].sid


def test_without_a_move_ending_all_costs_what_it_did(ann: Any, store: WatchedStore) -> None:
    store.asked.clear()
    services.revoke_all(ann)
    assert store.verbs == ["records"]


def test_each_further_end_of_all_costs_few_steps(other: OtherEngine, ann: Any, store: WatchedStore) -> None:
    """Some sites end all others at each sign-in."""
    for _ in range(100):
        services.revoke_all(ann)
    store.asked.clear()
    services.revoke_all(ann)
    assert len(store.asked) < 20
    assert other.browser(user=ann).user() == ""


def test_a_mark_is_found_when_the_secret_is_another_one(other: OtherEngine, ann: Any, settings: Any) -> None:
    waiting = other.browser(user=ann)
    services.revoke_all(ann)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another, another, another, another, another, another, another"
    assert waiting.user() == ""


# Carrying over and ending at the same time.


@pytest.mark.parametrize("verb", ["restore", "load"])
def test_what_is_being_carried_over_while_all_end_ends(
    other: OtherEngine, ann: Any, store: WatchedStore, verb: str
) -> None:
    """All end after the request has looked for the session, or for the mark."""
    waiting = other.browser(user=ann)
    copy, seen = waiting.copy(), []

    def before(verb_now: str) -> None:
        seen.append(verb_now)
        if verb_now == verb and (verb == "restore" or len(seen) == 2):
            store.before = lambda verb: None
            services.revoke_all(ann)

    store.before = before
    assert waiting.user() == ""
    assert copy.user() == ""
    assert not services.sessions_of(ann)


@pytest.mark.parametrize("verb", ["load", "create", "end", "records"])
def test_what_is_carried_over_before_any_step_of_the_end_ends(
    other: OtherEngine, ann: Any, store: WatchedStore, verb: str
) -> None:
    waiting = other.browser(user=ann)
    copy = waiting.copy()

    def before(verb_now: str) -> None:
        if verb_now == verb:
            store.before = lambda verb: None
            waiting.user()

    store.before = before
    services.revoke_all(ann)
    assert waiting.user() == ""
    assert copy.user() == ""
    assert not services.sessions_of(ann)


@on_every_store
def test_whoever_is_first_nothing_is_left(other: OtherEngine, ann: Any) -> None:
    def end() -> None:  # SQLite in memory lets nobody wait for its lock.
        while True:
            with contextlib.suppress(StoreUnavailableError):
                services.revoke_all(ann)
                return

    for _ in range(rounds(20)):
        browsers = [other.browser(user=ann) for _ in range(4)]
        copies = [browser.copy() for browser in browsers]
        at_once([*(lambda each=each: each.visit(name_user) for each in browsers), end])
        assert [browser.user() for browser in (*browsers, *copies)] == [""] * 8
        assert not services.sessions_of(ann)


# While the old engine keeps the sessions.


@on_every_engine
@pytest.mark.parametrize("asgi", [False, True])
def test_in_the_first_step_they_end_at_their_next_request(
    other: OtherEngine, ann: Any, first: Server, second: Server, asgi: bool
) -> None:
    waiting = other.browser(put(a=1), user=ann, asgi=asgi)
    assert user_on(first, waiting) == "ann"
    copy, another = waiting.copy(), waiting.copy()
    with first():
        services.revoke_all(ann)
    assert user_on(first, waiting) == ""
    assert on(first, copy, read) == {}
    assert user_on(second, another) == ""


@on_every_engine
def test_who_signs_in_afterwards_stays_in_either_step(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    with first():
        services.revoke_all(ann)
        services.revoke_all(ann)
    browsers = []
    for servers in ((first, first), (first, second), (second, first), (second, second)):
        browser = Browser()
        visit(servers[0], browser, login(ann))
        visit(servers[0], browser, rotate)
        assert user_on(servers[1], browser) == "ann"
        browsers.append(browser)
    with second():
        services.revoke_all(ann)
    assert [user_on(first, browser) for browser in browsers] == [""] * 4


def test_a_new_address_ends_what_waits_and_not_who_gives_it(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    """In the first step it ends nothing in the old engine: nobody could tell the session that changes it."""

    def change(request: Any) -> None:
        request.user.email = f"{request.user.email}.example"
        request.user.save()

    own, waiting = other.browser(user=ann), other.browser(user=ann)
    on(first, own, change)
    assert user_on(first, own) == user_on(first, waiting) == "ann"
    on(second, own, change)
    assert user_on(second, own) == "ann"
    assert user_on(second, waiting) == ""


@pytest.mark.parametrize("step", ["first", "second_back"])
def test_who_changes_the_password_stays_while_the_old_engine_keeps_the_session(
    other: OtherEngine, ann: Any, request: pytest.FixtureRequest, step: str
) -> None:
    server = request.getfixturevalue(step)
    own, another = Browser(), Browser()
    for browser in (own, another):
        visit(server, browser, login(ann))

    def change(request: Any) -> None:
        request.user.set_password("another")
        request.user.save()
        update_session_auth_hash(request, request.user)

    on(server, own, change)
    assert user_on(server, own) == "ann"
    assert user_on(server, another) == ""


def test_who_signs_in_after_an_end_that_failed_half_way_stays(
    other: OtherEngine, ann: Any, store: WatchedStore, first: Server
) -> None:
    waiting = other.browser(user=ann)
    store.out = {"records"}
    with first(), pytest.raises(StoreUnavailableError):
        services.revoke_all(ann)
    store.come_back()
    browser = Browser()
    visit(first, browser, login(ann))
    assert user_on(first, browser) == "ann"
    assert user_on(first, waiting) == ""


def test_a_note_that_a_visitor_writes_is_no_note(other: OtherEngine, ann: Any, first: Server) -> None:
    """A view may keep whatever names a visitor sends."""
    waiting = other.browser(put(_srvsession_after=[5, "f" * 64]), user=ann)
    services.revoke_all(ann)
    assert waiting.user() == ""


def test_a_note_counts_for_nobody_else(other: OtherEngine, ann: Any, bob: Any, first: Server) -> None:
    """Some code exchanges the user of a session without signing in."""
    with first():
        services.revoke_all(ann)
    browser = Browser()
    visit(first, browser, login(ann))
    on(first, browser, put(_auth_user_id=str(bob.pk), _auth_user_hash=bob.get_session_auth_hash()))
    with first():
        services.revoke_all(bob)
    assert user_on(first, browser) == ""


# On the way back.


@on_every_engine
def test_on_the_way_back_who_signed_in_afterwards_stays(
    other: OtherEngine, ann: Any, first: Server, second: Server, first_back: Server, second_back: Server
) -> None:
    with second():
        services.revoke_all(ann)
    browser, another = Browser(), Browser()
    visit(second, browser, login(ann))
    assert user_on(second_back, browser) == "ann"
    assert user_on(second_back, browser) == "ann"
    assert user_on(first_back, browser) == "ann"
    visit(second_back, another, login(ann))
    assert user_on(second_back, another) == "ann"


@on_every_engine
def test_who_has_gone_back_is_reached_too(
    other: OtherEngine, ann: Any, second: Server, first_back: Server, second_back: Server
) -> None:
    browser = Browser()
    visit(second, browser, login(ann))
    before = browser.copy()
    assert user_on(second_back, browser) == "ann"
    with second_back():
        services.revoke_all(ann)
    for server in (second_back, first_back):
        assert user_on(server, browser.copy()) == ""
        assert user_on(server, before.copy()) == ""


@on_every_engine_that_ends
def test_one_that_ends_while_it_goes_back_has_ended(
    other: OtherEngine, ann: Any, store: WatchedStore, second: Server, second_back: Server
) -> None:
    browser = Browser()
    visit(second, browser, login(ann))
    copy = browser.copy()

    def before(verb: str) -> None:
        if verb == "end":
            store.before = lambda verb: None
            (record,) = services.sessions_of(ann)
            services.revoke(record.sid)

    store.before = before
    visit(second_back, browser, read)
    assert user_on(second_back, browser) == ""
    assert user_on(second_back, copy) == ""


# Between stores of ours.


@pytest.fixture
def between(other: OtherEngine, ours: str) -> tuple[Server, Server]:
    """Servers of the two steps from a store of ours to another."""

    def server(engine: str, **names: str) -> Server:
        settings = {"SRVSESSION_MIGRATE_FROM": None, "SRVSESSION_MIGRATE_TO": None, **names}
        return lambda: override_settings(SESSION_ENGINE=engine, **settings)

    return server(ours, SRVSESSION_MIGRATE_TO=ELSEWHERE), server(ELSEWHERE, SRVSESSION_MIGRATE_FROM=ours)


def test_between_stores_of_ours_they_end_on_both_sides(ann: Any, bob: Any, between: tuple[Server, Server]) -> None:
    here, there = between
    for ending in between:
        waiting, moved, kept, another = Browser(), Browser(), Browser(), Browser()
        for browser, user in ((waiting, ann), (moved, ann), (kept, ann), (another, bob)):
            visit(here, browser, login(user))
        assert user_on(there, moved) == "ann"
        keep = on(here, kept, sid)
        with ending():
            assert len(services.revoke_all(ann, keep=keep)) == 2
        for server in between:
            assert [user_on(server, browser.copy()) for browser in (waiting, moved)] == ["", ""]
        assert user_on(there, kept) == "ann"
        assert user_on(there, another) == "bob"
        visit(there, kept, logout)


@pytest.mark.parametrize("verb", ["load", "end"])
def test_one_that_ends_while_it_moves_has_ended(
    ann: Any, store: WatchedStore, between: tuple[Server, Server], verb: str
) -> None:
    here, there = between
    browser = Browser()
    visit(here, browser, login(ann))
    copy = browser.copy()

    def before(verb_now: str) -> None:
        if verb_now == verb:
            store.before = lambda verb: None
            with there():
                services.revoke_all(ann)

    store.before = before
    visit(there, browser, read)
    store.before = lambda verb: None
    assert user_on(there, browser) == ""
    assert user_on(there, copy) == ""


def test_one_that_is_ended_where_it_was_while_it_moves_has_ended(
    ann: Any, store: WatchedStore, between: tuple[Server, Server]
) -> None:
    here, there = between
    browser = Browser()
    visit(here, browser, login(ann))
    copy = browser.copy()

    def before(verb: str) -> None:
        if verb == "end":
            store.before = lambda verb: None
            with here():
                (record,) = services.sessions_of(ann)
                assert services.revoke(record.sid)

    store.before = before
    visit(there, browser, read)
    assert user_on(there, browser) == ""
    assert user_on(there, copy) == ""
