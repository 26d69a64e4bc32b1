"""The bound cookie: good for one session, one key, one renewal, and for ten minutes."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signing import Signer
from django.test import override_settings

from tests.binding.devices import Device, Key, bound_name, change, cookie_of, renewed_ago

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(device: Device) -> Device:
    device.sign_in()
    assert device.user == "ann"
    return device


def user_with(owner: Device, value: str) -> str:
    """Return who is signed in with another bound cookie than the browser's."""
    thief = owner.thief()
    thief.client.cookies[bound_name()] = value
    return thief.user


def test_a_cookie_of_another_session_is_none(owner: Device, ann: Any) -> None:
    other = Device()
    other.sign_in()
    assert other.user == "ann"
    assert user_with(owner, str(other.cookie(bound_name()))) == ""
    assert user_with(owner, cookie_of(owner, sid="0" * 18)) == ""


def test_a_cookie_for_another_key_is_none(owner: Device) -> None:
    assert user_with(owner, cookie_of(owner, key=Key())) == ""


@pytest.mark.parametrize("value", ["", "x", ":", "a:b:c:d:e", "é", "\udc80", "1" * 4000, "0:0:0:0"])
def test_a_cookie_that_is_not_ours_is_none(owner: Device, value: str) -> None:
    thief = owner.thief()
    header = f"sessionid={thief.cookie('sessionid')}; {bound_name()}={value}"
    request = {"HTTP_COOKIE": header.encode("utf-8", "surrogateescape").decode("latin-1")}
    answer = Device().client.get("/whoami/", secure=True, **request)
    assert answer.status_code == 200 and answer.json()["user"] == ""


def test_a_signature_for_something_else_is_none(owner: Device) -> None:
    value = str(owner.cookie(bound_name())).rpartition(":")[0]
    assert user_with(owner, Signer(salt="something else").sign(value)) == ""
    assert user_with(owner, Signer(salt="django_srvsession.binding.cookies").sign(value)) == "ann"


def test_an_older_cookie_is_refused_a_minute_after_the_next_renewal(owner: Device) -> None:
    old = str(owner.cookie(bound_name()))
    owner.drop()
    assert owner.user == "ann"
    assert user_with(owner, old) == "ann"  # Requests under way.
    change(owner, renewed_ago(59))
    assert user_with(owner, old) == "ann"
    change(owner, renewed_ago(61))
    assert user_with(owner, old) == ""
    assert owner.user == "ann"


def test_a_cookie_from_two_renewals_ago_is_refused_at_once(owner: Device) -> None:
    old = str(owner.cookie(bound_name()))
    for _ in range(2):
        owner.drop()
        assert owner.user == "ann"
    assert user_with(owner, old) == ""


def test_a_cookie_of_a_renewal_that_never_was_is_none(owner: Device) -> None:
    assert user_with(owner, cookie_of(owner, generation=1)) == ""


def test_a_cookie_that_another_site_has_set_beside_it_shuts_nobody_out(owner: Device) -> None:
    good = owner.cookie(bound_name())
    for planted in (f"{bound_name()}=x; {bound_name()}={good}", f"{bound_name()}={good}; {bound_name()}=x"):
        answer = Device().client.get(
            "/whoami/", secure=True, HTTP_COOKIE=f"sessionid={owner.cookie('sessionid')}; {planted}"
        )
        assert answer.json()["user"] == "ann"


def test_a_look_alike_of_its_name_is_none(owner: Device) -> None:
    header = f"sessionid={owner.cookie('sessionid')}; \u2000{bound_name()}={owner.cookie(bound_name())}"
    answer = Device().client.get("/whoami/", secure=True, HTTP_COOKIE=header.encode().decode("latin-1"))
    assert answer.json()["user"] == ""


def test_a_cookie_under_a_fallback_secret_is_good(owner: Device, settings: Any) -> None:
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert owner.user == "ann"
        owner.drop()
        assert owner.user == "ann"


@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        ({}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            {"SESSION_COOKIE_DOMAIN": "testserver.example"},
            "Domain=testserver.example; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
        ({"SESSION_COOKIE_SAMESITE": "None"}, "Path=/; Secure; HttpOnly; SameSite=None"),
        ({"SESSION_COOKIE_SAMESITE": False}, "Path=/; Secure; HttpOnly"),
        ({"SESSION_COOKIE_SAMESITE": None}, "Path=/; Secure; HttpOnly"),
        ({"SESSION_COOKIE_HTTPONLY": False}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"SESSION_COOKIE_NAME": "__Host-id"}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
    ],
)
def test_the_browser_is_told_of_the_attributes_that_the_cookie_has(
    binding: Any, ann: Any, values: dict[str, Any], attributes: str
) -> None:
    """It passes over a cookie that it was told of otherwise."""
    with override_settings(**values):
        device = Device()
        device.sign_in()
        (credential,) = device.config["credentials"]
        assert credential == {"type": "cookie", "name": bound_name(), "attributes": attributes}
        morsel = device.client.cookies[bound_name()]
        parts = [f"Domain={morsel['domain']}"] if morsel["domain"] else []
        parts += [f"Path={morsel['path']}"]
        parts += [flag for flag in ("Secure", "HttpOnly") if morsel[flag.lower()]]
        parts += [f"SameSite={morsel['samesite']}"] if morsel["samesite"] else []
        assert "; ".join(parts) == attributes
        assert morsel["max-age"] == 600
