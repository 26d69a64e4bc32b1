"""What people, programs and operators see of a session's binding."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from tests.binding.devices import Device
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def both(binding: Any, ann: Any) -> tuple[Device, Device]:
    """A bound browser and one that cannot be bound, both signed in."""
    device, other = Device(agent="Chrome"), Device(can=False)
    device.sign_in()
    other.sign_in()
    assert device.user == other.user == "ann"
    return device, other


@pytest.fixture
def staff(binding: Any) -> Client:
    get_user_model().objects.create_superuser("boss")
    client = Client()
    client.force_login(get_user_model().objects.get(username="boss"))
    return client


def card_of(page: str, sid: str) -> str:
    return page.split(f'id="session-{sid}"')[1].split("</li>")[0]


def test_the_own_devices_say_which_are_bound(both: tuple[Device, Device]) -> None:
    device, other = both
    page = other.visit("/account/sessions/").content.decode()
    assert "Bound to this device" in card_of(page, device.sid)
    assert "Bound to this device" not in card_of(page, other.sid)


def test_the_api_says_which_are_bound(both: tuple[Device, Device]) -> None:
    device, other = both
    listed = other.visit("/api/sessions/").json()["sessions"]
    assert {session["sid"]: session["bound"] for session in listed} == {device.sid: True, other.sid: False}
    assert device.visit("/api/whoami/").json()["session"]["bound"] is True


@on_every_store
def test_the_admin_lists_those_that_are_bound_and_those_that_are_not(
    engine: WatchedStore, both: tuple[Device, Device], staff: Client
) -> None:
    device, other = both
    list_url = "/admin/srvsession/livesession/"

    def listed(query: str) -> set[str]:
        rows = staff.get(list_url + query, secure=True).context["cl"].result_list
        return {row.sid for row in rows if row.user_id is not None} & {device.sid, other.sid}

    assert listed("") == {device.sid, other.sid}
    assert listed("?bound=yes") == {device.sid}
    assert listed("?bound=no") == {other.sid}
    assert listed("?bound=yes&q=127.") == {device.sid}
    detail = staff.get(f"{list_url}{device.sid}/change/", secure=True).content.decode()
    assert "bound to this device" in detail
    assert "bound to this device" not in staff.get(f"{list_url}{other.sid}/change/", secure=True).content.decode()


def test_a_site_that_binds_nothing_has_no_such_filter(staff: Client, settings: Any) -> None:
    settings.SRVSESSION_BIND = None
    page = staff.get("/admin/srvsession/livesession/", secure=True).content.decode()
    assert "?bound=" not in page
    assert staff.get("/admin/srvsession/livesession/?bound=yes", secure=True).status_code == 302


def test_the_commands_say_which_are_bound(both: tuple[Device, Device]) -> None:
    device, other = both
    out = StringIO()
    call_command("listsessions_srv", "--json", stdout=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["sid"]: line["bound"] for line in lines} == {device.sid: True, other.sid: False}
    out = StringIO()
    call_command("listsessions_srv", stdout=out)
    (line,) = [line for line in out.getvalue().splitlines() if device.sid in line]
    assert "(bound)" in line
    assert out.getvalue().count("(bound)") == 1
