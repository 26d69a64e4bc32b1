"""Without the bound cookie a bound session opens at two addresses, for a proof; without one it is not used there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from django_srvsession import services
from tests.binding.devices import Device, bound_name, change, renewed_ago

pytestmark = pytest.mark.django_db(transaction=True)

BY_THE_SITE = "tests.binding.test_let_in.note_visits"


def note_visits(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Keep something in each visitor's session, as many a site's middleware does."""

    def answer(request: HttpRequest) -> HttpResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return get_response(request)

    return answer


@pytest.fixture
def owner(device: Device, settings: Any) -> Device:
    """Ann's bound browser, on a site that saves at every request; its last renewal is five minutes ago."""
    device.sign_in()
    assert device.user == "ann"
    change(device, renewed_ago(300))
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    return device


def standing() -> list[Any]:
    """Return all that is stored of the sessions, their last use included."""
    return [services.contents_of(record.sid) for record in services.live_sessions()]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", ["/device/refresh/", "/device/register/"])
@pytest.mark.parametrize("middleware", [None, BY_THE_SITE])
def test_a_thief_at_the_addresses_for_proofs_prolongs_nothing_and_keeps_nothing(
    owner: Device, settings: Any, path: str, method: str, middleware: str | None
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *filter(None, [middleware])]
    before, thief = standing(), owner.thief()
    assert thief.ask(path, method).status_code in (400, 403, 405)
    assert standing() == before
    assert owner.visit("/fill/").status_code == 200
    assert standing() != before, "the owner does"


def test_a_thief_prolongs_nothing_in_the_last_minute_either(owner: Device, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = False
    settings.SRVSESSION_IDLE_TIMEOUT = 30
    assert owner.visit("/fill/").status_code == 200
    before, thief = standing(), owner.thief()
    for path in ("/device/refresh/", "/device/register/"):
        assert thief.ask(path, "post").status_code in (400, 403, 405)
    assert standing() == before


def test_a_proof_prolongs_the_session_as_every_use_does(owner: Device) -> None:
    (before,) = services.live_sessions()
    owner.drop()
    assert owner.user == "ann" and bound_name() in owner.client.cookies
    (after,) = services.live_sessions()
    assert after.last_seen_ms >= before.last_seen_ms and after.version > before.version
