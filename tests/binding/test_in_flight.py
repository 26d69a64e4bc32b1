"""A registration, and the requests of the page after the sign-in that are under way: nothing of either is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings as site_settings

from django_srvsession import services
from django_srvsession.engine.details import details_of, is_bound
from tests.binding.devices import REGISTRATION, Device, engine, renewed_ago
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.trust import WHOLE, rounds

KINDS = {
    "a plain save": lambda session: session.__setitem__("basket", 3),
    "a new name": lambda session: session.change_details_later(lambda details, now_ms: details._replace(name="mine")),
    "a proof": lambda session: session.note_proof("password"),
    "another lifetime": lambda session: session.set_expiry(4000),
    "a new key": lambda session: session.cycle_key(),
    "nothing but a use": lambda session: None,
}


TRIED = list(KINDS) if WHOLE else ["a plain save", "a new key"]


def registered(device: Device, header: str) -> None:
    device.can = True
    assert device.register(header).status_code == 200


def asked() -> tuple[Device, str]:
    device = Device(can=False)
    return device, device.sign_in().headers[REGISTRATION]


@pytest.mark.parametrize("kind", TRIED)
def test_a_save_that_was_under_way_keeps_the_binding(every_store: str, binding: Any, ann: Any, kind: str) -> None:
    device, header = asked()
    slow = engine(device.cookie(site_settings.SESSION_COOKIE_NAME))
    slow.get("basket")  # The page has read its session, and the browser registers.
    registered(device, header)
    KINDS[kind](slow)
    slow.save()
    if slow.session_key != device.cookie(site_settings.SESSION_COOKIE_NAME):
        device.client.cookies[site_settings.SESSION_COOKIE_NAME] = slow.session_key
    (record,) = services.live_sessions()
    assert is_bound(record)
    assert device.user == "ann"
    assert device.thief().user == ""
    if kind == "a plain save":
        assert device.visit("/whoami/").json()["basket"] == 3
    if kind == "a new name":
        assert details_of(record).name == "mine"


def test_a_logout_that_was_under_way_leaves_nothing_bound(every_store: str, binding: Any, ann: Any) -> None:
    device, header = asked()
    other_tab = device.thief()
    other_tab.visit("/sign-out/")
    device.can = True
    answer = device.register(header)
    assert answer.json() == {"continue": False}
    assert list(services.live_sessions()) == []


def test_registrations_and_saves_at_the_same_time_lose_nothing(every_store: str, binding: Any, ann: Any) -> None:
    """Every request has its own thread and connection; whatever is first, the key and all that was kept are there."""
    if every_store == "sqlite":
        pytest.skip("writers wait for each other there, and the others show the same")
    for _ in range(rounds(20)):
        device, header = asked()
        tabs = [device.thief() for _ in range(3)]
        start = threading.Barrier(len(tabs) + 1)
        failures: list[BaseException] = []

        def run(work: Any, *arguments: Any, start: Any = start, failures: Any = failures) -> None:
            from django.db import connections

            try:
                start.wait(10)
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - shown below.
                failures.append(error)
            finally:
                connections.close_all()

        def keep(name: str, device: Device = device) -> None:
            session = engine(device.cookie(site_settings.SESSION_COOKIE_NAME))
            session[name] = 1
            session.save()

        threads = [threading.Thread(target=run, args=(keep, f"tab{number}")) for number in range(len(tabs))]
        threads.append(threading.Thread(target=run, args=(registered, device, header)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        session = engine(device.cookie(site_settings.SESSION_COOKIE_NAME))
        assert [session.get(f"tab{number}") for number in range(len(tabs))] == [1, 1, 1]
        assert session.details.binding and device.user == "ann"
        services.revoke(device.sid)


def test_renewals_at_the_same_time_leave_the_browser_signed_in(every_store: str, binding: Any, ann: Any) -> None:
    device, header = asked()
    registered(device, header)
    assert device.user == "ann"
    proof = device.key.proof(device.challenge, with_key=False)
    first, again = (device.prove("/device/refresh/", proof) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 403)
    assert device.user == "ann"
    session = engine(device.cookie(site_settings.SESSION_COOKIE_NAME))
    session.change_details(renewed_ago(61))
    assert device.user == "ann"
