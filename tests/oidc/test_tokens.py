"""What is no logout token of a provider that the site knows is refused, ends nothing, stores nothing, and is logged."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.core import checks
from django.test import Client
from django.urls import include, path
from jwt.utils import base64url_encode

from django_srvsession.checks import oidc as oidc_checks
from django_srvsession.models import ProviderMark
from django_srvsession.oidc import BackChannelLogoutView, SecurityEventView
from tests.oidc.browsers import LOGOUT, log_out, send, sign_in, user_of
from tests.oidc.provider import EVENT, Provider, rsa_key, stranger

pytestmark = pytest.mark.django_db
WHO = {"sid": "p1", "sub": "ann"}


@pytest.fixture(autouse=True)
def ann(provider: Provider) -> Any:
    return get_user_model().objects.create_user("ann")


def tampered(provider: Provider) -> str:
    head, _, signature = provider.token(sid="p2").split(".")
    body = provider.token(**WHO).split(".")[1]
    return f"{head}.{body}.{signature}"


def by_hand(key: Any, algorithm: str, kid: str | None = None) -> Callable[[Provider], str]:
    def make(provider: Provider) -> str:
        headers = {"kid": provider.kid if kid is None else kid, "typ": "logout+jwt"}
        return jwt.encode(provider.claims(**WHO), key, algorithm, headers=headers)

    return make


def by_its_public_key(provider: Provider) -> str:
    """The public key as the secret of HS256."""
    return by_hand(str(provider.published()[0]["x"]) * 2, "HS256")(provider)


def of(header: dict[str, Any] | None = None, **changed: Any) -> Callable[[Provider], str]:
    return lambda provider: provider.token(header, **{**WHO, **changed})


def with_header(**header: Any) -> Callable[[Provider], str]:
    """PyJWT signs no such header: by hand."""
    return lambda provider: by_parts(provider, header, provider.claims(**WHO))


def with_claims(**claims: Any) -> Callable[[Provider], str]:
    return lambda provider: by_parts(provider, {}, provider.claims(**{**WHO, **claims}))


def by_parts(provider: Provider, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A genuine signature over anything."""
    head = {"alg": "ES256", "kid": provider.kid, "typ": "logout+jwt", **header}
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in (head, claims))
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    return b".".join([signed, base64url_encode(algorithm.sign(signed, provider.keys[provider.kid]))]).decode()


