"""What binding costs: nothing where a site does not bind, and no look into the store of its own where it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.test import Client

from tests.binding.devices import REGISTRATION, Device
from tests.engine.watched import WatchedStore
from tests.patience import patient
from tests.runs import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

VISIT = """
import json, sys
import django
django.setup()
from django.conf import settings
settings.ROOT_URLCONF = "tests.binding.without"
settings.ALLOWED_HOSTS = ["*"]
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
get_user_model().objects.create_user("ann", password="secret")
from django.test import Client
client = Client()
answer = client.post("/account/login/", {"username": "ann", "password": "secret"}, secure=True)
assert answer.status_code == 302, answer.content
assert client.get("/account/sessions/", secure=True).status_code == 200
headers = [name for name in answer.headers if name.lower().startswith("secure-session")]
print(json.dumps([sorted(sys.modules), headers, sorted(client.cookies)]))
"""


def test_a_site_that_does_not_bind_imports_nothing_of_it_and_sends_nothing() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", VISIT], env=env, capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert done.returncode == 0, done.stderr
    modules, headers, cookies = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in modules if name.startswith(("django_srvsession.binding", "jwt"))] == []
    assert headers == [] and [name for name in cookies if name.endswith("_bound")] == []


def calls_of(store: WatchedStore, device: Device, path: str) -> list[str]:
    return [asked.verb for asked in store.since(lambda: device.ask(path))]


@pytest.mark.parametrize("asgi", [False, True])
def test_a_request_asks_the_store_as_often_bound_or_not(
    binding: Any, ann: Any, store: WatchedStore, asgi: bool
) -> None:
    device, other = Device(asgi=asgi), Device(can=False, asgi=asgi)
    device.sign_in()
    other.sign_in()
    assert device.user == other.user == "ann"
    path = f"{device.a}/whoami/"
    assert calls_of(store, device, path) == calls_of(store, other, path) == ["load"]


def test_the_browser_s_first_request_writes_once_that_it_has_the_cookie(
    binding: Any, ann: Any, store: WatchedStore
) -> None:
    device = Device()
    device.sign_in()
    assert calls_of(store, device, "/whoami/") == ["load", "update"]
    assert calls_of(store, device, "/whoami/") == ["load"]


def test_what_was_not_noted_withholds_no_page(binding: Any, ann: Any, store: WatchedStore) -> None:
    device = Device()
    device.sign_in()
    store.out = {"update"}
    assert device.user == "ann"
    store.come_back()
    store.inner.bookkeeping_rests_until = 0  # type: ignore[attr-defined]


def test_who_does_not_sign_in_is_asked_for_nothing(binding: Any) -> None:
    answer = Client().get("/fill/", secure=True)
    assert REGISTRATION not in answer.headers
