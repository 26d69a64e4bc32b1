"""Live sessions in the admin: list, detail, filters, search, ending, permissions; and the mixin for users."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from django_srvsession import services
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.checks import check_settings
from django_srvsession.engine import current_store
from django_srvsession.models import LiveSession, SessionEvent
from django_srvsession.records import Client as Seen
from django_srvsession.records import Delta, SessionRecord, Tombstone
from django_srvsession.store import Store, StoreUnavailableError, listings
from django_srvsession.testing.sessions import create, stored, touch_later

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
LIST = "/admin/srvsession/livesession/"
HOUR_MS = 3_600_000

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin_site")]


@pytest.fixture(autouse=True)
def _empty_store(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def boss() -> Client:
    """A superuser's browser."""
    return signed_in(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))


@pytest.fixture
def viewer() -> Client:
    """The browser of one who may only view live sessions."""
    return signed_in(member("viewer", "view"))


@pytest.fixture
def clerk() -> Client:
    """The browser of one who may view live sessions, and users."""
    return signed_in(member("clerk", "view", "view_user"))


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice", "Alice@example.org")


def member(name: str, *verbs: str) -> Any:
    user = get_user_model().objects.create_user(name, is_staff=True)
    names = [verb if "_" in verb else f"{verb}_livesession" for verb in verbs]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def signed_in(user: Any) -> Client:
    client = Client(HTTP_USER_AGENT=FIREFOX)
    client.force_login(user)
    return client


def session_of(user: Any = None, agent: str = FIREFOX, ip: str = "192.0.2.1", **values: Any) -> SessionRecord:
    """Store a session of somebody's, with values; return its record."""
    session = import_module(django_settings.SESSION_ENGINE).SessionStore()
    session.update({"cart": ["a secret thing"], **values})
    session.note_client(lambda: Seen(ip, agent))
    if user is not None:
        session["_auth_user_id"] = services.user_id_of(user)
        session["_auth_user_hash"] = "a secret hash"
    session.save()
    return session.record


def age(record: SessionRecord, age_ms: int) -> None:
    """Let a session of the memory store have been used so long ago."""
    session = MemoryStore.table.find(record.sid, record.last_seen_ms)
    old = record._replace(last_seen_ms=record.last_seen_ms - age_ms)
    table = MemoryStore.table.anonymous if record.user_id is None else MemoryStore.table.signed_in
    table[record.sid] = session._replace(record=old)


