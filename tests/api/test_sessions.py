"""List and end one's own sessions, as JSON."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import Client, Delta, Ending, Tombstone
from tests.api.client import Api, errors_in, make_user, problem, url, with_key
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore
from tests.later import Later

pytestmark = pytest.mark.django_db(transaction=True)

SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
FIELDS = {
    "sid", "current", "bound", "device", "ip", "place", "signed_in_at", "created_at", "last_seen_at", "expires_at",
}  # fmt: skip
MALFORMED = [
    "0" * 17, "0" * 19, "A" * 18, "g" * 18, "0" * 18 + "%0A", "%00" * 18, "%C3%A9" * 18, "..", "%2F", "a/b", "",
    "%ED%A0%80", "x" * 5000,
]  # fmt: skip
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def listed(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [session["sid"] for session in answer.json()["sessions"]]


def store_session(user: Any, agent: str = "") -> str:
    """Store a session of a user, and return its sid."""
    key = SessionKey.generate()
    client = Client(ip="192.0.2.7", user_agent=agent)
    current_store().create(
        key.sid, key.verifier, Delta(user_id=services.user_id_of(user), client=client, lifetime_ms=3_600_000)
    )
    return key.sid


# The list.


def test_the_list_has_exactly_the_sessions_of_the_person_who_asks(asgi: bool, ann: Any, bob: Any) -> None:
    api, phone, ended = Api("ann", asgi=asgi), Api("ann", agent=SAFARI), Api("ann")
    Api("bob")
    ended.post("logout")
    found = api.get("sessions").json()["sessions"]
    assert {session["sid"]: session["current"] for session in found} == {api.sid: True, phone.sid: False}


def test_a_session_is_listed_with_these_fields_and_no_others(ann: Any, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    api = Api("ann", agent=SAFARI)
    (found,) = api.get("sessions").json()["sessions"]
    (record,) = services.sessions_of(ann)
    assert set(found) == FIELDS
    assert found["device"] == {"name": "Safari on iPhone", "kind": "phone"}
    assert (found["ip"], found["place"]) == ("127.0.0.1", None)
    for name in ("signed_in_at", "created_at", "last_seen_at", "expires_at"):
        assert INSTANT.fullmatch(found[name])
        assert datetime.fromisoformat(found[name]) == getattr(record, name)


def test_an_address_that_is_not_kept_is_not_listed(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_STORE_IP = "none"
    assert Api("ann").get("sessions").json()["sessions"][0]["ip"] is None


def test_pages_hold_each_session_once_also_when_some_are_used_and_made_meanwhile(ann: Any, store: WatchedStore) -> None:
    api = Api("ann")
    first = [store_session(ann) for _ in range(6)]
    before, seen, query = {*first, api.sid}, [], "?limit=2"
    while True:
        page = api.get("sessions", query).json()
        seen += [session["sid"] for session in page["sessions"]]
        assert len(page["sessions"]) <= 2
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"
        last = min(services.sessions_of(ann), key=lambda record: record.last_seen_ms)
        store.inner.update(last.sid, last.verifier, Delta())  # Now it is the latest seen.
        store_session(ann)
    assert (sorted(seen), len(seen)) == (sorted(before), 7)


def test_a_page_begins_behind_a_session_that_has_ended_meanwhile(ann: Any) -> None:
    api = Api("ann")
    for _ in range(3):
        store_session(ann)
    everything = listed(api.get("sessions"))
    page = api.get("sessions", "?limit=2").json()
    api.end(everything[1]) if everything[1] != api.sid else None
    assert listed(api.get("sessions", f"?cursor={page['next_cursor']}")) == everything[2:]


def test_the_latest_comes_first(ann: Any) -> None:
    api = Api("ann")
    for _ in range(3):
        store_session(ann)
    found = api.get("sessions").json()["sessions"]
    assert [session["created_at"] for session in found] == sorted((s["created_at"] for s in found), reverse=True)


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "1.0", "1e1", "", "x", "%00", "%EF%BC%91", "9" * 5000, "+1", "%201"]
)
def test_a_limit_that_is_none_is_named(ann: Any, limit: str) -> None:
    assert errors_in(Api("ann").get("sessions", f"?limit={limit}")) == {"?limit": "invalid"}


@pytest.mark.parametrize(
    "cursor", ["", "x", "1-" + "0" * 17, "1-" + "g" * 18, "-1-" + "0" * 18, "9" * 99 + "-" + "0" * 18]
)
def test_a_cursor_that_is_none_is_named(ann: Any, cursor: str) -> None:
    assert errors_in(Api("ann").get("sessions", f"?cursor={cursor}")) == {"?cursor": "invalid"}


def test_a_parameter_that_is_there_twice_is_named(ann: Any) -> None:
    assert errors_in(Api("ann").get("sessions", "?limit=1&limit=2")) == {"?limit": "repeated"}


def test_a_query_of_a_thousand_parameters_is_a_problem_and_no_error(ann: Any) -> None:
    problem(Api("ann").get("sessions", "?" + "&".join(f"a{i}=1" for i in range(1500))), 400)


def test_reading_changes_nothing(ann: Any, store: WatchedStore) -> None:
    api = Api("ann")
    asked = store.since(lambda: [api.get("sessions"), api.get("whoami"), api.ask("HEAD", url("sessions"))])
    assert {call.verb for call in asked} == {"load", "records_from"}


@on_every_store
def test_no_answer_on_any_store_holds_what_opens_a_session(engine: Any, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        user = make_user("ann")
        apis = [Api("ann"), Api("ann", agent=SAFARI), Api("ann")]
        apis[0].post("confirm_password", {"password": "pass-ann"})
        secrets = {str(api.key) for api in apis}
        for record in services.sessions_of(user):
            secrets |= {text for text in (record.verifier, record.previous_verifier) if text}
        assert len(secrets) >= 6
        texts = [apis[0].get(name).content.decode() for name in ("sessions", "whoami")]
        texts += [Api().sign_in("ann").content.decode(), apis[0].post("end_others").content.decode()]
        assert len(re.findall('"sid"', texts[0])) == 3
        for text in texts:
            assert not [secret for secret in secrets if secret in text or secret[12:] in text]
            for found in re.findall(r"[\w-]{20,}", text):  # Nothing that is in an answer opens anything.
                assert SessionKey.parse(found) is None
                assert with_key(found).user() is None


# One.


@on_every_store
def test_one_session_is_as_the_list_has_it(asgi: bool, ann: Any) -> None:
    api, phone = Api("ann", asgi=asgi), Api("ann", agent=SAFARI)
    here, there = api.sid, phone.sid
    listed = {session["sid"]: session for session in api.get("sessions").json()["sessions"]}
    for sid, is_current in ((here, True), (there, False)):
        answer = api.ask("GET", url("session", sid))
        assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
        assert answer.json() == {**listed[sid], "last_seen_at": answer.json()["last_seen_at"]}
        assert (set(answer.json()), answer.json()["current"]) == (FIELDS, is_current)
    head = api.ask("HEAD", url("session", here))
    assert (head.status_code, head.content) == (200, b"")


def test_a_session_that_a_new_password_has_killed_is_none(ann: Any) -> None:
    api, old = Api("ann"), Api("ann")
    sid = old.sid
    ann.__class__.objects.filter(pk=ann.pk).update(password=make_password("another"))
    again = Api()
    assert again.sign_in("ann", "another").status_code == 200
    assert sid not in listed(again.get("sessions"))
    problem(again.ask("GET", url("session", sid)), 404)
    assert api.user() is None


def test_a_visitor_sees_no_session(ann: Any) -> None:
    sid = Api("ann").sid
    problem(Api().ask("GET", url("session", sid)), 401)


# End one.


def test_ending_a_session_signs_it_out_and_no_other(asgi: bool, ann: Any) -> None:
    api, phone, third = Api("ann", asgi=asgi), Api("ann"), Api("ann")
    sid = phone.sid
    answer = api.end(sid)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (api.user(), phone.user(), third.user()) == ("ann", None, "ann")
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert (stored.reason, stored.by) == ("revoked", str(ann.pk))


def test_ending_the_current_session_is_a_sign_out(asgi: bool, ann: Any) -> None:
    api = Api("ann", asgi=asgi)
    key, sid = api.key, api.sid
    answer = api.end(sid)
    assert answer.status_code == 204
    assert answer.cookies["sessionid"]["max-age"] == 0
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert stored.reason == "logout"
    assert with_key(key).user() is None


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_what_is_no_session_of_theirs_is_one_and_the_same_404(ann: Any, bob: Any, method: str) -> None:
    api, bobs, ended = Api("ann"), Api("bob"), Api("ann")
    gone = ended.sid
    ended.post("logout")
    anonymous = store_anonymous()
    answers = [api.ask(method, url("session", sid)) for sid in (bobs.sid, gone, anonymous, "0" * 18)]
    answers += [api.ask(method, f"/api/sessions/{sid}/") for sid in MALFORMED]
    problem(answers[0], 404)
    assert {(answer.status_code, answer.content, tuple(sorted(answer.headers.items()))) for answer in answers} == {
        (404, answers[0].content, tuple(sorted(answers[0].headers.items())))
    }
    assert (api.user(), bobs.user()) == ("ann", "bob")


def store_anonymous() -> str:
    key = SessionKey.generate()
    current_store().create(key.sid, key.verifier, Delta(lifetime_ms=3_600_000))
    return key.sid


def test_ending_a_session_twice_is_no_session_the_second_time(ann: Any) -> None:
    api, phone = Api("ann"), Api("ann")
    sid = phone.sid
    assert [api.end(sid).status_code for _ in range(2)] == [204, 404]


def test_who_ends_a_session_a_moment_after_somebody_else_finds_none(ann: Any, store: WatchedStore) -> None:
    api, phone = Api("ann"), Api("ann")
    sid = phone.sid
    store.before = lambda verb: store.inner.end(sid, Ending("revoked")) if verb == "end" else None
    assert api.end(sid).content == api.end("0" * 18).content
    assert phone.user() is None


# End the others.


def test_ending_the_others_keeps_this_one_and_other_people(asgi: bool, ann: Any, bob: Any) -> None:
    api, phone, third, bobs = Api("ann", asgi=asgi), Api("ann"), Api("ann"), Api("bob")
    answer = api.post("end_others")
    assert (answer.status_code, answer.json()) == (200, {"ended": 2})
    assert [one.user() for one in (api, phone, third, bobs)] == ["ann", None, None, "bob"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Later:
    return Later(monkeypatch)


def test_ending_the_others_needs_a_recent_proof(ann: Any, clock: Later) -> None:
    api, phone = Api("ann"), Api("ann")
    clock.advance(3600)
    found = problem(api.post("end_others"), 403, "urn:srvsession:problem:proof-required")
    assert found["confirm_by"] == "password"
    assert phone.user() == "ann"
    assert api.post("confirm_password", {"password": "pass-ann"}).status_code == 204
    assert api.post("end_others").json() == {"ended": 1}
    assert phone.user() is None


def test_ending_another_one_needs_a_recent_proof_and_signing_out_does_not(ann: Any, clock: Later) -> None:
    api, phone = Api("ann"), Api("ann")
    clock.advance(3600)
    problem(api.end(phone.sid), 403, "urn:srvsession:problem:proof-required")
    assert phone.user() == "ann"
    assert api.end("0" * 18).status_code == 404, "nobody learns by the question which sids there are"
    assert api.end(api.sid).status_code == 204
    assert api.user() is None


@pytest.fixture
def remote(ann: Any, clock: Later) -> Api:
    """A client whose user has no password here, and signed in an hour ago."""
    ann.set_unusable_password()
    ann.save()
    api = Api()
    api.client.force_login(ann)
    clock.advance(3600)
    return api


def test_who_has_no_password_is_told_where_to_confirm(remote: Api, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = "https://id.example.com/again/"
    found = problem(remote.post("end_others"), 403, "urn:srvsession:problem:proof-required")
    assert (found["confirm_by"], found["confirm_url"]) == ("url", "https://id.example.com/again/")


def test_who_has_no_way_to_confirm_ends_their_sessions_without(remote: Api, ann: Any) -> None:
    phone = Api()
    phone.client.force_login(ann)
    laptop = Api()
    laptop.client.force_login(ann)
    assert remote.end(phone.sid).status_code == 204
    assert remote.post("end_others").json() == {"ended": 1}
    assert (phone.user(), laptop.user(), remote.user()) == (None, None, "ann")


# Nobody else's.


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/api/sessions/"),
        ("DELETE", "/api/sessions/000000000000000000/"),
        ("DELETE", "/api/sessions/x/"),
        ("POST", "/api/sessions/end-others/"),
        ("POST", "/api/confirm-password/"),
    ],
)
def test_a_visitor_is_asked_to_sign_in_first(method: str, address: str) -> None:
    answer = Api().ask(method, address)
    problem(answer, 401)
    assert answer["WWW-Authenticate"].startswith("Cookie ")
