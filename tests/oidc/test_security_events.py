"""A session-revoked of CAEP ends the session here, as a logout does; other events end nothing, and neither is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.urls import path

from django_srvsession.models import ProviderLink, ProviderMark, SessionEvent
from django_srvsession.oidc import SecurityEventView, index
from tests.oidc import site as pages
from tests.oidc.browsers import EVENTS, SET, push, revoke, send, sign_in, user_of
from tests.oidc.provider import AUDIENCE, ISSUER, REVOKED, Provider, rsa_key, stranger
from tests.oidc.stores import on_one_engine, on_one_store, on_stores
from tests.servers import RedisServer
from tests.trust import WHOLE

SSF = "https://schemas.openid.net/secevent/ssf/event-type"
STREAM = {"format": "opaque", "id": "stream-1"}
SESSION = {"format": "opaque", "id": "p1"}
ANN = {"format": "iss_sub", "iss": ISSUER, "sub": "ann"}
BOB = {"format": "iss_sub", "iss": ISSUER, "sub": "bob"}
MAIL = {"format": "email", "email": "Ann@Example.com"}
BOTH = {"format": "complex", "session": SESSION, "user": ANN, "tenant": {"format": "opaque", "id": "t1"}}


@pytest.fixture(autouse=True)
def stream(provider: Provider, settings: Any) -> None:
    """The provider sends security events, too."""
    settings.SRVSESSION_OIDC = [{**provider.setting, "ssf_audience": AUDIENCE}]


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann")


def signed_in(provider: Provider, name: str = "ann", sid: str | None = "p1", ago_s: int = 0, **more: Any) -> Client:
    claims = {**provider.id_claims(name, sid, ago_s), "email": f"{name}@example.com", **more}
    return sign_in(claims, name)


@on_stores
def test_a_revoked_session_ends_ours_and_no_other(users: None, provider: Provider, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 1
    first, second = signed_in(provider), signed_in(provider, sid="p2")
    bob = signed_in(provider, "bob", "p3")
    revoke(provider, BOTH)
    assert [user_of(client) for client in (first, second, bob)] == ["", "ann", "bob"]
    assert list(SessionEvent.objects.filter(kind="ended").values_list("reason", flat=True)) == ["provider_logout"]
    page = first.get("/account/login/").content.decode()
    assert "You were signed out by the service that you sign in with." in page


WHO: dict[str, tuple[Any, str]] = {
    "the session alone": (SESSION, "12"),
    "the user": (ANN, ""),
    "the user's address": (MAIL, ""),
    "the user, as aliases": ({"format": "aliases", "identifiers": [MAIL, {"format": "did", "url": "did:x:1"}]}, ""),
    "a complex user": ({"format": "complex", "user": ANN}, ""),
    "a user without the word complex": ({"user": ANN, "tenant": {"format": "opaque", "id": "t"}}, ""),
    "a user and a device": ({"format": "complex", "user": ANN, "device": {"format": "opaque", "id": "d"}}, ""),
    "a user by an opaque name": ({"format": "complex", "user": {"format": "opaque", "id": "ann"}}, ""),
    "a session by issuer and name": ({"format": "complex", "session": {**ANN, "sub": "p1"}}, "12"),
    "a session and its user's address": ({"format": "complex", "session": SESSION, "user": MAIL}, "12"),
    "a session and another user": ({"format": "complex", "session": SESSION, "user": BOB}, "012"),
    "a session of a form that is not known": (
        {"format": "complex", "session": {"format": "jwt_id", "iss": ISSUER, "jti": "x"}, "user": ANN},
        "012",
    ),
    "a user of another provider": ({**ANN, "iss": "https://other.example.com"}, "012"),
    "a telephone": ({"format": "phone_number", "phone_number": "+12065550100"}, "012"),
    "a device alone": ({"format": "complex", "device": {"format": "opaque", "id": "d"}}, "012"),
    "nobody's session": ({**SESSION, "id": "p7"}, "012"),
}


@pytest.mark.parametrize("kind", WHO)
def test_whom_a_subject_stands_for(ann: Any, provider: Provider, kind: str) -> None:
    clients = [signed_in(provider), signed_in(provider, sid="p2"), signed_in(provider, sid=None)]
    revoke(provider, WHO[kind][0])
    assert "".join(str(place) for place, client in enumerate(clients) if user_of(client)) == WHO[kind][1]


def test_what_names_nobody_that_is_known_is_answered_and_logged(
    ann: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    revoke(provider, WHO["a device alone"][0])
    assert "names nobody in a way that could be known here" in caplog.text
    caplog.clear()
    revoke(provider, SESSION)
    assert caplog.text == ""


def test_the_subject_of_older_drafts_stands_in_the_event(ann: Any, provider: Provider) -> None:
    client = signed_in(provider)
    events = {REVOKED: {"subject": {"user": ANN}, "event_timestamp": int(time.time())}}
    revoke(provider, None, events=events)
    assert user_of(client) == ""


@on_one_store
@pytest.mark.parametrize("subject", [SESSION, ANN, MAIL, BOTH, {"session": SESSION, "user": MAIL}])
def test_a_revocation_that_is_faster_than_the_sign_in_wins(users: None, provider: Provider, subject: Any) -> None:
    claims = {**provider.id_claims(), "email": "ann@example.com"}
    revoke(provider, subject)
    assert user_of(sign_in(claims)) == ""


@on_one_store
def test_a_revocation_that_comes_late_leaves_who_has_signed_in_again_in_the_same_session(
    users: None, provider: Provider
) -> None:
    client = signed_in(provider, ago_s=3600)
    at_s = int(time.time()) - 1800
    late = provider.event(ANN, iat=at_s, events={REVOKED: {"event_timestamp": at_s}})
    claims = {**provider.id_claims(), "email": "ann@example.com"}
    assert client.post("/sign-in/ann/", claims, content_type="application/json").status_code == 200
    assert push(late).status_code == 202
    assert user_of(client) == "ann"
    revoke(provider, ANN)
    assert user_of(client) == ""


@on_one_store
@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("subject", [SESSION, ANN] if WHOLE else [ANN])
def test_a_revocation_beside_the_link_wins(
    users: None, provider: Provider, subject: Any, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = index.add

    def interrupted(*args: Any) -> None:
        if is_before:
            revoke(provider, subject)
        add(*args)
        if not is_before:
            revoke(provider, subject)

    monkeypatch.setattr(index, "add", interrupted)
    assert user_of(signed_in(provider)) == ""


@on_one_store
@pytest.mark.parametrize("is_before", [True, False])
def test_a_sign_in_beside_the_revocation_s_look_loses(
    users: None, provider: Provider, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids_of, clients, claims = index.sids_of, [], provider.id_claims()

    def interrupted(revocation: Any) -> list[str]:
        if is_before:
            clients.append(sign_in(claims))
        sids = sids_of(revocation)
        if not is_before:
            clients.append(sign_in(claims))
        return sids

    monkeypatch.setattr(index, "sids_of", interrupted)
    revoke(provider, BOTH)
    assert user_of(clients[0]) == ""


def ago(seconds: int) -> int:
    return int(time.time()) - seconds


@on_one_store
def test_a_revocation_that_comes_hours_late_leaves_who_has_signed_in_since(users: None, provider: Provider) -> None:
    before, since = signed_in(provider, iat=ago(7200)), signed_in(provider, sid="p2", iat=ago(60))
    revoke(provider, ANN, iat=ago(3600), events={REVOKED: {}})
    assert [user_of(client) for client in (before, since)] == ["", "ann"]
    revoke(provider, ANN, iat=ago(0), events={REVOKED: {"event_timestamp": ago(3600)}})
    assert user_of(since) == "ann"  # When it happened counts, not when it was told.
    revoke(provider, {**SESSION, "id": "p2"}, iat=ago(3600), events={REVOKED: {}})
    assert user_of(since) == ""  # A session that is named has ended, whenever.


@pytest.mark.parametrize("moment", [1e400, -(10**400), 10**400, "now", None, True, int(time.time() * 1000)])
def test_a_moment_that_is_none_is_passed_over(ann: Any, provider: Provider, moment: Any) -> None:
    client = signed_in(provider, iat=ago(3600))
    assert push(provider.event(SESSION, events={REVOKED: {"event_timestamp": moment}})).status_code == 202
    assert user_of(client) == ""


@on_stores
def test_an_event_that_comes_again_is_answered_and_ends_nothing_more(users: None, provider: Provider) -> None:
    token = provider.event(ANN)
    assert push(token).status_code == 202
    client = signed_in(provider, iat=ago(-1))
    assert push(token).status_code == 202
    assert user_of(client) == "ann"
    assert ProviderMark.objects.count() == 2


def test_a_new_key_of_the_transmitter_is_fetched(ann: Any, provider: Provider) -> None:
    revoke(provider, SESSION)
    provider.rotate()
    client = signed_in(provider, sid="p2")
    revoke(provider, ANN)
    assert (provider.asked, user_of(client)) == (2, "")


def test_a_transmitter_may_have_an_issuer_and_keys_of_its_own(ann: Any, provider: Provider, settings: Any) -> None:
    other, client = Provider(), signed_in(provider)
    (entry,) = settings.SRVSESSION_OIDC
    (issuer, keys) = ("https://ssf.example.com", other.setting["jwks_uri"])
    settings.SRVSESSION_OIDC = [{**entry, "ssf_issuer": issuer, "ssf_jwks_uri": keys}]
    assert push(provider.event(ANN)).json()["err"] == "invalid_issuer"
    assert push(provider.event(ANN, iss=issuer)).json()["err"] == "invalid_key"
    assert user_of(client) == "ann"
    revoke(other, {**ANN, "iss": issuer}, iss=issuer)
    assert user_of(client) == ""
    other.stop()


@pytest.mark.parametrize("kind", ["ssf/event-type/verification", "caep/event-type/credential-change"])
def test_other_events_are_answered_and_end_nothing(
    ann: Any, provider: Provider, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = signed_in(provider)
    revoke(provider, STREAM, events={f"https://schemas.openid.net/secevent/{kind}": {"state": "VGhpcyBpcy"}})
    assert user_of(client) == "ann"
    assert not ProviderMark.objects.exists()
    assert caplog.text == ""


def test_a_stream_that_does_not_go_on_is_in_the_log(
    ann: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    revoke(provider, STREAM, events={f"{SSF}/stream-updated": {"status": "enabled"}})
    assert caplog.text == ""
    revoke(provider, STREAM, events={f"{SSF}/stream-updated": {"status": "paused", "reason": "x\ny"}})
    assert "The stream of security events of https://id.example.com does not go on" in caplog.text


@on_one_engine
@pytest.mark.parametrize("database_alias", ["postgresql", "mariadb"] if WHOLE else ["postgresql"], indirect=True)
@pytest.mark.parametrize("comes", ["before the commit", "after it"])
def test_under_atomic_requests_too(
    database_alias: str, engine: str, provider: Provider, comes: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_user_model().objects.create_user("ann")
    answers: list[int] = []

    def elsewhere() -> None:
        def revoke_there() -> None:
            try:
                answers.append(push(provider.event(BOTH)).status_code)
            finally:
                connections.close_all()

        thread = threading.Thread(target=revoke_there)
        thread.start()
        thread.join()

    monkeypatch.setitem(connections[database_alias].settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connections.settings[database_alias], "ATOMIC_REQUESTS", True)
    settings.ROOT_URLCONF = ModuleType("pages_of_this_database")  # Made when the databases of the site are known.
    settings.ROOT_URLCONF.urlpatterns = [path("oidc/events/", SecurityEventView.as_view()), *pages.urlpatterns]
    if comes == "before the commit":
        pages.after_link.append(elsewhere)
    client = signed_in(provider)
    if comes == "after it":
        elsewhere()
    assert answers == [202]
    assert user_of(client) == ""


@pytest.mark.django_db(transaction=True)
def test_a_stopped_redis_ends_nothing_and_loses_no_event(
    redis_prefix: str, lasting_redis: RedisServer, provider: Provider, settings: Any
) -> None:
    settings.CACHES = {**settings.CACHES, "sessions": lasting_redis.cache_settings()}
    settings.SESSION_CACHE_ALIAS = "sessions"
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    get_user_model().objects.create_user("ann")
    client, token = signed_in(provider), provider.event(BOTH)
    lasting_redis.stop()
    answer = push(token)
    assert (answer.status_code, answer["Cache-Control"], answer["Retry-After"]) == (503, "no-store", "10")
    lasting_redis.start()
    assert user_of(client) == "ann"
    assert push(token).status_code == 202
    assert user_of(client) == ""


def test_a_transmitter_that_does_not_tell_its_keys_is_an_outage(ann: Any, provider: Provider) -> None:
    provider.is_out = True
    assert push(provider.event(ANN)).status_code == 503
    assert not ProviderMark.objects.exists()


def of(subject: Any = BOTH, header: dict[str, Any] | None = None, **changed: Any) -> Callable[[Provider], str]:
    return lambda provider: provider.event(subject, header, **changed)


def by(key: Any, algorithm: str) -> Callable[[Provider], str]:
    """A token that another key has signed, under the name of the transmitter's."""
    import jwt

    def make(provider: Provider) -> str:
        claims = jwt.decode(provider.event(BOTH), options={"verify_signature": False})
        return jwt.encode(claims, key, algorithm, headers={"kid": provider.kid, "typ": "secevent+jwt"})

    return make


