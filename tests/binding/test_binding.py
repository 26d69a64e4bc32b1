"""A session is bound after its sign-in; from then on its cookie alone opens nothing."""

from __future__ import annotations

from typing import Any

import pytest

from django_srvsession import services
from django_srvsession.engine.details import is_bound
from tests.binding.devices import REGISTRATION, Device, Key, bound_name
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(device: Device) -> Device:
    device.sign_in()
    assert device.is_bound
    assert device.user == "ann"
    return device


@on_every_store
def test_a_session_is_bound_after_its_sign_in(either: Device, engine: WatchedStore) -> None:
    either.sign_in()
    assert either.is_bound
    assert [is_bound(record) for record in services.live_sessions()] == [True]
    assert either.user == "ann"


@on_every_store
def test_the_stolen_cookie_is_refused_at_once_while_the_owner_goes_on(either: Device, engine: WatchedStore) -> None:
    signed_in(either)
    thief = either.thief()
    assert thief.user == ""
    assert thief.visit("/account/sessions/").status_code == 302
    assert either.user == "ann"
    assert len(services.live_sessions()) == 1


@on_every_store
def test_a_proof_brings_another_bound_cookie(either: Device, engine: WatchedStore) -> None:
    signed_in(either)
    old = either.cookie(bound_name())
    either.drop()
    assert either.user == "ann"
    assert either.is_bound
    assert either.cookie(bound_name()) != old


def test_a_browser_that_cannot_be_bound_is_as_before(binding: Any, ann: Any) -> None:
    other = Device(can=False)
    assert REGISTRATION in other.sign_in().headers
    assert other.user == "ann"
    assert [is_bound(record) for record in services.live_sessions()] == [False]


def test_an_rsa_key_will_do(binding: Any, ann: Any) -> None:
    device = signed_in(Device(key=Key.rsa()))
    device.drop()
    assert device.user == "ann"


@pytest.mark.parametrize(
    ("site", "scope"),
    [(None, {"include_site": False}), ("https://example.com", {"include_site": True, "origin": "https://example.com"})],
)
def test_a_browser_renews_for_its_host_or_for_the_site_whose_hosts_share_the_cookie(
    binding: Any, ann: Any, site: str | None, scope: dict[str, Any]
) -> None:
    binding.SRVSESSION_BIND_SITE, binding.SESSION_COOKIE_DOMAIN = site, site and "example.com"
    binding.STATIC_URL = "/static/"
    device = Device()
    device.sign_in()
    excluded = [{"type": "exclude", "domain": "*", "path": "/static/"}]
    assert device.config["scope"] == {**scope, "scope_specification": excluded}
    (credential,) = device.config["credentials"]
    assert ("Domain=example.com" in credential["attributes"]) is bool(site)