BAD: dict[str, Callable[[Provider], str]] = {
    "no JWT": lambda provider: "logout",
    "empty": lambda provider: "",
    "bytes": lambda provider: "\ud800\0.é.=".encode("utf-8", "replace").decode(),
    "too large": lambda provider: provider.token(**WHO, padding="x" * 9000),
    "unsigned": by_hand(None, "none"),
    "HS256": by_its_public_key,
    "of another key": by_hand(stranger(), "ES256"),
    "of a key that is not published": by_hand(stranger(), "ES256", "other"),
    "of another kind of key": by_hand(rsa_key(), "RS256"),
    "tampered with": tampered,
    "for another site": of(aud="another"),
    "for nobody": of(aud=None),
    "of another issuer": of(iss="https://other.example.com"),
    "of an issuer that is no text": with_claims(iss=["https://id.example.com"]),
    "cut": lambda provider: provider.token(**WHO)[:-4],
    "of a kind that is no text": with_header(typ=7),
    "no object": lambda provider: jwt.api_jws.encode(b"[1]", provider.keys[provider.kid], "ES256"),
    "expired": lambda provider: provider.token(**WHO, exp=int(time.time()) - 120),
    "too old": lambda provider: provider.token(**WHO, iat=int(time.time()) - 3600),
    "of the future": lambda provider: provider.token(**WHO, iat=int(time.time()) + 3600),
    "of no time": of(iat=None),
    "of a time that is none": of(iat="now"),
    "of an endless time": of(iat=1e400),
    "of a time before all numbers of a clock": of(iat=-(10**400)),
    "with a nonce": of(nonce="n"),
    "without events": of(events=None),
    "of another event": of(events={"http://schemas.openid.net/event/other": {}}),
    "of events that are none": of(events=EVENT),
    "of an event that is none": of(events={EVENT: True}),
    "of nobody": lambda provider: provider.token(),
    "of a user that is no text": of(sub=7),
    "of an empty session": of(sid=""),
    "without a name": of(jti=None),
    "with a name that is no text": of(jti=["x"]),
    "an access token": of({"typ": "at+jwt"}),
    "of the typ of any JWT": of({"typ": "JWT"}),
    "a security event": of({"typ": "secevent+jwt"}),
    "of a key whose name is no text": with_header(kid=7),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_ends_nothing(provider: Provider, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    client = sign_in(provider.id_claims())
    caplog.clear()
    token = BAD[kind](provider)
    with caplog.at_level(logging.WARNING):
        answer = send(token)
    assert (answer.status_code, answer["Cache-Control"]) == (400, "no-store")
    assert answer.json()["error"] == "invalid_request"
    assert user_of(client) == "ann"
    assert not ProviderMark.objects.exists()
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousSession"]
    assert len(token) < 20 or token not in caplog.text


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (of(iss="https://id.example.com/"), "differ by a slash at the end"),
        (of(iss="https://other.example.com"), "its issuer is none that SRVSESSION_OIDC names"),
        (of(aud="another"), "its aud is not the client_id"),
        (of(jti=None), "it has no claim jti"),
    ],
)
def test_a_wrong_setting_shows_in_the_log(
    provider: Provider, made: Callable[[Provider], str], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = send(made(provider))
    assert expected in caplog.text
    assert expected in answer.json()["error_description"]


def test_a_token_may_leave_out_its_kind_and_name_several_sites(provider: Provider) -> None:
    for header in ({"typ": None}, {"typ": "Logout+JWT"}, {"typ": "application/logout+jwt"}):
        client = sign_in(provider.id_claims(ago_s=-1))
        assert send(provider.token(header, sub="ann", aud=["another", "mysite"])).status_code == 200
        assert user_of(client) == ""


def test_the_typ_jwt_is_for_providers_of_which_the_site_says_so(
    provider: Provider, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Keycloak before 25 and authentik before 2026.2 send it; the standard recommends another one."""
    client, token = sign_in(provider.id_claims()), provider.token({"typ": "JWT"}, sub="ann")
    assert send(token).status_code == 400
    assert '"logout_typ": "JWT"' in caplog.text
    assert user_of(client) == "ann"
    settings.SRVSESSION_OIDC = [{**provider.setting, "logout_typ": "JWT"}]
    assert send(token).status_code == 200
    assert user_of(client) == ""
    assert send(provider.token(sub="ann")).status_code == 200  # As it does after its next upgrade.
    assert send(provider.token({"typ": "at+jwt"}, sub="ann")).status_code == 400


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_only_a_post_is_answered(method: str) -> None:
    answer = getattr(Client(), method)(LOGOUT)
    assert (answer.status_code, answer["Cache-Control"]) == (405, "no-store")


def test_two_tokens_and_a_token_in_the_address_are_refused(provider: Provider) -> None:
    tokens = [provider.token(**WHO), provider.token(**WHO)]
    assert Client().post(LOGOUT, {"logout_token": tokens}).status_code == 400
    assert Client().post(f"{LOGOUT}?logout_token={tokens[0]}").status_code == 400


def test_a_request_that_is_too_large_is_refused_as_json(provider: Provider, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = Client().post(LOGOUT, f"logout_token={'x' * 1000}", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_new_key_of_the_provider_is_fetched_and_known_ones_are_kept(provider: Provider) -> None:
    log_out(provider, sid="p1")
    log_out(provider, sid="p2")
    assert provider.asked == 1
    provider.rotate()
    client = sign_in(provider.id_claims())
    log_out(provider, sub="ann")
    assert provider.asked == 2
    assert user_of(client) == ""


def test_whoever_sends_tokens_does_not_decide_how_often_keys_are_fetched(provider: Provider) -> None:
    log_out(provider, sid="p1")
    answers = [send(by_hand(stranger(), "ES256", f"k{number}")(provider)).status_code for number in range(4)]
    assert answers == [400, 503, 503, 503]  # 503: it may be a key of these ten seconds, and is to be sent again.
    assert provider.asked == 2
    log_out(provider, sid="p2")


def test_a_provider_that_does_not_tell_its_keys_is_an_outage(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    client, token = sign_in(provider.id_claims()), provider.token(sid="p1")
    provider.is_out = True
    with caplog.at_level(logging.ERROR):
        assert [send(token).status_code, send(token).status_code] == [503, 503]
    assert f"{provider.setting['jwks_uri']}: <HTTPError 500" in caplog.text
    assert provider.asked == 1
    assert user_of(client) == "ann"
    assert not ProviderMark.objects.exists()


GOOD = {"issuer": "https://id.example.com", "client_id": "x", "jwks_uri": "https://id.example.com/keys"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([GOOD], ""),
        ((), ""),
        ([{**GOOD, "jwks_uri": "http://localhost:8080/keys"}], ""),
        (GOOD, "must be a list of dicts"),
        ([{**GOOD, "secret": "x"}], "entry 0 has 'secret'; it may have issuer, client_id"),
        ([GOOD, {"issuer": "https://id.example.com"}], "entry 1 has no client_id"),
        ([{**GOOD, "jwks_uri": "http://id.example.com/keys"}], "jwks_uri of entry 0 must be an https:// URL"),
        ([{**GOOD, "jwks_uri": "file:///etc/keys"}], "jwks_uri of entry 0 must be an https:// URL"),
        ([{**GOOD, "client_id": 7}], "client_id of entry 0 is 7"),
        ([{**GOOD, "client_id": ""}], "client_id of entry 0 is ''"),
        ([{**GOOD, "logout_typ": "JWT", "ssf_audience": "x", "ssf_issuer": "https://x.example"}], ""),
        ([{**GOOD, "logout_typ": "at+jwt"}], "logout_typ of entry 0"),
        ([{**GOOD, "ssf_issuer": "https://x.example"}], "entry 0 has ssf_issuer, and no ssf_audience"),
        ([{**GOOD, "ssf_audience": "x", "ssf_jwks_uri": "http://x.example/keys"}], "ssf_jwks_uri of entry 0"),
        (["https://id.example.com"], "entry 0 is str"),
        ([GOOD, {**GOOD, "client_id": "other"}], ""),
        ([{**GOOD, "client_id": "other"}, GOOD, GOOD], "entries 1 and 2 are one provider"),
        ([GOOD, {**GOOD, "ssf_audience": "x"}], "entries 0 and 1 are one provider"),
    ],
)
def test_a_malformed_entry_is_reported(settings: Any, value: Any, expected: str) -> None:
    settings.SRVSESSION_OIDC = value
    found = {error.msg for error in checks.run_checks() if error.id == "srvsession.E002"}
    assert len(found) == bool(expected)
    assert all(expected in text for text in found)


@pytest.mark.parametrize(
    ("more", "views", "unheard"),
    [
        ({}, [], "BackChannelLogoutView"),
        ({}, [BackChannelLogoutView], ""),
        ({"end_session_endpoint": "https://id.example.com/end"}, [], ""),
        ({"ssf_audience": "x"}, [BackChannelLogoutView], "SecurityEventView"),
        ({"ssf_audience": "x"}, [SecurityEventView], ""),
    ],
)
def test_a_site_that_would_not_hear_of_logouts_is_told_so(
    settings: Any, more: dict[str, str], views: list[Any], unheard: str
) -> None:
    settings.SRVSESSION_OIDC = [{**GOOD, **more}]
    settings.ROOT_URLCONF = ModuleType("urls")
    inner = [path("x/", view.as_view()) for view in views]
    settings.ROOT_URLCONF.urlpatterns = [path("oidc/", include((inner, "x")))]
    told = [str(found.msg) for found in checks.run_checks() if found.id == "srvsession.W027"]
    assert len(told) == bool(unheard)
    assert unheard in "".join(told)


def test_a_site_without_pyjwt_is_told_so(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_checks, "find_spec", lambda name: None)
    assert "srvsession.E019" in {str(found.id) for found in checks.run_checks()}
