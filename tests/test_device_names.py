"""Names that people and apps give to devices: kept with the session, shown beside what the device is, and harmless."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from django_srvsession import services
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import current_store
from django_srvsession.engine.details import Details
from django_srvsession.engine.naming import device_name_of
from django_srvsession.records import Client as From
from django_srvsession.records import SessionRecord
from django_srvsession.store import StoreUnavailableError
from tests.every_store import every_store_fixture

__all__ = ["every_store_fixture"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
NAME, SESSIONS, LOGIN = "/account/sessions/name/", "/account/sessions/", "/api/login/"

urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    path("admin/", admin.site.urls),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.LOGIN_URL = "srvsession:login"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def ann(transactional_db: None) -> Any:
    return get_user_model().objects.create_user("ann", password="secret")


def sign_in(agent: str = FIREFOX) -> Client:
    client = Client(HTTP_USER_AGENT=agent)
    assert client.post("/account/login/", {"username": "ann", "password": "secret"}).status_code == 302
    return client


def sign_in_by_app(**members: Any) -> Any:
    client = Client(HTTP_USER_AGENT="okhttp/4.12.0")
    body = json.dumps({"username": "ann", "password": "secret", **members})
    return client.post(LOGIN, body, content_type="application/json")


def listed(client: Client) -> str:
    answer = client.get(SESSIONS)
    assert answer.status_code == 200
    return str(answer.content.decode())


def named(name: str = "", app: str = "", agent: str = FIREFOX) -> SessionRecord:
    details = Details(name=name, app=app).encode()
    return SessionRecord("5" * 18, "0" * 64, 0, 0, 0, 0, client=From("192.0.2.1", agent), details=details)


def test_a_person_names_the_device_in_use_on_every_store(every_store: str) -> None:
    ann = get_user_model().objects.create_user("ann", password="secret")
    client, other = sign_in(), sign_in()
    key = client.cookies["sessionid"].value
    assert 'href="/account/sessions/name/"' in listed(client)
    answer = client.post(NAME, {"device_name": "  work laptop "}, follow=True)
    assert answer.redirect_chain == [(SESSIONS, 302)]
    assert "This device is now called work laptop." in answer.content.decode()
    assert "work laptop (Firefox on Linux)" in listed(client)
    assert "work laptop (Firefox on Linux)" in listed(other)
    assert client.cookies["sessionid"].value == key
    names = sorted(device_name_of(record) for record in services.sessions_of(ann))
    assert names == ["Firefox on Linux", "work laptop (Firefox on Linux)"]
    assert 'value="work laptop"' in client.get(NAME).content.decode()
    assert 'value="work laptop"' not in other.get(NAME).content.decode()
    client.post(NAME, {"device_name": ""})
    assert "work laptop" not in listed(client)


def test_the_name_stays_with_the_session_and_goes_with_it(ann: Any) -> None:
    client, other = sign_in(), sign_in()
    client.post(NAME, {"device_name": "work laptop"})
    assert client.post("/account/login/", {"username": "ann", "password": "secret"}).status_code == 302
    assert "work laptop" in listed(other)
    client.post("/account/logout/")
    assert client.post("/account/login/", {"username": "ann", "password": "secret"}).status_code == 302
    assert "work laptop" not in listed(other)


def test_somebody_else_in_the_same_browser_does_not_inherit_it(ann: Any) -> None:
    get_user_model().objects.create_user("bob", password="secret")
    client = sign_in()
    client.post(NAME, {"device_name": "ann's laptop"}, follow=True)
    client.post("/account/login/", {"username": "bob", "password": "secret"})
    assert "ann" not in listed(client).partition("<main")[2]


@pytest.mark.parametrize(
    "name", ["x" * 61, "a\nb", "a\0b", "\x1b[2J", "\u202egnp.exe", "\u2066x", "a\u200bb", "\u2028", "\ue000", "\x7f"]
)
def test_what_acts_on_a_page_or_is_too_long_is_refused_and_nothing_is_kept(ann: Any, name: str) -> None:
    client = sign_in()
    before = services.sessions_of(ann)[0].details
    answer = client.post(NAME, {"device_name": f"x{name}x"})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    refused = sign_in_by_app(device_name=f"x{name}x")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/device_name"
    assert [record.details for record in services.sessions_of(ann)] == [before]


@pytest.mark.parametrize(
    "name", ["업무용 노트북", "ordinateur de Zoë", '<b>x</b> & "y"', "{{ 7 }}%s", "\U0001f4bb" * 60]
)
def test_other_names_are_kept_as_they_are_and_escaped(ann: Any, name: str) -> None:
    client = sign_in()
    assert client.post(NAME, {"device_name": name}).status_code == 302
    (record,) = services.sessions_of(ann)
    assert device_name_of(record) == f"{name} (Firefox on Linux)"
    assert "<b>x" not in listed(client)
    shown = client.get("/api/sessions/").json()["sessions"][0]["device"]["name"]
    assert shown == f"{name} (Firefox on Linux)"


def test_what_an_app_calls_its_device_is_stored_with_the_sign_in_and_by_no_write_of_its_own(
    ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, written = current_store(), []
    for verb in ("create", "update"):
        real = getattr(store, verb)

        def counted(*args: Any, real: Any = real, **options: Any) -> Any:
            written.append(args[0])
            return real(*args, **options)

        monkeypatch.setattr(store, verb, counted)
    assert sign_in_by_app().status_code == 200
    without, written[:] = len(written), []
    assert sign_in_by_app(device_name="MyApp 2.3 on Pixel 8").status_code == 200
    assert len(written) == without > 0


def test_an_app_says_at_its_sign_in_what_it_runs_on(ann: Any) -> None:
    answer = sign_in_by_app(device_name="MyApp 2.3 on Pixel 8")
    assert answer.status_code == 200
    assert answer.json()["session"]["device"] == {"name": "MyApp 2.3 on Pixel 8", "kind": "app"}
    assert "MyApp 2.3 on Pixel 8" in listed(sign_in())
    assert sign_in_by_app().json()["session"]["device"]["name"] == "Other apps"
    assert sign_in_by_app(device_name="").json()["session"]["device"]["name"] == "Other apps"


def test_an_app_writes_nothing_of_its_own_into_the_mail_about_its_sign_in(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    get_user_model().objects.filter(pk=ann.pk).update(email="ann@example.org", last_login=timezone.now())
    sign_in_by_app(device_name="Call 010-1234-5678, or evil.example")
    (message,) = mail.outbox
    for text in (str(message.body), str(message.alternatives[0][0])):
        assert "evil" not in text and "Other apps" in text


def test_administrators_read_the_names_too(ann: Any) -> None:
    sign_in().post(NAME, {"device_name": "work laptop"})
    boss = Client()
    boss.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    assert "work laptop (Firefox on Linux)" in boss.get("/admin/srvsession/livesession/").content.decode()


def test_a_wrong_password_names_nothing(ann: Any) -> None:
    body = json.dumps({"username": "ann", "password": "wrong", "device_name": "MyApp"})
    assert Client().post(LOGIN, body, content_type="application/json").status_code == 403
    assert list(services.sessions_of(ann)) == []


def test_the_person_s_name_stands_before_the_app_s_or_the_site_s_and_never_alone(settings: Any) -> None:
    assert device_name_of(named("work", "MyApp 2.3")) == "work (MyApp 2.3)"
    assert device_name_of(named(app="MyApp 2.3")) == "MyApp 2.3"
    settings.SRVSESSION_DEVICE_NAME = lambda record: "Till"
    assert device_name_of(named("work", "MyApp 2.3")) == "work (Till)"
    settings.SRVSESSION_DEVICE_NAME = lambda record: None
    assert device_name_of(named("work", "MyApp 2.3")) == "work (MyApp 2.3)"


def test_details_that_the_store_has_damaged_name_nothing_and_break_no_list() -> None:
    for details in (b"\x01\xff\xff", b"\x01\x00\x01\xff", b"\x02", b"\xff" * 1024):
        assert device_name_of(named()._replace(details=details)) == "Firefox on Linux"
    forged = named()._replace(details=Details(name="\u202eevil\n").encode())
    assert device_name_of(forged) == "\\u202eevil (Firefox on Linux)"


def test_visitors_name_nothing(ann: Any) -> None:
    for answer in (Client().get(NAME), Client().post(NAME, {"device_name": "x"})):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/account/login/")


def test_an_outage_is_503_and_a_session_that_ended_meanwhile_is_no_error(
    ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in()

    def out(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailableError("for the test")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "update", out)
        assert client.post(NAME, {"device_name": "x"}).status_code == 503
    services.revoke(str(client.session.sid))
    assert client.post(NAME, {"device_name": "x"}).status_code == 302