def listed(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return re.findall(r'name="_selected_action" value="([0-9a-f]{18})"', page(answer)) or [
        row.sid for row in answer.context["cl"].result_list
    ]


def page(answer: Any) -> str:
    return str(answer.content.decode())


def act(client: Client, action: str, *sids: str, **fields: str) -> Any:
    return client.post(LIST, {"action": action, "_selected_action": sids, **fields}, follow=True)


# The list.


def test_the_newest_activity_comes_first_with_who_where_and_when(boss: Client, alice: Any) -> None:
    first, second = session_of(alice, IPHONE, "203.0.113.9"), session_of()
    age(first, 7 * 60_000)
    age(second, 10 * 60_000)
    answer = boss.get(LIST)
    own, *others = listed(answer)
    assert others == [first.sid, second.sid]
    text = page(answer)
    assert f'<a href="{reverse("admin:auth_user_change", args=[alice.pk])}">alice</a>' in text
    assert "Safari on iPhone" in text
    assert "203.0.113.9" in text
    assert "7\xa0minutes ago" in text
    assert "anonymous" in text
    assert text.count("srvsession-online") == 1
    assert text.count("(this device)") == 1
    assert services.contents_of(own).record.user_id == services.user_id_of(
        get_user_model().objects.get(username="boss")
    )


def test_a_user_is_no_link_and_no_name_for_who_may_not_see_users(viewer: Client, alice: Any) -> None:
    session_of(alice)
    text = page(viewer.get(LIST))
    assert "alice" not in text
    assert f'field-user">{alice.pk}<' in text
    assert "/admin/auth/user/" not in text


def test_a_user_who_is_gone_is_shown_by_id(boss: Client) -> None:
    create(current_store(), user_id="no such key")
    assert "no such key" in page(boss.get(LIST))


def test_text_of_visitors_is_escaped(boss: Client, settings: Any) -> None:
    settings.SRVSESSION_ADMIN_REVEAL = ["<b>name"]
    record = session_of(None, '<script>alert("agent")</script>', "<i>ip", **{"<b>name": "<u>value"})
    for url in (LIST, f"{LIST}{record.sid}/change/", f"{LIST}{record.sid}/delete/"):
        text = page(boss.get(url))
        for hostile in ("<script>alert", "<i>ip", "<b>name", "<u>value"):
            assert hostile not in text
    assert "&lt;b&gt;name" in page(boss.get(f"{LIST}{record.sid}/change/"))


def test_pages_go_on_by_a_link_until_the_last_and_back_to_the_top(boss: Client) -> None:
    made = {session_of().sid for _ in range(120)}
    answer, seen, pages = boss.get(LIST), [], 0
    while True:
        pages += 1
        seen += listed(answer)
        cl = answer.context["cl"]
        assert ("Older" in page(answer)) is (cl.further is not None)
        assert ("Newest" in page(answer)) is (pages > 1)
        if cl.further is None:
            break
        answer = boss.get(LIST + cl.further_url)
    assert pages == 3
    assert len(seen) == len(set(seen)) == 121
    assert made < set(seen)


def test_the_list_counts_nothing_and_reads_a_bounded_number_of_sessions(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryStore, "records", lambda self, user_id=None: pytest.fail("the world was listed"))
    monkeypatch.setattr(MemoryStore, "walk", lambda *args: endless())
    monkeypatch.setattr(listings, "LOOK_AT", 300)
    answer = boss.get(LIST, {"device": "phone"})
    assert listed(answer) == []
    assert "Only the next 300 sessions were looked at." in page(answer)
    assert "Look further" in page(answer)


def endless() -> Any:
    number = 0
    while True:
        number += 1
        assert number <= 5000
        yield listings.Step(f"{number}-{'0' * 18}", SessionRecord(f"{number:018x}", "v", 0, 10**13, 1, 10**13))


# Filters and search.


@pytest.fixture
def crowd(alice: Any) -> dict[str, SessionRecord]:
    """Sessions that differ."""
    bob = get_user_model().objects.create_user("bob", is_staff=True)
    crowd = {
        "alice": session_of(alice, IPHONE, "203.0.113.9"),
        "alice again": session_of(alice, FIREFOX, "2001:db8::7"),
        "bob": session_of(bob, FIREFOX, "203.0.113.77"),
        "anonymous": session_of(None, "curl/8.0", "198.51.100.7"),
    }
    age(crowd["alice again"], 2 * HOUR_MS)
    age(crowd["bob"], 10 * 60_000)
    age(crowd["anonymous"], 30 * HOUR_MS)
    return crowd


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("kind=user", "alice, bob, alice again"),
        ("kind=anonymous", "anonymous"),
        ("active=5", "alice"),
        ("active=60", "alice, bob"),
        ("active=1440", "alice, bob, alice again"),
        ("device=phone", "alice"),
        ("device=desktop", "bob, alice again"),
        ("device=iphone", "alice"),
        ("device=linux&kind=user", "bob, alice again"),
        ("device=tablet", ""),
        ("staff=1", "bob"),
        ("kind=user&device=desktop&active=60", "bob"),
        ("staff=1&active=5", ""),
        ("q=alice", "alice, alice again"),
        ("q=ali", "alice, alice again"),
        ("q=lice", ""),
        ("q=alice@EXAMPLE.org", "alice, alice again"),
        ("q=203.0.113.9", "alice"),
        ("q=203.0.113.", "alice, bob"),
        ("q=2001:DB8::7", "alice again"),
        ("q=alice&device=desktop", "alice again"),
        ("q=bob&staff=1", "bob"),
        ("q=alice&staff=1", ""),
        ("q=%20bob%20", "bob"),
        ("q=nobody", ""),
        ("q=" + "x" * 5000, ""),
        ("q=" + "0" * 18, ""),
    ],
)
def test_filters_and_search_find_what_they_say(
    clerk: Client, crowd: dict[str, SessionRecord], query: str, names: str
) -> None:
    by_sid = {record.sid: name for name, record in crowd.items()}
    found = [by_sid[sid] for sid in listed(clerk.get(f"{LIST}?{query}")) if sid in by_sid]
    assert ", ".join(found) == names


