"""One damaged or absurd session: lists, pages, API, admin and commands leave it out, and say so in the log."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DataError, connections, router, transaction
from django.db.models import F, Value
from django.test import Client
from django.urls import include, path
from django_redis import get_redis_connection

from django_srvsession import services
from django_srvsession.backends.redis.format import read_image, session_image
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.engine import current_store
from django_srvsession.events.history import portion_of
from django_srvsession.models import ClearingRun, Session, SessionEvent
from django_srvsession.records import LATEST_MS, Delta, Ending, Loaded, SessionRecord
from django_srvsession.records import Client as Seen
from django_srvsession.store import CorruptSessionError, UpdateError
from django_srvsession.testing.sessions import create, touch_later
from tests.activity import SECOND_MS, write
from tests.every_store import DATABASES, OTHERS, every_store_fixture
from tests.mongodb_servers import FIELDS, overwrite_document

__all__ = ["every_store_fixture"]

MEMORY, REDIS, FILE, *MONGODB = OTHERS
HALF = "\ud83d"  # Half of a surrogate pair.

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
]
pytestmark = pytest.mark.urls(__name__)

DAMAGES: list[tuple[str, Any]] = [
    *[("created_ms", 2**61), ("created_ms", -1)],
    *[("last_seen_ms", 2**61), ("last_seen_ms", -(2**61))],
    *[("expires_ms", 2**61), ("expires_ms", LATEST_MS + 1)],
    *[("lifetime_ms", 2**61), ("lifetime_ms", -1)],
    *[("signed_in_ms", 2**61), ("signed_in_ms", -5)],
    *[("deadline_ms", 2**61), ("rotated_ms", 2**61), ("version", 2**53 + 1)],
    *[("verifier", "é" * 64), ("verifier", "ab"), ("previous_verifier", "é" * 64)],
]


def overwrite(kind: str, record: SessionRecord, field: str, value: Any) -> bool:
    """Write into what a store keeps of a session, past the store; False where it has no room for such a value."""
    if kind == "redis":
        if field in ("verifier", "previous_verifier"):
            return False
        key = Keys(django_settings.SRVSESSION_REDIS_PREFIX).session(record.sid)
        redis = get_redis_connection("sessions")
        stored = read_image(record.sid, redis.get(key), 0)
        assert isinstance(stored, Loaded)
        damaged = stored.record._replace(**{field: value})
        if field == "rotated_ms":  # Which stands beside the former key's verifier.
            damaged = damaged._replace(previous_verifier=damaged.verifier)
        redis.set(key, session_image(damaged, stored.values, 2**53), keepttl=True)
    elif kind == "file":
        file = Path(django_settings.SESSION_FILE_PATH) / record.sid[:2] / f"{record.sid}.json"
        parts = json.loads(file.read_text())
        parts["record"][field] = value
        file.write_text(json.dumps(parts))
    elif kind == "mongodb":
        overwrite_document(record.sid, {FIELDS[field]: value})
    else:
        if field in ("verifier", "previous_verifier"):
            value = value.encode()[:31]
        with connections[router.db_for_write(Session)].cursor() as cursor:
            cursor.execute(f"UPDATE srvsession_session SET {field} = %s WHERE sid = %s", [value, record.sid])
    return True


@pytest.fixture
def ann(every_store: str) -> Any:
    """A user who may see everything."""
    return get_user_model().objects.create_superuser("ann", "ann@example.org", "x")


@pytest.fixture
def viewer(ann: Any) -> Client:
    """Her browser."""
    client = Client()
    client.force_login(ann)
    return client


def faces(viewer: Client, ann: Any) -> Iterator[tuple[str, list[str]]]:
    """Look at the sessions in every way there is; yield what each way is called and the sids that it shows."""
    yield "services", [record.sid for record in services.sessions_of(ann)]
    yield "everybody's", [record.sid for record in services.live_sessions()]
    yield "portion", [record.sid for record in services.portion_of_sessions().records]
    answer = viewer.get("/account/sessions/")
    assert answer.status_code == 200
    context = answer.context
    yield "own page", [context["current"].sid, *(record.sid for record in context["others"])]
    answer = viewer.get("/api/sessions/")
    assert answer.status_code == 200
    yield "API", [session["sid"] for session in answer.json()["sessions"]]
    for query in ("", "?kind=user", f"?user={ann.pk}", "?device=unknown"):
        answer = viewer.get("/admin/srvsession/livesession/" + query)
        assert answer.status_code == 200
        yield f"admin{query}", [row.sid for row in answer.context["cl"].result_list]
    yield "listsessions_srv", [json.loads(line)["sid"] for line in run("listsessions_srv", "--json").splitlines()]


def run(*command: str) -> str:
    stdout = io.StringIO()
    call_command(*command, stdout=stdout)
    return stdout.getvalue()


@pytest.mark.parametrize("every_store", [*DATABASES, REDIS, FILE, *MONGODB], indirect=True)
def test_damaged_sessions_are_left_out_of_all_lists_and_open_for_nobody(
    every_store: str, viewer: Client, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store, own, damaged = current_store(), viewer.session.sid, list[SessionRecord]()
    for field, value in DAMAGES:
        record = create(store, user_id=str(ann.pk), changed={"a": b"a"}).record
        if overwrite(every_store, record, field, value):
            damaged.append(record)
        else:
            store.end(record.sid, Ending("revoked"))
    for name, shown in faces(viewer, ann):
        assert shown == [own], name
    for sid in (record.sid for record in damaged):
        with pytest.raises(CorruptSessionError):
            store.load(sid)
        assert services.contents_of(sid) is None
        assert viewer.get(f"/admin/srvsession/livesession/{sid}/change/").status_code == 302
        assert "already signed out" in viewer.post(f"/account/sessions/{sid}/end/", follow=True).content.decode()
    assert sum(f"Session {record.sid} is damaged" in caplog.text for record in damaged) >= len(damaged) - 2
    for command in (["sessionstats_srv"], ["clearsessions_srv"], ["doctorsessions_srv"]):
        run(*command)
    assert viewer.post("/account/sessions/end-others/").status_code == 302
    assert viewer.post("/api/sessions/end-others/", {}, "application/json").status_code == 200
    for record in damaged:
        services.revoke(record.sid)
        with contextlib.suppress(UpdateError):
            store.update(record.sid, record.verifier, Delta(changed={"b": b"b"}))
    assert [record.sid for record in services.sessions_of(ann)] == [own]


@pytest.mark.parametrize("every_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[(column, "CAST(X'ff41' AS TEXT)") for column in ("verifier", "user_agent", "ip", "previous_verifier")],
        *[(column, value) for column in ("created_ms", "expires_ms", "version") for value in ("'abc'", "9e15 + 0.5")],
        ("last_seen_ms", "9e999"),
        *[("data", value) for value in ("9223372036854775807", "'text'", "1.5", "X'01'")],
        *[(column, "X'ff41'") for column in ("user_agent", "ip", "verifier", "previous_verifier")],
        *[("details", value) for value in ("'text'", "7", "zeroblob(1025)")],
    ],
)
def test_sqlite_may_hold_anything_in_a_column_and_nothing_of_it_hides_other_sessions(
    every_store: str, viewer: Client, ann: Any, column: str, value: str
) -> None:
    """Text that is none, text in the place of a number, a number in the place of text."""
    store, own = current_store(), viewer.session.sid
    sid = create(store, user_id=str(ann.pk), client=Seen("192.0.2.1", "agent"), changed={"a": b"a"}).record.sid
    with connections[router.db_for_write(Session)].cursor() as cursor:
        cursor.execute(f"UPDATE srvsession_session SET {column} = {value} WHERE sid = %s", [sid])
    for name, shown in faces(viewer, ann):
        assert own in shown, name
        assert set(shown) <= {own, sid}, name
    with contextlib.suppress(CorruptSessionError):
        store.load(sid)
    with contextlib.suppress(UpdateError):
        store.update(sid, "0" * 64, Delta(changed={"b": b"b"}))
    for command in (["sessionstats_srv"], ["clearsessions_srv"]):
        run(*command)
    services.revoke(sid)
    assert own in [record.sid for record in services.sessions_of(ann)]


def test_a_user_id_that_is_no_key_of_todays_model_is_shown_as_it_stands(every_store: str, viewer: Client) -> None:
    store, sids = current_store(), list[str]()
    for user_id in ("9" * 200, "9" * 30, "-1", "x", "１２", HALF, "a\0b", "\u202e1", "<b>"):
        with contextlib.suppress(ValueError, DataError):  # Databases take no half pairs, and not all take NUL.
            sids.append(create(store, user_id=user_id).record.sid)
    assert len(sids) >= 7
    answer = viewer.get("/admin/srvsession/livesession/")
    assert {row.sid for row in answer.context["cl"].result_list} == {*sids, viewer.session.sid}
    assert not {HALF, "\u202e", "\0"} & set(answer.text)
    assert "<b>" not in answer.text
    for sid in sids:
        assert viewer.get(f"/admin/srvsession/livesession/{sid}/change/").status_code == 200
    chosen = {"_selected_action": [*sids, viewer.session.sid]}
    for action in ("end_selected", "end_all_of_users"):
        assert viewer.post("/admin/srvsession/livesession/", {"action": action, **chosen}).status_code == 200
    listed = run("listsessions_srv")
    assert all(sid in listed for sid in sids)
    run("sessionstats_srv")
    run("clearsessions_srv")
    assert all(isinstance(store.load(sid), Loaded) for sid in sids)


@pytest.mark.parametrize("every_store", [MEMORY, "sqlite", REDIS, FILE, *MONGODB], indirect=True)
def test_half_a_surrogate_pair_in_names_and_values_is_shown_escaped(
    every_store: str, viewer: Client, ann: Any, settings: Any
) -> None:
    settings.SRVSESSION_ADMIN_REVEAL = ("shown", f"{HALF}name")
    session = viewer.session
    session[f"{HALF}name"] = "kept"
    session["shown"] = f"{HALF} \u202e <b>"
    session.save()
    answer = viewer.get(f"/admin/srvsession/livesession/{session.sid}/change/")
    assert answer.status_code == 200
    assert answer.text.count("\\ud83d") == 2
    assert "\\u202e" in answer.text
    assert "&lt;b&gt;" in answer.text
    for command in (["sessionstats_srv"], ["sessionstats_srv", "--json"], ["listsessions_srv", "--json"]):
        assert HALF not in run(*command)


@pytest.mark.parametrize("every_store", [MEMORY, REDIS, FILE], indirect=True)
def test_texts_of_a_client_are_shown_escaped(every_store: str, viewer: Client, ann: Any) -> None:
    """Our engine keeps what can be printed; who writes to the store, or another front end of it, need not."""
    agent = f"Evil{HALF}\x1b[2J\u202e/1.0 (<script>)"
    sid = create(current_store(), user_id=str(ann.pk), client=Seen(f"192.0.2.1{HALF}\u202e\n<b>", agent)).record.sid
    for address in (
        "/account/sessions/",
        "/admin/srvsession/livesession/",
        f"/admin/srvsession/livesession/{sid}/change/",
    ):
        answer = viewer.get(address)
        assert answer.status_code == 200
        assert sid in answer.text
        assert not {"\x1b", "\u202e", HALF} & set(answer.text), address
        assert "<b>" not in answer.text
    shown = next(one for one in viewer.get("/api/sessions/").json()["sessions"] if one["sid"] == sid)
    assert shown["ip"] == "192.0.2.1\\ud83d\\u202e\\n<b>"


@pytest.mark.parametrize("every_store", [MEMORY], indirect=True)
def test_a_damaged_event_is_left_out(every_store: str, viewer: Client, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    texts = {"reason": "\u202eodd", "ip": "\x1b[2J", "user_agent": "\u202e"}
    sound = current_store().records(str(ann.pk))[0]
    for at_ms in (2**61, -(2**61), sound.last_seen_ms):
        SessionEvent.objects.create(at_ms=at_ms, kind="ended", sid=sound.sid, user_id=str(ann.pk), **texts)
    for address in (
        "/account/activity/",
        "/api/activity/",
        "/admin/srvsession/sessionevent/",
        f"/admin/srvsession/livesession/{sound.sid}/change/",
    ):
        answer = viewer.get(address)
        assert answer.status_code == 200, address
        assert not {"\x1b", "\u202e"} & set(answer.text), address
        assert "odd" in answer.text


EVENT_TEXTS = ("kind", "sid", "user_id", "reason", "by", "ip", "user_agent")
ODD_TEXTS = [
    *[
        "",
        "\u202eodd",
        "\x1b[2J",
        "a\0b",
        HALF,
        "<b>",
        "{{ 7 }}",
        "%s%n",
        "'; --",
        "１２",
        "9" * 16,
        "\N{GRINNING FACE}",
    ],
]
ODD_INSTANTS = [2**61, -(2**61), 2**63 - 1, -(2**63), LATEST_MS + 1, 2**53, -1, 0, 1]
# What SQLite, and no other, has room for in any column: bytes, text that is none, halves of milliseconds, infinity.
ODD_FOR_SQLITE = [
    *["X'ff41'", "X''", "X'00'", "zeroblob(9)", "CAST(X'ff41' AS TEXT)", "CAST(X'00ff' AS TEXT)", "'abc'", "''"],
    *["9e999", "-9e999", "9e15 + 0.5", "at_ms + 0.5", "1.5", "-1", "2305843009213693952", "CAST(at_ms AS BLOB)"],
]


def odd_events(kind: str, ann: Any) -> list[int]:
    """Write events of a user's, each with something absurd in one column, as far as the database has room for it."""
    using, keys = router.db_for_write(SessionEvent), list[int]()

    def damage(change: Callable[[int], object]) -> None:
        key = write(ann, ago_ms=SECOND_MS * len(keys)).pk
        keys.append(key)
        with contextlib.suppress(DataError, ValueError), transaction.atomic(using=using):
            change(key)

    def updated(**change: Any) -> Callable[[int], object]:
        return lambda key: SessionEvent.objects.filter(pk=key).update(**change)

    def set_to(column: str, literal: str) -> Callable[[int], object]:
        statement = (
            f"UPDATE srvsession_sessionevent SET {connections[using].ops.quote_name(column)} = {literal} WHERE id = "
        )
        return lambda key: connections[using].cursor().execute(f"{statement}{key}")

    for text, column in itertools.product(ODD_TEXTS, EVENT_TEXTS):
        damage(updated(**{column: text}))
    for instant in ODD_INSTANTS:
        damage(updated(at_ms=instant))
    if kind == "sqlite":
        for literal, column in itertools.product(ODD_FOR_SQLITE, ("at_ms", *EVENT_TEXTS)):
            damage(set_to(column, literal))
    return keys