BAD: dict[str, tuple[Callable[[Provider], str], str]] = {
    "no JWT": (lambda provider: "event", "invalid_request"),
    "empty": (lambda provider: "", "invalid_request"),
    "bytes": (lambda provider: "é" * 40, "invalid_request"),
    "too large": (of(padding="x" * 33_000), "invalid_request"),
    "unsigned": (by(None, "none"), "invalid_key"),
    "HS256": (by("x" * 32, "HS256"), "invalid_key"),
    "of another key": (by(stranger(), "ES256"), "invalid_key"),
    "of another kind of key": (by(rsa_key(), "RS256"), "invalid_key"),
    "without its signature": (lambda provider: provider.event(BOTH).rpartition(".")[0] + ".", "invalid_key"),
    "of another issuer": (of(iss="https://other.example.com"), "invalid_issuer"),
    "for another site": (of(aud="https://other.example.com/caep"), "invalid_audience"),
    "for the site as it signs in": (of(aud="mysite"), "invalid_audience"),
    "for nobody": (of(aud=None), "invalid_audience"),
    "a logout token": (lambda provider: provider.token(sid="p1", aud=AUDIENCE), "invalid_request"),
    "without a typ": (of(BOTH, {"typ": None}), "invalid_request"),
    "of the typ of any JWT": (of(BOTH, {"typ": "JWT"}), "invalid_request"),
    "too old": (of(iat=int(time.time()) - 8 * 86_400), "invalid_request"),
    "of the future": (lambda provider: provider.event(BOTH, iat=ago(-3600)), "invalid_request"),
    "of no time": (of(iat=None), "invalid_request"),
    "without a name": (of(jti=None), "invalid_request"),
    "without events": (of(events=None), "invalid_request"),
    "of no event": (of(events={}), "invalid_request"),
    "of an event that is none": (of(events={REVOKED: True}), "invalid_request"),
    "without a subject": (of(None), "invalid_request"),
    "of a subject that is none": (of("ann"), "invalid_request"),
    "of a format that is none": (of({"format": 7}), "invalid_request"),
    "of a user that is none": (of({"format": "complex", "user": "ann"}), "invalid_request"),
    "of a user without a format": (of({"format": "complex", "user": {"sub": "ann"}}), "invalid_request"),
    "of a user without a name": (of({"format": "iss_sub", "iss": ISSUER}), "invalid_request"),
    "of an address that is none": (of({"format": "email", "email": 7}), "invalid_request"),
    "of aliases that are none": (of({"format": "aliases", "identifiers": {}}), "invalid_request"),
    "of aliases of aliases": (
        of({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [[]]}, 7]}),
        "invalid_request",
    ),
    "of too many aliases": (of({"format": "aliases", "identifiers": [ANN] * 21}), "invalid_request"),
    "with a sub": (of(BOTH, sub="ann"), "invalid_request"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_event_ends_nothing(ann: Any, provider: Provider, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    client = signed_in(provider)
    caplog.clear()
    make, code = BAD[kind]
    token = make(provider)
    with caplog.at_level(logging.WARNING):
        answer = push(token)
    assert (answer.status_code, answer["Content-Type"], answer["Cache-Control"]) == (
        400,
        "application/json",
        "no-store",
    )
    assert answer.json().keys() == {"err", "description"}
    assert answer.json()["err"] == code
    assert user_of(client) == "ann"
    assert not ProviderMark.objects.exists()
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]


def test_neither_door_takes_the_other_s_tokens(ann: Any, provider: Provider) -> None:
    client = signed_in(provider)
    assert push(provider.token(sid="p1")).status_code == 400
    assert send(provider.event(SESSION, aud="mysite")).status_code == 400
    assert user_of(client) == "ann"


def test_a_site_that_wants_no_events_takes_none(ann: Any, provider: Provider, settings: Any) -> None:
    settings.SRVSESSION_OIDC = [provider.setting]
    client = signed_in(provider)
    assert ProviderLink.objects.count() == 2  # Nobody names people by their address: none is kept.
    assert push(provider.event(ANN)).json()["err"] == "invalid_issuer"
    assert user_of(client) == "ann"


def test_an_address_that_is_not_theirs_stands_for_nobody(ann: Any, provider: Provider) -> None:
    client = signed_in(provider, email_verified=False)
    revoke(provider, MAIL)
    assert user_of(client) == "ann"


def test_only_the_right_content_type_is_read(ann: Any, provider: Provider, settings: Any) -> None:
    token = provider.event(ANN)
    assert push(token, "application/json").status_code == 400
    assert Client().get(EVENTS).status_code == 405
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert push(token).status_code == 400
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100_000
    assert push(token, f"{SET}; charset=utf-8").status_code == 202
