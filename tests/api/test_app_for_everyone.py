"""Everyone can see and end an app's session: on pages and in JSON, in the admin, by command."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import include, path, reverse

from django_srvsession.engine.keys import SessionKey
from tests.api.client import Api, problem, url
from tests.app import HEADER, App
from tests.engine.every_store import on_every_store

pytestmark = pytest.mark.django_db(transaction=True)

IPHONE = "MyApp/2.3 (iPhone; iOS 17.5; Scale/3.00)"

urlpatterns = [
    path("api/", include("django_srvsession.api.urls")),
    path("account/", include("django_srvsession.urls")),
    path("admin/", admin.site.urls),
]


@pytest.fixture(autouse=True)
def _site(site: None, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.SRVSESSION_HEADER = HEADER
    settings.SRVSESSION_EVENT_LOG = 30


def signed_in(**members: Any) -> App:
    app = App(agent=IPHONE)
    assert app.ask("POST", url("login"), {"username": "ann", "password": "pass-ann", **members}).status_code == 200
    return app


def sid_of(app: App) -> str:
    key = SessionKey.parse(app.token)
    assert key is not None
    return key.sid


def ended(app: App) -> str:
    """Check that the app is out and learns it at its next request; return what it is told."""
    found = problem(app.ask("GET", url("sessions")), 401)["ended"]
    assert app.token == ""
    return str(found["detail"])


@on_every_store
def test_the_person_sees_and_ends_it_on_the_page_of_their_devices(ann: Any) -> None:
    app = signed_in()
    browser = Api("ann").client
    page = browser.get("/account/sessions/").content.decode()
    assert "MyApp 2.3 on iPhone" in page and "srvsession/app.svg" in page
    token = browser.cookies["csrftoken"].value
    answer = browser.post(f"/account/sessions/{sid_of(app)}/end/", {"csrfmiddlewaretoken": token})
    assert answer.status_code == 302
    assert ended(app) == "You were signed out from another device."


@on_every_store
def test_staff_find_and_end_it_in_the_admin_as_an_app(ann: Any) -> None:
    app, other = signed_in(device_name="Till 4"), Api("ann")
    get_user_model().objects.create_superuser("root", password="pass-root")
    staff = Client()
    assert staff.login(username="root", password="pass-root")
    listed = staff.get(reverse("admin:srvsession_livesession_changelist"), {"device": "app"}).content.decode()
    assert sid_of(app) in listed and "Till 4" in listed
    assert other.sid not in listed
    address = reverse("admin:srvsession_livesession_delete", args=[sid_of(app)])
    assert staff.post(address, {"post": "yes", "password": "pass-root"}).status_code == 302
    assert ended(app) == "You were signed out by an administrator."


@on_every_store
def test_operators_list_and_end_it_by_command(ann: Any) -> None:
    app = signed_in()
    out = io.StringIO()
    call_command("listsessions_srv", "--json", stdout=out)
    (line,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["sid"], line["device"]) == (sid_of(app), "MyApp 2.3 on iPhone")
    assert app.token not in out.getvalue()
    call_command("revokesessions_srv", "--user", "ann", "--no-input", stdout=io.StringIO())
    assert ended(app) == "You were signed out by an administrator."


def test_the_activity_tells_of_its_sign_ins_right_and_wrong_and_of_its_end(ann: Any) -> None:
    app = App(agent=IPHONE)
    app.ask("POST", url("login"), {"username": "ann", "password": "wrong"})
    app = signed_in()
    app.ask("POST", url("logout"))
    events = Api("ann").get("activity").json()["events"][1:]
    assert [(event["kind"], event["device"]) for event in events] == [
        (kind, {"name": "MyApp 2.3 on iPhone", "kind": "app"}) for kind in ("ended", "started", "failed")
    ]


def test_a_new_password_ends_every_app(ann: Any) -> None:
    app, other = signed_in(), signed_in()
    ann.set_password("pass-new")
    ann.save()
    assert [ended(one) for one in (app, other)] == ["You were signed out because your password was changed."] * 2