@pytest.mark.parametrize("every_store", DATABASES, indirect=True)
def test_absurd_events_fail_no_list_and_hide_no_others(
    every_store: str, viewer: Client, ann: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    get_user_model().objects.filter(pk=ann.pk).update(date_joined=datetime(2020, 1, 1, tzinfo=UTC))
    odd = odd_events(every_store, ann)
    sound = [write(ann, ago_ms=ago * SECOND_MS, sid=f"{ago:018x}").sid for ago in range(0, len(odd) + 9, 9)]
    assert len(sound) > 10

    def turn(address: str, read: Callable[[Any], tuple[list[Any], Any]]) -> Iterator[Any]:
        after: Any = ""
        while after is not None:
            answer = viewer.get(address + (f"{'&' if '?' in address else '?'}{after}" if after else ""))
            assert answer.status_code == 200, address
            events, after = read(answer)
            yield from events

    def own(answer: Any) -> tuple[list[Any], Any]:
        further = answer.context["further"]
        return [entry.sid for entry in answer.context["entries"]], further and f"after={further}"

    def of_api(answer: Any) -> tuple[list[Any], Any]:
        body = answer.json()
        return [event["sid"] for event in body["events"]], body["next_cursor"] and f"cursor={body['next_cursor']}"

    def of_admin(answer: Any) -> tuple[list[Any], Any]:
        found = answer.context["cl"]
        assert not {"\x1b", "\u202e", HALF} & set(answer.text)
        return [event.sid for event in found.result_list], found.further and f"after={found.further}"

    events = "/admin/srvsession/sessionevent/"
    faces = [
        ("/account/activity/", own),
        ("/api/activity/", of_api),
        ("/api/activity/?limit=3", of_api),
        (events, of_admin),
    ]
    faces += [(f"{events}?{query}", of_admin) for query in ("kind=ended", "reason=other", f"user={ann.pk}")]
    for address, read in faces:
        shown = [sid for sid in turn(address, read) if sid in sound]
        assert shown == sound, address
    assert viewer.get(f"/admin/srvsession/livesession/{viewer.session.sid}/change/").status_code == 200
    call_command("clearsessions_srv")


@pytest.mark.parametrize("every_store", ["sqlite"], indirect=True)
def test_damaged_events_are_logged_once_for_each_page_and_whole_pages_of_them_are_passed_over(
    every_store: str, viewer: Client, ann: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    get_user_model().objects.filter(pk=ann.pk).update(date_joined=datetime(2020, 1, 1, tzinfo=UTC))
    first, *damaged, last = (write(ann, ago_ms=SECOND_MS * ago, sid=f"{ago:018x}") for ago in range(60))
    moments = SessionEvent.objects.filter(pk__in=[event.pk for event in damaged])
    moments.update(at_ms=F("at_ms") + 0.5)
    answer = viewer.get("/api/activity/?limit=2").json()
    assert [event["sid"] for event in answer["events"]] == [first.sid]
    answer = viewer.get(f"/api/activity/?limit=2&cursor={answer['next_cursor']}").json()
    assert ([event["sid"] for event in answer["events"]], answer["next_cursor"]) == ([last.sid], None)
    told = [record.getMessage() for record in caplog.records if "Damaged events" in record.getMessage()]
    assert sorted(re.findall(r"\d+", " ".join(told)), key=int) == [str(event.pk) for event in damaged]
    caplog.clear()
    shown = viewer.get("/admin/srvsession/sessionevent/").context["cl"].result_list
    assert [event.sid for event in shown] == [first.sid]
    (text,) = (record.getMessage() for record in caplog.records if "Damaged events" in record.getMessage())
    assert text.count(",") == 48


def test_a_damaged_word_of_a_deletion_hides_nothing(every_store: str, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    get_user_model().objects.filter(pk=ann.pk).update(date_joined=datetime(2020, 1, 1, tzinfo=UTC))
    ann.refresh_from_db()
    before, deletion, after = (write(ann, ago_ms=ago * SECOND_MS) for ago in (20, 10, 5))
    SessionEvent.objects.filter(pk=deletion.pk).update(reason=SessionEvent.USER_DELETED)
    assert [event.pk for event in services.recent_activity(ann)] == [after.pk]
    instants = [2**61, LATEST_MS + 1, 2**63 - 1]
    for at_ms in [*instants, Value("abc"), Value(b"\xff")] if every_store == "sqlite" else instants:
        SessionEvent.objects.filter(pk=deletion.pk).update(at_ms=at_ms)
        shown = portion_of(services.recent_activity(ann), count=9).events
        assert [event.pk for event in shown] == [after.pk, before.pk], at_ms


@pytest.mark.parametrize("every_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("literal", ["X'ff41'", "CAST(X'ff41' AS TEXT)", "'abc'", "1.5", "2305843009213693952"])
@pytest.mark.parametrize("column", ["started_ms", "seconds", "ended", "is_complete", "resume_at"])
def test_a_damaged_word_of_a_clearing_run_stops_no_command(every_store: str, column: str, literal: str) -> None:
    run("clearsessions_srv")
    with connections[router.db_for_write(ClearingRun)].cursor() as cursor:
        cursor.execute(f"UPDATE srvsession_clearingrun SET {column} = {literal}")
    with contextlib.suppress(CommandError):  # It may say that no run is known; that is a warning.
        run("doctorsessions_srv")
    run("clearsessions_srv")


@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/Los_Angeles", "Pacific/Kiritimati"])
@pytest.mark.parametrize("every_store", [MEMORY], indirect=True)
def test_a_session_that_lives_as_long_as_the_calendar_is_shown_in_every_time_zone(
    every_store: str, viewer: Client, settings: Any, zone: str
) -> None:
    settings.TIME_ZONE = zone
    session = viewer.session
    session.set_expiry(10**30)
    session.save()
    assert session.record.expires_ms == LATEST_MS
    for address in ("", f"{session.sid}/change/"):
        assert viewer.get(f"/admin/srvsession/livesession/{address}").status_code == 200
    assert session.sid in run("listsessions_srv")
    assert viewer.get("/api/sessions/").status_code == 200


def test_newest_first_goes_on_behind_damaged_sessions(every_store: str, viewer: Client, ann: Any) -> None:
    """They stand at the top, where their absurd last use puts them, and there are more than a page of them."""
    if every_store == "memory":
        return
    store = current_store()
    sound = create(store, user_id=str(ann.pk))
    touch_later(store, sound)
    damaged = [create(store, user_id=str(ann.pk)).record for _ in range(7)]
    for record in damaged:
        assert overwrite(every_store, record, "last_seen_ms", 2**61)
    found: list[str] = []
    portion = services.portion_of_sessions(count=1)
    found += [record.sid for record in portion.records]
    while portion.further is not None:
        portion = services.portion_of_sessions(count=1, after=portion.further)
        found += [record.sid for record in portion.records]
    assert set(found) == {sound.record.sid, viewer.session.sid}
    everybody: Callable[[], list[str]] = lambda: [record.sid for record in services.live_sessions()]  # noqa: E731
    assert set(everybody()) == set(found)