def test_a_session_is_found_by_its_name(clerk: Client, crowd: dict[str, SessionRecord]) -> None:
    sid = crowd["bob"].sid
    assert listed(clerk.get(LIST, {"q": sid})) == [sid]
    assert listed(clerk.get(LIST, {"q": sid, "kind": "anonymous"})) == []
    assert listed(clerk.get(LIST, {"q": sid, "staff": "1"})) == [sid]


def test_the_sessions_of_one_user_can_be_linked_to(clerk: Client, crowd: dict[str, SessionRecord], alice: Any) -> None:
    answer = clerk.get(LIST, {"user": alice.pk})
    assert listed(answer) == [crowd["alice"].sid, crowd["alice again"].sid]
    assert listed(clerk.get(LIST, {"user": "nobody's"})) == []


def test_a_store_without_an_index_of_devices_says_so(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "device, among the next 750 sessions" in page(clerk.get(LIST))
    monkeypatch.setattr(MemoryStore, "has_device_index", True)
    assert "among the next" not in page(clerk.get(LIST))


@pytest.mark.parametrize(
    "query",
    ["foo=1", "kind=x", "active=7", "device=", "staff=2", "after=x", "verifier=1", "sid__startswith=0", "user=%00"],
)
def test_what_the_list_does_not_know_leads_to_the_list_without_it(clerk: Client, query: str) -> None:
    answer = clerk.get(f"{LIST}?{query}")
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}?e=1")
    assert clerk.get(f"{LIST}?e=1").status_code == 200
    assert clerk.get(f"{LIST}?{query}&e=1").status_code == 200


@pytest.mark.parametrize(
    "query", ["q=%00", "o=1", "o=-3.x", "all=", "p=99", "p=x", "_facets=1", "_popup=1", "_to_field=sid"]
)
def test_djangos_own_parameters_do_no_harm(clerk: Client, alice: Any, query: str) -> None:
    record = session_of(alice)
    assert record.sid in listed(clerk.get(f"{LIST}?{query}"))


# The detail.


def test_the_detail_shows_names_and_sizes_and_no_value(viewer: Client, alice: Any) -> None:
    record = session_of(alice)
    text = page(viewer.get(f"{LIST}{record.sid}/change/"))
    size = len(stored(current_store(), record.sid).values["cart"])
    assert "<code>cart</code>" in text
    assert f"{size} bytes" in text
    assert "secret" not in text
    assert FIREFOX in text
    assert 'type="submit"' not in text.replace('<button type="submit">Log out</button>', "")


def test_values_that_the_site_reveals_are_shown_and_others_never(viewer: Client, alice: Any, settings: Any) -> None:
    record = session_of(alice, views=7, _csrftoken="also a secret")
    settings.SRVSESSION_ADMIN_REVEAL = ("views", "_auth_user_hash", "_csrftoken")
    text = page(viewer.get(f"{LIST}{record.sid}/change/"))
    assert "<code>7</code>" in text
    assert "secret" not in text


