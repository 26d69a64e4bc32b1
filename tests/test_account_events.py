"""Failed sign-ins and changes of an account: what is written down of them, of whom, how many, and what people read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from django_srvsession import services
from django_srvsession.accounts import failed_sign_ins
from django_srvsession.backends.memory import MemoryStore, SessionStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.events import log as event_log
from django_srvsession.models import SessionEvent
from tests.activity import DAY_MS, now_ms, write
from tests.test_activity import FIREFOX, PAGE, SAFARI, person, shown, sign_in


def save_as(request: HttpRequest, what: str) -> HttpResponse:
    """Change the account of ann, as whoever asks."""
    user = get_user_model().objects.get(username="ann")
    if what in ("password", "both"):
        user.set_password("another")
    if what in ("email", "both"):
        user.email = "new@example.org"
    user.save()
    return HttpResponse(what)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ours")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    path("save/<what>/", save_as),
    path("password/change/", page, name="password_change"),
    path("password/reset/", page, name="password_reset"),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.LOGIN_URL = "srvsession:login"
    settings.SRVSESSION_EVENT_LOG = 30
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def ann(transactional_db: None) -> Any:
    return person("ann")


def guess(name: str = "ann", agent: str = FIREFOX, ip: str = "198.51.100.66", password: str = "wrong") -> Any:
    client = Client(HTTP_USER_AGENT=agent, REMOTE_ADDR=ip)
    return client.post("/account/login/", {"username": name, "password": password})


def written(kind: str) -> list[SessionEvent]:
    return list(SessionEvent.objects.filter(kind=kind).order_by("pk"))


def session_of_a_request() -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore()
    return request


# Failed sign-ins.


def test_a_person_reads_who_tried_their_password_and_from_where(ann: Any) -> None:
    assert guess(agent=SAFARI).status_code == 200
    (row,) = written("failed")
    assert (row.user_id, row.sid, row.reason, row.by, row.ip) == (str(ann.pk), "", "", "", "198.51.100.66")
    assert shown(sign_in("ann").get(PAGE)) == [
        ["Firefox on Linux (this device)", "Signed in", "192.0.2.1"],
        ["Safari on iPhone", "Failed sign-in", "198.51.100.66"],
    ]


def test_a_wrong_password_at_a_confirmation_is_called_that(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = 0
    client = sign_in("ann")
    assert client.post("/account/confirm/", {"password": "wrong"}).status_code == 200
    (row,) = written("failed")
    assert (row.sid, row.reason) == (client.session.sid, "confirmation")
    text = "Wrong password when asked for it again"
    assert shown(client.get(PAGE))[0] == ["Firefox on Linux (this device)", text, "192.0.2.1"]


@pytest.mark.parametrize("name", ["nobody", "", "ANN ", "a\0b", "x" * 5000])
def test_a_name_that_is_nobody_s_leaves_no_row(ann: Any, name: str) -> None:
    guess(name)
    assert written("failed") == []


def test_of_one_account_the_latest_ten_of_a_day_are_kept_whoever_tries(ann: Any) -> None:
    bob = person("bob")
    write(ann, ago_ms=DAY_MS + 60_000, kind="failed")
    guess("bob")
    for number in range(failed_sign_ins.MOST_A_DAY + 3):
        guess(ip=f"198.51.100.{number}")
    of_today = [row for row in written("failed") if row.at_ms > now_ms() - DAY_MS]
    assert [row.ip for row in of_today if row.user_id == str(ann.pk)] == [f"198.51.100.{n}" for n in range(3, 13)]
    assert len([row for row in of_today if row.user_id == str(bob.pk)]) == 1
    assert len(written("failed")) == 12


@pytest.mark.parametrize("before", [0, failed_sign_ins.MOST_A_DAY])
def test_a_known_and_an_unknown_name_ask_the_database_the_same(ann: Any, before: int) -> None:
    for _ in range(before):
        write(ann, kind="failed")

    def asked(name: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            assert guess(name).status_code == 200
        values = r"'[^']*'|\d{9,}| OFFSET \d+|IN \([^)]*\)"
        return [re.sub(values, "?", query["sql"]).rstrip("?") for query in queries]

    known, unknown = asked("ann"), asked("nobody")
    verbs = [sql.split()[0] for sql in known if sql.split()[0] in ("INSERT", "DELETE", "COMMIT")]
    assert verbs[-3:] == ["INSERT", "DELETE", "COMMIT"]
    assert known == unknown


def test_nothing_is_asked_or_written_where_no_events_are_kept(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = None
    with CaptureQueriesContext(connection) as queries:
        guess()
    assert written("failed") == []
    assert not [query for query in queries if "sessionevent" in query["sql"]]


def test_code_that_checks_a_password_without_a_request_is_nobody_s_try(ann: Any) -> None:
    assert authenticate(username="ann", password="wrong") is None
    assert authenticate(HttpRequest(), username="ann", password="wrong") is None
    assert written("failed") == []


def test_a_failure_to_write_changes_no_answer(
    ann: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise DatabaseError("for the test")

    expected = guess("nobody").status_code
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "bulk_create", fails)
        assert guess().status_code == expected == 200
    monkeypatch.setattr(type(get_user_model()._default_manager), "get_by_natural_key", fails)
    failed_sign_ins.note(session_of_a_request(), {"username": "ann"})
    assert "A wrong password was not noted." in caplog.text
    monkeypatch.undo()
    assert authenticate(username="ann", password="pass-ann") == ann


def test_a_failed_try_before_the_first_sign_in_makes_no_sign_in_of_it(ann: Any) -> None:
    guess()
    assert not event_log.has_seen(str(ann.pk))
    sign_in("ann")
    assert event_log.has_seen(str(ann.pk))


# Changes.


@pytest.mark.parametrize(
    ("what", "reasons"),
    [("password", ["password_changed"]), ("email", ["email_changed"]), ("both", ["password_changed", "email_changed"])],
)
def test_a_change_by_the_person_is_written_down_with_device_and_address(
    ann: Any, what: str, reasons: list[str], settings: Any
) -> None:
    settings.SRVSESSION_END_OTHERS_AFTER = ()
    client = sign_in("ann", SAFARI, "203.0.113.5")
    client.get(f"/save/{what}/")
    rows = written("changed")
    assert [row.reason for row in rows] == reasons
    for row in rows:
        assert (row.user_id, row.by, row.sid) == (str(ann.pk), str(ann.pk), client.session.sid)
        assert (row.ip, row.user_agent) == ("203.0.113.5", SAFARI)
    assert written("ended") == []


def test_people_read_what_was_changed_and_what_ended_by_it(ann: Any) -> None:
    sign_in("ann", SAFARI)
    client = sign_in("ann")
    client.get("/save/email/")
    assert [item[1:3] for item in shown(client.get(PAGE))[:2]] == [
        ["Signed out because the e-mail address was changed", "By you"],
        ["E-mail address changed", "By you"],
    ]


def test_of_a_change_by_somebody_else_their_address_is_not_shown(ann: Any) -> None:
    person("boss")
    sign_in("boss", SAFARI, "203.0.113.99").get("/save/password/")
    (row,) = written("changed")
    assert (row.by, row.ip, row.user_agent, row.sid) == (
        str(get_user_model().objects.get(username="boss").pk),
        "",
        "",
        "",
    )
    ann.refresh_from_db()
    client = Client(HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="192.0.2.1")
    client.post("/account/login/", {"username": "ann", "password": "another"})
    assert shown(client.get(PAGE))[1] == ["Password changed", "By an administrator"]


def test_a_change_by_who_is_not_signed_in_is_of_that_device_and_of_nobody(ann: Any) -> None:
    """So it is after a password reset, which a link in a mail leads to."""
    Client(HTTP_USER_AGENT=SAFARI, REMOTE_ADDR="203.0.113.5").get("/save/password/")
    (row,) = written("changed")
    assert (row.by, row.ip, row.user_agent, row.sid) == ("", "203.0.113.5", SAFARI, "")


def test_a_change_by_a_command_is_of_nobody_and_nowhere(ann: Any) -> None:
    ann.set_password("another")
    ann.save()
    (row,) = written("changed")
    assert (row.reason, row.by, row.ip, row.user_agent) == ("password_changed", "", "", "")


def test_what_is_no_change_leaves_no_row(ann: Any, settings: Any) -> None:
    sign_in("ann")  # Writes last_login.
    ann.first_name = "Ann"
    ann.save()
    get_user_model().objects.create_user("new", "new@example.org", "secret")
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    assert guess(password="pass-ann").status_code == 302  # Hashes the password anew.
    assert written("changed") == []


def test_a_change_that_is_rolled_back_leaves_no_row(ann: Any) -> None:
    with transaction.atomic():
        ann.set_password("another")
        ann.save()
        transaction.set_rollback(True)
    assert written("changed") == []


def test_without_a_log_a_change_that_ends_nothing_asks_nothing(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG, settings.SRVSESSION_END_OTHERS_AFTER = None, ()
    ann.set_password("another")
    with CaptureQueriesContext(connection) as queries:
        ann.save()
    assert [query["sql"].split()[0] for query in queries if "auth_user" in query["sql"]] == ["UPDATE"]


# The page: days, choices, and a way out.


def headings(answer: Any) -> list[str]:
    return re.findall(r'<h2 id="day-\d+">([^<]*)</h2>', answer.content.decode())


def test_what_happened_on_a_day_stands_together_in_the_current_time_zone(ann: Any, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    with timezone.override("Asia/Seoul"):
        midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    client = sign_in("ann")
    SessionEvent.objects.all().delete()
    moments = [
        midnight - timedelta(minutes=1),
        midnight - timedelta(hours=23),
        datetime(2026, 1, 2, 15, 30, tzinfo=UTC),
    ]
    settings.SRVSESSION_EVENT_LOG = 5000
    for moment in [midnight, *moments]:
        write(ann, at_ms=int(moment.timestamp() * 1000), reason="logout")
    answer = client.get(PAGE)
    assert headings(answer) == ["Today", "Yesterday", "Jan. 3, 2026"]
    sections = re.findall(r"<section.*?</section>", answer.content.decode(), re.DOTALL)
    assert [section.count('<li class="event') for section in sections] == [1, 2, 1]


KINDS = {"": 4, "sign-ins": 1, "failed": 1, "sign-outs": 1, "changes": 1, "x": 4, "failed' OR 1": 4}


def test_people_choose_what_they_see(ann: Any) -> None:
    client = sign_in("ann")
    SessionEvent.objects.all().delete()
    for kind in ("started", "ended", "failed", "changed"):
        write(ann, kind=kind, reason="password_changed" if kind == "changed" else "")
    for choice, count in KINDS.items():
        answer = client.get(PAGE, {"show": choice} if choice else {})
        assert len(shown(answer)) == count, choice
        (current,) = re.findall(r'<a href="([^"]*)" aria-current="true">', answer.content.decode())
        assert current == (f"{PAGE}?show={choice}" if choice in KINDS and choice and count == 1 else PAGE)


def test_a_choice_stays_from_page_to_page(ann: Any) -> None:
    client = sign_in("ann")
    for number in range(60):
        write(ann, kind="failed" if number % 2 else "ended", ago_ms=number * 1000, ip=f"198.51.100.{number}")
    first = client.get(f"{PAGE}?show=failed")
    assert len(shown(first)) == 25
    (older,) = re.findall(r'<a rel="next" href="([^"]+)">', first.content.decode())
    second = client.get(PAGE + older.replace("&amp;", "&"))
    assert len(shown(second)) == 5
    assert {item[1] for item in shown(first) + shown(second)} == {"Failed sign-in"}
    assert f'<a href="{PAGE}?show=failed">Newest</a>' in second.content.decode()


def not_me(answer: Any) -> list[str]:
    return re.findall(
        r'<a class="not-me" href="([^"]+)" aria-describedby="event-\d+-\d+">This wasn&#x27;t me</a>', text(answer)
    )


def text(answer: Any) -> str:
    return str(answer.content.decode()).replace("This wasn't me", "This wasn&#x27;t me")


def test_each_event_that_may_not_have_been_the_person_leads_on(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_END_OTHERS_AFTER = ()
    other, client = sign_in("ann", SAFARI), sign_in("ann")
    guess()
    client.get("/save/email/")
    other.get("/save/password/")
    client = Client(HTTP_USER_AGENT=FIREFOX)
    client.post("/account/login/", {"username": "ann", "password": "another"})
    answer = client.get(PAGE)
    started = [f"/account/sessions/{row.sid}/end/" for row in written("started")][::-1]
    assert not_me(answer) == ["/password/reset/", "/password/reset/", "/password/change/", *started[1:]]


def test_a_session_name_that_is_none_leads_nowhere_and_breaks_nothing(ann: Any) -> None:
    client = sign_in("ann")
    write(ann, kind="started", sid="../x")
    assert not_me(client.get(PAGE)) == []


def test_devices_of_events_are_called_as_the_site_says(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_DEVICE_NAME = lambda record: f"Till {record.user_id} {record.client.ip}"
    client = sign_in("ann")
    assert shown(client.get(PAGE))[0][0] == f"Till {ann.pk} 192.0.2.1 (this device)"


# For programs.


def test_clients_get_them_as_json(ann: Any) -> None:
    guess(agent=SAFARI)
    client = sign_in("ann")
    client.get("/save/email/")
    events = client.get("/api/activity/").json()["events"]
    told = [(event["kind"], event["reason"], event["sid"], event["by"], event["detail"]) for event in events]
    assert told == [
        ("changed", "email_changed", client.session.sid, "you", "E-mail address changed"),
        ("started", None, client.session.sid, None, "Signed in"),
        ("failed", None, None, None, "Failed sign-in"),
    ]
    assert events[2]["device"] == {"name": "Safari on iPhone", "kind": "phone"}


def test_they_are_logged_with_fields_for_machines(ann: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "django_srvsession")
    guess()
    sign_in("ann").get("/save/email/")
    logged = [(one.event, one.user_id, one.reason) for one in caplog.records if hasattr(one, "event")]
    assert ("failed", str(ann.pk), "") in logged
    assert ("changed", str(ann.pk), "email_changed") in logged
    assert services.recent_activity(ann).count() == 3
