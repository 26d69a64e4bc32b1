"""When a browser is asked for its key: in the answer of a sign-in or of a proof of the person, and in no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.contrib.auth import get_user_model

from django_srvsession import services
from django_srvsession.engine.details import details_of, is_bound
from tests.binding.devices import REGISTRATION, Device, change, engine
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("/account/login/", {"username": "ann", "password": "ann's password"}, None),
        ("/admin/login/?next=/admin/", {"username": "ann", "password": "ann's password"}, None),
        ("/api/login/", {"username": "ann", "password": "ann's password"}, "application/json"),
        ("/sign-in/ann/", None, None),
        ("/a/sign-in/ann/", None, None),
    ],
)
@pytest.mark.parametrize("asgi", [False, True])
def test_every_way_to_sign_in_asks_for_the_key(
    binding: Any, ann: Any, path: str, data: Any, kind: str | None, asgi: bool
) -> None:
    get_user_model().objects.update(is_staff=True)
    device = Device(asgi=asgi)
    if kind:
        from asgiref.sync import async_to_sync

        post = device.client.post
        send = async_to_sync(post) if asgi else post
        answer = send(path, json.dumps(data), content_type=kind, secure=True)
        assert REGISTRATION in answer.headers
        device.register(answer.headers[REGISTRATION])
    else:
        device.ask(path, "get" if data is None else "post", data)
    assert device.is_bound and device.user == "ann"


def test_no_other_answer_asks_for_the_key(binding: Any, ann: Any) -> None:
    """Whoever copied the cookie is never asked."""
    other = Device(can=False)
    other.sign_in()
    for path in ("/whoami/", "/fill/", "/account/sessions/", "/account/activity/", "/api/whoami/", "/a/whoami/"):
        assert REGISTRATION not in other.thief().ask(path).headers, path


def test_a_wrong_password_asks_for_nothing(binding: Any, ann: Any) -> None:
    answer = Device().ask("/account/login/", "post", {"username": "ann", "password": "wrong"})
    assert REGISTRATION not in answer.headers


@pytest.mark.parametrize("policy", ["offer", "require"])
def test_a_session_from_before_is_bound_when_its_person_confirms_the_password(
    binding: Any, ann: Any, policy: str
) -> None:
    binding.SRVSESSION_BIND = None
    device = Device()
    device.sign_in()
    assert not device.is_bound
    binding.SRVSESSION_BIND = policy
    assert REGISTRATION not in device.visit("/account/confirm/").headers
    wrong = device.visit("/account/confirm/", "post", {"password": "wrong"})
    assert REGISTRATION not in wrong.headers
    before = device.sid
    device.visit("/account/confirm/", "post", {"password": "ann's password"})
    assert device.is_bound and device.sid == before and device.user == "ann"
    assert device.thief().user == ""


@on_every_store
def test_a_bound_session_that_goes_on_in_a_new_one_is_bound_there_or_ends(
    engine: WatchedStore, binding: Any, ann: Any
) -> None:
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    before = device.sid
    answer = device.visit("/go-on/")
    assert answer.status_code == 200 and device.sid != before
    (record,) = services.live_sessions()
    assert record.sid == device.sid and is_bound(record)
    assert device.user == "ann" and device.thief().user == ""


def test_a_bound_session_that_went_on_in_a_browser_without_its_key_ends(binding: Any, ann: Any) -> None:
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    device.can = False
    device.visit("/go-on/")
    (record,) = services.live_sessions()
    assert details_of(record).bind_by_ms is not None
    change(device, lambda details, now_ms: details._replace(bind_by_ms=now_ms))
    assert device.user == ""


def test_a_new_password_keeps_the_binding(binding: Any, ann: Any) -> None:
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    device.visit("/new-password/")
    assert device.user == "ann" and device.thief().user == ""
    assert engine(device.cookie(site_settings.SESSION_COOKIE_NAME)).get("basket") is None


def test_another_user_in_the_same_browser_has_a_session_and_a_binding_of_their_own(binding: Any, ann: Any) -> None:
    get_user_model().objects.create_user("bob")
    device = Device()
    device.sign_in("ann")
    assert device.user == "ann"
    before = device.sid
    device.sign_in("bob")
    assert device.sid != before and device.is_bound and device.user == "bob"
    (record,) = services.live_sessions()
    assert record.sid == device.sid and is_bound(record)
