"""What the admin's pages show and say: columns, places, words, questions, and what they cost."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.models import SessionEvent
from django_srvsession.testing.sessions import create
from tests.geoip import write_database
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.test_admin import HOUR_MS, IPHONE, LIST, act, age, listed, member, page, session_of, signed_in, user_list

EVENTS = "/admin/srvsession/sessionevent/"
pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.urls"), pytest.mark.usefixtures("store")]


@pytest.fixture
def boss() -> Client:
    """A superuser's browser."""
    return signed_in(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice", "alice@example.org")


def texts(answer: Any, css_class: str) -> list[str]:
    """Return what stands in the cells of a column, without its tags."""
    cells = re.findall(rf'<t[hd] class="field-{css_class}">(.*?)</t[hd]>', page(answer), re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells]


def test_the_columns_are_user_device_place_and_times_and_the_name_is_last(boss: Client, alice: Any) -> None:
    record = session_of(alice, IPHONE, "203.0.113.9")
    age(record, 7 * 60_000)
    answer = boss.get(LIST)
    heads = re.findall(r'class="(?:[^"]* )?column-(\w+)', page(answer))
    assert heads == ["user", "device", "location", "last_active", "started", "expires", "session", "sign_out"]
    assert texts(answer, "user") == ["boss", "alice"]
    assert texts(answer, "device") == ["Unknown device (this device)", "Safari on iPhone"]
    assert texts(answer, "location")[1] == "IP address 203.0.113.9"
    assert texts(answer, "last_active")[1] == "Last active 7 minutes ago"
    assert texts(answer, "session")[1] == record.sid[:8]
    assert f'title="{record.sid}"' in page(answer)
    for icon in ("unknown", "iphone", "browser-safari"):
        assert f"srvsession/{icon}.svg" in page(answer)


def test_each_row_leads_to_the_question_whether_to_sign_it_out(boss: Client, alice: Any) -> None:
    record = session_of(alice, IPHONE)
    text = page(boss.get(LIST, {"kind": "user"}))
    links = re.findall(r'<a class="srvsession-end" href="([^"]+)" aria-label="([^"]+)">Sign out</a>', text)
    assert [label for _, label in links] == ["Sign out Safari on iPhone, alice", "Sign out Unknown device, boss"]
    answer = boss.get(links[0][0])
    assert "<h1>Sign out 1 session?</h1>" in page(answer)
    assert services.contents_of(record.sid) is not None


def test_a_row_that_the_viewer_may_not_end_has_no_such_link(boss: Client, alice: Any) -> None:
    session_of(alice)
    ender = signed_in(member("ender", "view", "delete", "view_user"))
    answer = ender.get(LIST)
    assert dict(zip(texts(answer, "user"), texts(answer, "sign_out"), strict=True)) == {
        "ender": "Sign out", "alice": "Sign out", "boss": "-",
    }  # fmt: skip
    assert "sign_out" not in page(signed_in(member("viewer", "view")).get(LIST))


def test_the_titles_say_what_the_pages_are(boss: Client, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    for url, title in ((LIST, "Live sessions"), (EVENTS, "Session events")):
        assert f"<h1>{title}</h1>" in page(boss.get(url))
        assert f"<title>{title} |" in page(boss.get(url))


def test_places_are_in_the_list_the_detail_the_question_and_the_events(
    boss: Client, alice: Any, settings: Any, tmp_path: Path
) -> None:
    settings.GEOIP_PATH = str(tmp_path)
    settings.SRVSESSION_EVENT_LOG = 7
    write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-City")
    record, hostile = session_of(alice, IPHONE, "203.0.113.9"), session_of(alice, IPHONE, "192.0.2.1")
    SessionEvent.objects.create(at_ms=2**40, kind="started", sid=record.sid, user_id=str(alice.pk), ip="203.0.113.9")
    for url in (LIST, f"{LIST}{record.sid}/change/", f"{LIST}{record.sid}/delete/", EVENTS):
        assert "Seoul, South Korea" in page(boss.get(url)), url
    for url in (LIST, f"{LIST}{hostile.sid}/change/", f"{LIST}{hostile.sid}/delete/"):
        assert "<script>alert" not in page(boss.get(url)), url


@pytest.mark.urls("tests.admin_site")
def test_the_question_lists_devices_and_their_last_use_and_says_how_many(boss: Client, alice: Any) -> None:
    phone, laptop = session_of(alice, IPHONE), session_of(alice)
    age(phone, 3 * HOUR_MS)
    for answer in (
        act(boss, "end_selected", phone.sid, laptop.sid),
        act(boss, "end_all_of_users", phone.sid),
        user_list(boss, "log_out_selected_users", alice),
        boss.get(f"{LIST}end-user/?user={alice.pk}"),
    ):
        text = html.unescape(page(answer))
        assert 'href="/static/srvsession/admin.css"' in text
        assert "2 sessions" in text
        assert all(word in text for word in ("alice", "Safari on iPhone", "Firefox on Linux", "3\xa0hours ago"))
    assert "Sign out alice everywhere?" in text


def test_the_question_leaves_out_what_only_superusers_may_end(boss: Client, alice: Any) -> None:
    theirs, hers = boss.session.sid, session_of(alice)
    ender = signed_in(member("ender", "view", "delete", "view_user"))
    answer = act(ender, "end_selected", theirs, hers.sid)
    assert "Sign out 1 session?" in page(answer) and "left alone" in page(answer)
    answer = act(ender, "end_selected", theirs)
    assert "left alone" in page(answer)
    assert 'type="submit" value="Sign out"' not in page(answer)


def test_of_very_many_sessions_the_question_shows_some_and_counts_all(boss: Client, alice: Any) -> None:
    for _ in range(53):
        session_of(alice)
    text = page(boss.get(f"{LIST}end-user/?user={alice.pk}"))
    assert "53 sessions end at once." in text
    assert text.count('<th scope="row">alice</th>') == 50
    assert "and 3 more" in text


@pytest.mark.parametrize("query", ["kind=user&device=phone", "user={pk}", "q=alice"])
def test_back_and_the_answer_keep_the_filter(boss: Client, alice: Any, query: str) -> None:
    session_of(alice, IPHONE), session_of(alice, IPHONE)
    asked = f"{LIST}?{query.format(pk=alice.pk)}"
    url = html.unescape(re.findall(r'class="srvsession-end" href="([^"]+)"', page(boss.get(asked)))[0])
    answer = boss.get(url)
    (back,) = re.findall(r'<a href="([^"]+)" class="button cancel-link">', page(answer))
    assert html.unescape(back) == asked
    assert boss.post(url, {"post": "yes"})["Location"] == asked
    chosen = {"action": "end_selected", "_selected_action": listed(boss.get(asked))}
    (back,) = re.findall(r'<a href="([^"]+)" class="button cancel-link">', page(boss.post(asked, chosen)))
    assert html.unescape(back) == asked
    assert boss.post(asked, {**chosen, "post": "yes"})["Location"] == asked


def test_the_question_about_a_user_leads_back_to_the_list_of_their_sessions(boss: Client, alice: Any) -> None:
    session_of(alice)
    asked = f"{LIST}?user={alice.pk}"
    url = boss.get(asked).context["end_user_url"]
    (back,) = re.findall(r'<a href="([^"]+)" class="button cancel-link">', page(boss.get(url)))
    assert html.unescape(back) == asked
    assert boss.post(url, {"post": "yes", "user": alice.pk})["Location"] == asked


def test_where_nothing_is_to_be_shown_the_page_says_so(boss: Client, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    assert "srvsession-empty" not in page(boss.get(LIST))
    text = page(boss.get(LIST, {"device": "tablet"}))
    assert "No session matches." in text and '<a href="?">Show all</a>' in text
    SessionEvent.objects.all().delete()
    text = page(boss.get(EVENTS))
    assert "Nothing was written down yet." in text and "Show all" not in text
    assert "No event matches." in page(boss.get(EVENTS, {"kind": "failed"}))
    empty = create(current_store()).record
    assert "Nothing is kept in this session." in page(boss.get(f"{LIST}{empty.sid}/change/"))


def test_events_say_in_words_what_happened_why_and_by_whom(boss: Client, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    SessionEvent.objects.all().delete()
    boss_id, owner = str(get_user_model().objects.get(username="boss").pk), str(alice.pk)
    for number, (reason, by) in enumerate([("revoked", boss_id), ("password_changed", owner), ("evicted", "")]):
        SessionEvent.objects.create(
            at_ms=2**40 - number, kind="ended", sid="9" * 18, user_id=owner, reason=reason, by=by, user_agent=IPHONE
        )
    answer = boss.get(EVENTS)
    assert texts(answer, "happened") == [
        "Signed out remotely by boss",
        "Signed out because the password was changed by the user",
        "Signed out because the server ran out of room",
    ]
    assert texts(answer, "device") == ["Safari on iPhone"] * 3
    assert texts(answer, "session") == ["9" * 8] * 3
    named = re.findall(r'<a href="\?reason=\w+">([^<]+)</a>', page(answer))
    assert "Signed out remotely" in named and "revoked" not in named


def test_the_zone_stands_beside_each_moment(boss: Client, alice: Any, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    settings.SRVSESSION_EVENT_LOG = 7
    record = session_of(alice)
    SessionEvent.objects.create(at_ms=2**40, kind="started", sid=record.sid, user_id=str(alice.pk))
    assert re.findall(r'<time [^>]*title="[^"]+ KST">', page(boss.get(LIST)))
    for url in (f"{LIST}{record.sid}/change/", EVENTS):
        moments = re.findall(r"<time [^>]*>([^<]+)</time>", page(boss.get(url)))
        assert moments and all(moment.endswith(" KST") for moment in moments), url


def test_what_a_list_shows_of_a_session_s_name_finds_it(boss: Client, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    record, _other = session_of(alice), session_of(alice)
    SessionEvent.objects.create(at_ms=2**40, kind="started", sid=record.sid, user_id=str(alice.pk))
    assert listed(boss.get(LIST, {"q": record.sid[:8]})) == [record.sid]
    events = boss.get(EVENTS, {"q": record.sid[:8]}).context["cl"].result_list
    assert {event.sid for event in events} == {record.sid}
    named_so = get_user_model().objects.create_user(record.sid[:8])
    theirs = session_of(named_so)
    assert listed(boss.get(LIST, {"q": record.sid[:8]})) == [theirs.sid]


def queries(client: Client, url: str, **data: Any) -> int:
    """Return how many queries an answer takes, once everything is warm."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.post(url, data) if data else client.get(url)
    assert answer.status_code == 200
    return len(captured)


@pytest.mark.parametrize("is_superuser", [True, False])
def test_no_page_asks_the_database_once_more_for_each_row(boss: Client, settings: Any, is_superuser: bool) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    client = boss if is_superuser else signed_in(member("ender", "view", "delete", "view_user"))
    counted: list[list[int]] = []
    for number in (3, 40):
        people = [get_user_model().objects.create_user(f"p{number}-{one}") for one in range(number)]
        records = [session_of(user, IPHONE) for user in people]
        for one, user in enumerate(people):
            SessionEvent.objects.create(at_ms=2**40 + one, kind="ended", sid="9" * 18, user_id=str(user.pk), by="1")
        chosen = {"_selected_action": [record.sid for record in records]}
        queries(client, LIST)
        counted.append(
            [
                queries(client, LIST),
                queries(client, f"{LIST}?kind=user"),
                queries(client, EVENTS),
                queries(client, LIST, action="end_selected", **chosen),
                queries(client, LIST, action="end_all_of_users", **chosen),
            ]
        )
    assert counted[0] == counted[1]