def test_a_value_whose_seal_does_not_fit_is_not_shown(viewer: Client, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_ADMIN_REVEAL = ["views", "moved"]
    record = session_of(alice, views=7)
    sealed = stored(current_store(), record.sid).values["views"]
    current_store().update(record.sid, record.verifier, Delta(changed={"moved": sealed}))
    text = page(viewer.get(f"{LIST}{record.sid}/change/"))
    assert text.count("<code>7</code>") == 1


def test_the_detail_tells_the_user_s_recent_activity_where_events_are_kept(
    viewer: Client, alice: Any, settings: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    record, gone = session_of(alice, IPHONE), "9" * 18
    SessionEvent.objects.create(
        at_ms=1, kind="ended", sid=gone, user_id=services.user_id_of(alice), reason="revoked", by="<b>the test"
    )
    text = page(viewer.get(f"{LIST}{record.sid}/change/"))
    assert "Signed out remotely" in text and "by &lt;b&gt;the test" in text
    assert gone in text
    settings.SRVSESSION_EVENT_LOG = None
    assert gone not in page(viewer.get(f"{LIST}{record.sid}/change/"))


@pytest.mark.parametrize("page", ["change", "delete", "history"])
@pytest.mark.parametrize("name", ["0" * 18, "x", "_5F", "A" * 18, "0" * 18 + "%0A", "..%2f", "%00", "é" * 18])
def test_what_is_no_live_session_is_not_there(boss: Client, name: str, page: str) -> None:
    answer = boss.get(f"{LIST}{name}/{page}/")
    assert answer.status_code == 404 if "%0A" in name else answer["Location"] == "/admin/"


def test_a_damaged_session_is_not_there(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django_srvsession.store import CorruptSessionError

    record, load = session_of(), MemoryStore.load

    def damaged(self: Store, sid: str) -> Any:
        if sid == record.sid:
            raise CorruptSessionError
        return load(self, sid)

    monkeypatch.setattr(MemoryStore, "load", damaged)
    assert boss.get(f"{LIST}{record.sid}/change/").status_code == 302


# Ending.


def ended_by(client: Client, *sids: str) -> None:
    """Check that these sessions have ended, and that the log says who did it."""
    actor = client.get(LIST).wsgi_request.user
    entries = LogEntry.objects.filter(action_flag=DELETION)
    assert {entry.object_id for entry in entries} == set(sids)
    for sid in sids:
        tombstone = current_store().load(sid)
        assert (tombstone.reason, tombstone.by) == ("revoked", services.user_id_of(actor))
        entry = entries.get(object_id=sid)
        assert entry.user == actor
        assert entry.content_type.model_class() is LiveSession
        assert entry.object_repr.startswith(f"{sid}: ")
        if tombstone.user_id is not None:
            assert f"user {tombstone.user_id}" in entry.object_repr


def test_one_session_is_ended_when_asked_twice(boss: Client, alice: Any) -> None:
    record, other = session_of(alice), session_of(alice)
    assert ">Sign out</a>" in page(boss.get(f"{LIST}{record.sid}/change/"))
    answer = boss.get(f"{LIST}{record.sid}/delete/")
    assert "<h1>Sign out 1 session?</h1>" in page(answer)
    for text in (page(boss.get(f"{LIST}{record.sid}/change/")), page(answer)):
        assert not re.search(r">[^<]*\bdelet", text, re.IGNORECASE)
    assert services.contents_of(record.sid) is not None
    answer = boss.post(f"{LIST}{record.sid}/delete/", {"post": "yes"}, follow=True)
    assert "Signed out 1 session." in page(answer)
    ended_by(boss, record.sid)
    assert services.contents_of(other.sid) is not None


def test_selected_sessions_are_ended_when_asked_twice(boss: Client, alice: Any) -> None:
    first, second, other = session_of(alice), session_of(), session_of(alice)
    answer = act(boss, "end_selected", first.sid, second.sid)
    assert first.sid in page(answer)
    assert len(services.sessions_of(alice)) == 2
    answer = act(boss, "end_selected", first.sid, second.sid, "0" * 18, post="yes")
    assert "Signed out 2 sessions." in page(answer)
    ended_by(boss, first.sid, second.sid)
    assert services.contents_of(other.sid) is not None


def test_all_sessions_of_a_user_are_ended_when_asked_twice(boss: Client, alice: Any) -> None:
    first, second, other = session_of(alice), session_of(alice), session_of()
    answer = act(boss, "end_all_of_users", first.sid, other.sid)
    assert "alice" in page(answer)
    assert len(services.sessions_of(alice)) == 2
    act(boss, "end_all_of_users", first.sid, other.sid, post="yes")
    ended_by(boss, first.sid, second.sid)
    assert services.contents_of(other.sid) is not None


def test_all_sessions_of_a_user_can_be_ended_from_the_list_of_them(boss: Client, alice: Any) -> None:
    first, second = session_of(alice), session_of(alice)
    answer = boss.get(LIST, {"user": alice.pk})
    assert "Sign out this user everywhere" in page(answer)
    url = answer.context["end_user_url"]
    assert "alice" in page(boss.get(url))
    assert len(services.sessions_of(alice)) == 2
    boss.post(url, {"user": alice.pk, "post": "yes"})
    ended_by(boss, first.sid, second.sid)


def test_anonymous_sessions_have_no_user_to_end_all_of(boss: Client) -> None:
    record = session_of()
    assert "Nobody is signed in" in page(act(boss, "end_all_of_users", record.sid, post="yes"))
    assert services.contents_of(record.sid) is not None


def test_all_across_pages_is_no_choice(boss: Client, alice: Any) -> None:
    record = session_of(alice)
    for fields in ({"select_across": "1"}, {"select_across": "1", "index": "0"}):
        act(boss, "end_selected", record.sid, post="yes", **fields)
        assert services.contents_of(record.sid) is not None


def test_what_ended_meanwhile_is_neither_logged_nor_told_as_done(boss: Client, alice: Any) -> None:
    record = session_of(alice)
    services.revoke(record.sid)
    assert "no session to end" in page(act(boss, "end_selected", record.sid, post="yes"))
    assert LogEntry.objects.count() == 0


def test_ending_ones_own_session_signs_out_and_is_no_error(boss: Client) -> None:
    own = boss.session.sid
    answer = boss.post(f"{LIST}{own}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    assert LogEntry.objects.get().object_id == own
    assert boss.get(LIST).status_code == 302


def test_the_log_of_a_session_can_be_read(boss: Client, alice: Any) -> None:
    record = session_of(alice)
    assert boss.get(f"{LIST}{record.sid}/history/").status_code == 200


# Permissions.


def test_who_may_view_sees_and_does_nothing_else(viewer: Client, alice: Any) -> None:
    record = session_of(alice)
    assert listed(viewer.get(LIST))
    assert viewer.get(f"{LIST}{record.sid}/change/").status_code == 200
    assert viewer.get(f"{LIST}overview/").status_code == 200
    assert viewer.post(f"{LIST}{record.sid}/change/", {"user_id": "9"}).status_code == 403
    for url in (f"{LIST}{record.sid}/delete/", f"{LIST}end-user/?user={alice.pk}", f"{LIST}add/"):
        assert viewer.get(url).status_code == 403
        assert viewer.post(url, {"post": "yes", "user": alice.pk}).status_code == 403
    for action in ("end_selected", "end_all_of_users", "delete_selected", "export"):
        act(viewer, action, record.sid, post="yes", index="0")
        act(viewer, action, record.sid, post="yes")
    assert services.contents_of(record.sid) is not None


def test_who_may_delete_ends_but_neither_adds_nor_changes(alice: Any) -> None:
    client, record = signed_in(member("ender", "view", "delete")), session_of(alice)
    for verb in ("add", f"{record.sid}/change"):
        assert client.post(f"{LIST}{verb}/", {"user_id": "9"}).status_code == 403
    client.post(f"{LIST}{record.sid}/delete/", {"post": "yes"})
    ended_by(client, record.sid)


@pytest.mark.parametrize(
    "path", ["", "overview/", "end-user/", "add/", "{sid}/change/", "{sid}/delete/", "{sid}/history/"]
)
def test_the_staff_without_a_permission_sees_nothing(alice: Any, path: str) -> None:
    client = signed_in(member("nobody"))
    record = session_of(alice)
    answer = client.get(LIST + path.format(sid=record.sid))
    assert answer.status_code == 403
    assert Client().get(LIST + path.format(sid=record.sid)).status_code == 302


def test_not_even_a_superuser_is_offered_actions_that_are_for_rows(boss: Client, alice: Any) -> None:
    record = session_of(alice)
    answer = boss.get(LIST)
    offered = [name for name, _ in answer.context["action_form"].fields["action"].choices if name]
    assert offered == ["end_selected", "end_all_of_users"]
    for action in ("delete_selected", "export"):
        assert "json" not in act(boss, action, record.sid, post="yes")["Content-Type"]
    assert services.contents_of(record.sid) is not None


# An outage.


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("walk", ""),
        ("activity", ""),
        ("activity", "overview/"),
        ("records", "?user=1"),
        ("records", "?staff=1"),
        ("load", "{sid}/change/"),
        ("load", "{sid}/delete/"),
        ("load", "?q={sid}"),
    ],
)
def test_an_outage_is_a_503(viewer: Client, alice: Any, monkeypatch: pytest.MonkeyPatch, verb: str, path: str) -> None:
    record, working = session_of(alice), getattr(MemoryStore, verb)

    def out(self: Store, *args: Any) -> Any:
        if verb == "load" and args != (record.sid,):
            return working(self, *args)
        raise StoreUnavailableError("for the test")

    client = signed_in(member("ender", "view", "delete", "view_user"))
    monkeypatch.setattr(MemoryStore, verb, out)
    assert client.get(LIST + path.format(sid=record.sid)).status_code == 503


def test_an_outage_while_ending_is_a_503_and_writes_no_log(
    boss: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = session_of(alice)

    def out(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailableError("for the test")

    monkeypatch.setattr(MemoryStore, "end", out)
    assert boss.post(f"{LIST}{record.sid}/delete/", {"post": "yes"}).status_code == 503
    assert act(boss, "end_selected", record.sid, post="yes").status_code == 503
    assert LogEntry.objects.count() == 0


def test_what_ended_before_an_outage_is_in_the_log(boss: Client, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session_of(alice), session_of(alice), session_of(alice)
    monkeypatch.setattr(MemoryStore, "ends_at_once", 1)
    end, calls = MemoryStore.end, []

    def out_at_the_third(self: Store, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise StoreUnavailableError("for the test")
        return end(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "end", out_at_the_third)
        assert boss.post(f"{LIST}end-user/", {"user": alice.pk, "post": "yes"}).status_code == 503
    entries = LogEntry.objects.values_list("object_id", flat=True)
    assert len(entries) == 2
    assert all(isinstance(current_store().load(sid), Tombstone) for sid in entries)
    assert len(services.sessions_of(alice)) == 1


# The overview.


def test_the_overview_counts_sessions_people_devices_and_minutes(
    viewer: Client, crowd: dict[str, SessionRecord]
) -> None:
    overview = viewer.get(LIST).context["overview"]
    assert (overview["live"], overview["people"], overview["scope"], overview["store"]) == ("5", "3", "", "memory")
    assert [(str(name), count) for name, count in overview["devices"]] == [
        ("Computer", "2"),
        ("Phone", "1"),
        ("App", "1"),
        ("Unknown device", "1"),
    ]
    assert overview["last_hour"] == "3"
    tall = [bar for bar in overview["bars"] if bar.height]
    assert len(overview["bars"]) == 60
    assert sum(int(bar.title.rpartition(": ")[2]) for bar in tall) == 3


def test_the_overview_has_no_inline_style_or_script(viewer: Client) -> None:
    text = page(viewer.get(f"{LIST}overview/"))
    assert "<svg" in text
    assert text.count("<rect") == 60
    assert not re.search(r"<script|<style|style=|\son\w+=", text)
    assert "<html" not in text


def test_a_number_that_is_not_exact_says_so(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for precision, text in (("about", "about 1,234"), ("at least", "at least 1,234"), ("exact", "1,234")):
        activity = listings.Activity(1234, precision, (0,) * 60, has_all_minutes=False)
        monkeypatch.setattr(MemoryStore, "activity", lambda self, activity=activity: activity)
        answer = viewer.get(f"{LIST}overview/")
        assert answer.context["overview"]["live"].replace("1234", "1,234") == text
        assert "Only the newest were counted." in page(answer)
        assert ("These numbers are estimates." in page(answer)) is (precision == "about")


# Users.


def user_list(client: Client, action: str, *users: Any, **fields: str) -> Any:
    keys = [user.pk for user in users]
    return client.post("/admin/auth/user/", {"action": action, "_selected_action": keys, **fields}, follow=True)


def test_selected_users_are_logged_out_when_asked_twice(boss: Client, alice: Any) -> None:
    first, second, other = session_of(alice), session_of(alice), session_of()
    assert "Sign out selected users" in page(boss.get("/admin/auth/user/"))
    answer = user_list(boss, "log_out_selected_users", alice)
    assert "alice" in page(answer)
    assert len(services.sessions_of(alice)) == 2
    answer = user_list(boss, "log_out_selected_users", alice, post="yes")
    assert "Signed out 2 sessions." in page(answer)
    ended_by(boss, first.sid, second.sid)
    assert services.contents_of(other.sid) is not None


def test_no_more_users_are_logged_out_at_once_than_a_page_can_ask_about(
    boss: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_srvsession.admin.users.MOST_USERS", 1)
    record = session_of(alice)
    users = [alice, get_user_model().objects.create_user("bob")]
    assert "Choose no more than 1 users at once." in page(user_list(boss, "log_out_selected_users", *users, post="yes"))
    assert services.contents_of(record.sid) is not None


def test_who_may_not_end_sessions_is_not_offered_to_log_out_users(alice: Any) -> None:
    user = member("clerk", "view")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"]))
    client, record = signed_in(user), session_of(alice)
    assert "Sign out selected users" not in page(client.get("/admin/auth/user/"))
    user_list(client, "log_out_selected_users", alice, post="yes")
    assert services.contents_of(record.sid) is not None


def test_saving_a_user_with_the_link_on_the_page_works(boss: Client, alice: Any) -> None:
    url = f"/admin/auth/user/{alice.pk}/change/"
    form = boss.get(url).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value not in (None, [])}
    data |= {"email": "new@example.org", "date_joined_0": "2026-01-01", "date_joined_1": "00:00", "first_name": "A"}
    answer = boss.post(url, data)
    assert answer.status_code == 302, answer.context["errors"]
    alice.refresh_from_db()
    assert alice.email == "new@example.org"


def test_who_may_not_view_sessions_has_no_link(alice: Any) -> None:
    user = member("clerk")
    user.user_permissions.add(*Permission.objects.filter(codename="view_user"))
    answer = signed_in(user).get(f"/admin/auth/user/{alice.pk}/change/")
    assert answer.status_code == 200
    assert "livesession" not in page(answer)


def test_new_users_can_be_added_beside_the_link(boss: Client) -> None:
    assert boss.get("/admin/auth/user/add/").status_code == 200


def test_the_link_speaks_of_any_primary_key(alice: Any) -> None:
    touch_later(current_store(), create(current_store(), user_id="a b&c"))
    assert listed(signed_in(member("v", "view")).get(LIST, {"user": "a b&c"}))


@pytest.mark.parametrize("value", ["views", [1], 5])
def test_names_to_reveal_that_are_no_names_are_refused(settings: Any, value: Any) -> None:
    settings.SRVSESSION_ADMIN_REVEAL = value
    assert [message.id for message in check_settings()] == ["srvsession.E002"]
