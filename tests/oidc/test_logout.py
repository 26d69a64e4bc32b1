"""A logout at the identity provider ends the session here, whichever of sign-in and logout is faster."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.urls import path

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.models import ProviderLink, ProviderMark, SessionEvent
from django_srvsession.oidc import BackChannelLogoutView, index
from django_srvsession.operations.clearing import PacedClearing
from tests.oidc import site as pages
from tests.oidc.browsers import log_out, send, sign_in, user_of
from tests.oidc.provider import Provider
from tests.oidc.stores import on_one_engine, on_stores
from tests.servers import PostgreSQLServer, RedisServer


@on_stores
def test_a_session_of_the_provider_ends_ours_and_no_other(users: None, provider: Provider, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 1
    first, second = sign_in(provider.id_claims()), sign_in(provider.id_claims(provider_sid="p2"))
    bob = sign_in(provider.id_claims("bob", "p3"), "bob")
    log_out(provider, sid="p1")
    assert [user_of(client) for client in (first, second, bob)] == ["", "ann", "bob"]
    assert list(SessionEvent.objects.filter(kind="ended").values_list("reason", flat=True)) == ["provider_logout"]


@on_stores
def test_a_user_without_a_session_ends_all_of_the_user_s(users: None, provider: Provider) -> None:
    clients = [sign_in(provider.id_claims(provider_sid=sid)) for sid in ("p1", "p2", None)]
    bob = sign_in(provider.id_claims("bob"), "bob")
    log_out(provider, sub="ann")
    assert [user_of(client) for client in (*clients, bob)] == ["", "", "", "bob"]
    again = sign_in(provider.id_claims(ago_s=-1))
    assert user_of(again) == "ann"  # Signed in since.


@on_stores
def test_a_session_of_one_with_the_name_of_another_ends_nobody_s(users: None, provider: Provider) -> None:
    ann, bob = sign_in(provider.id_claims()), sign_in(provider.id_claims("bob", "p2"), "bob")
    log_out(provider, sid="p1", sub="bob")
    assert (user_of(ann), user_of(bob)) == ("ann", "bob")
    log_out(provider, sid="p1", sub="ann")
    assert (user_of(ann), user_of(bob)) == ("", "bob")


@on_stores
def test_who_was_signed_out_is_told_why(users: None, provider: Provider) -> None:
    client = sign_in(provider.id_claims())
    log_out(provider, sid="p1")
    page = client.get("/account/login/").content.decode()
    assert "You were signed out by the service that you sign in with." in page


@on_stores
@pytest.mark.parametrize("claims", [{"sid": "p1"}, {"sub": "ann"}, {"sid": "p1", "sub": "ann"}])
def test_a_logout_that_is_faster_than_the_sign_in_wins(users: None, provider: Provider, claims: dict[str, str]) -> None:
    id_claims = provider.id_claims()
    log_out(provider, **claims)
    assert user_of(sign_in(id_claims)) == ""


@on_stores
@pytest.mark.parametrize("is_before", [True, False])
def test_a_logout_beside_the_link_wins(
    users: None, provider: Provider, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = index.add

    def interrupted(*args: Any) -> None:
        if is_before:
            log_out(provider, sub="ann")
        add(*args)
        if not is_before:
            log_out(provider, sub="ann")

    monkeypatch.setattr(index, "add", interrupted)
    assert user_of(sign_in(provider.id_claims())) == ""


@on_stores
@pytest.mark.parametrize("is_before", [True, False])
def test_a_sign_in_beside_the_logout_s_look_loses(
    users: None, provider: Provider, is_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids_of, clients, claims = index.sids_of, [], provider.id_claims()

    def interrupted(token: Any) -> list[str]:
        if is_before:
            clients.append(sign_in(claims))
        sids = sids_of(token)
        if not is_before:
            clients.append(sign_in(claims))
        return sids

    monkeypatch.setattr(index, "sids_of", interrupted)
    log_out(provider, sid="p1")
    assert user_of(clients[0]) == ""


@on_one_engine
@pytest.mark.parametrize("database_alias", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("comes", ["before the commit", "after it"])
def test_under_atomic_requests_too(
    database_alias: str, engine: str, provider: Provider, comes: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_user_model().objects.create_user("ann")
    answers: list[int] = []

    def elsewhere() -> None:
        def log_out_there() -> None:
            try:
                answers.append(send(provider.token(sid="p1")).status_code)
            finally:
                connections.close_all()

        thread = threading.Thread(target=log_out_there)
        thread.start()
        thread.join()

    monkeypatch.setitem(connections[database_alias].settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connections.settings[database_alias], "ATOMIC_REQUESTS", True)
    settings.ROOT_URLCONF = ModuleType("pages_of_this_database")  # Made when the databases of the site are known.
    settings.ROOT_URLCONF.urlpatterns = [path("oidc/logout/", BackChannelLogoutView.as_view()), *pages.urlpatterns]
    if comes == "before the commit":
        pages.after_link.append(elsewhere)
    client = sign_in(provider.id_claims())
    if comes == "after it":
        elsewhere()
    assert answers == [200]
    assert user_of(client) == ""


@on_stores
def test_a_token_is_used_once(users: None, provider: Provider) -> None:
    token = provider.token(sub="ann")
    assert send(token).status_code == 200
    client = sign_in(provider.id_claims(ago_s=-1))
    assert send(token).status_code == 400
    assert user_of(client) == "ann"


@on_stores
def test_digests_of_an_earlier_secret_are_found(users: None, provider: Provider, settings: Any) -> None:
    client = sign_in(provider.id_claims())
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    log_out(provider, sid="p1")
    assert user_of(client) == ""


@on_stores
def test_the_tables_name_nobody(users: None, provider: Provider) -> None:
    sign_in(provider.id_claims("a-subject", "a-provider-s-session"))
    log_out(provider, sub="a-subject")
    rows = [*ProviderLink.objects.values(), *ProviderMark.objects.values()]
    assert len(rows) == 4
    assert "subject" not in str(rows) and "provider-s" not in str(rows)


@on_stores
def test_clearing_forgets_sessions_that_have_ended(users: None, provider: Provider) -> None:
    stays, ends = sign_in(provider.id_claims()), sign_in(provider.id_claims(provider_sid="p2"))
    log_out(provider, sid="p2")
    PacedClearing(pause=0).run()
    assert (ProviderLink.objects.count(), ProviderMark.objects.count()) == (4, 2)  # All of today.
    for model in (ProviderLink, ProviderMark):
        model.objects.update(created_ms=1)
    clearing = PacedClearing(pause=0)
    clearing.run()
    assert clearing.swept["provider links"] == 4
    assert (ProviderLink.objects.count(), ProviderMark.objects.count()) == (2, 0)
    log_out(provider, sid="p1")
    assert (user_of(stays), user_of(ends)) == ("", "")


@pytest.mark.django_db(transaction=True)
def test_a_stopped_redis_ends_nothing_and_uses_no_token_up(
    redis_prefix: str, lasting_redis: RedisServer, provider: Provider, settings: Any
) -> None:
    settings.CACHES = {**settings.CACHES, "sessions": lasting_redis.cache_settings()}
    settings.SESSION_CACHE_ALIAS = "sessions"
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    get_user_model().objects.create_user("ann")
    client, token = sign_in(provider.id_claims()), provider.token(sid="p1")
    lasting_redis.stop()
    answer = send(token)
    assert (answer.status_code, answer["Cache-Control"]) == (503, "no-store")
    lasting_redis.start()
    assert user_of(client) == "ann"
    assert send(token).status_code == 200
    assert user_of(client) == ""


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_a_stopped_database_ends_nothing_and_uses_no_token_up(
    database_alias: str, postgresql_server: PostgreSQLServer, provider: Provider, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    get_user_model().objects.create_user("ann")
    client, token = sign_in(provider.id_claims()), provider.token(sid="p1")
    postgresql_server.stop()
    try:
        connections[database_alias].close()
        assert send(token).status_code == 503
    finally:
        postgresql_server.start()
    assert user_of(client) == "ann"
    assert send(token).status_code == 200
    assert user_of(client) == ""


@pytest.mark.django_db
def test_a_link_before_the_sign_in_is_a_mistake_that_shows(provider: Provider) -> None:
    with pytest.raises(ValueError, match="after login"):
        Client().post("/too-early/", provider.id_claims(), content_type="application/json")


@pytest.mark.django_db
@pytest.mark.parametrize("changed", [{"iss": "https://other.example.com"}, {"sub": ""}, {"iat": None}, {"sid": 7}])
def test_a_link_of_claims_that_no_logout_would_find_is_a_mistake_that_shows(
    provider: Provider, changed: dict[str, Any]
) -> None:
    get_user_model().objects.create_user("ann")
    with pytest.raises(Exception, match=r"SRVSESSION_OIDC|ID token"):
        sign_in({**provider.id_claims(), **changed})
    assert not ProviderLink.objects.exists()


@on_stores
def test_the_session_is_saved_before_it_is_linked(users: None, provider: Provider) -> None:
    client = sign_in(provider.id_claims())
    (record,) = services.sessions_of(get_user_model().objects.get(username="ann"))
    assert set(ProviderLink.objects.values_list("sid", flat=True)) == {record.sid}
    assert list(current_store().alive([record.sid])) == [record.sid]
    assert user_of(client) == "ann"
