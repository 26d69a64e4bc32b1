"""Recent activity: what people read of what their sessions began and ended with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection, connections, router
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils.html import escape

from django_srvsession import services
from django_srvsession.admin.history import SessionEventAdmin, events_url
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.events import history, words
from django_srvsession.events.history import Place, portion_of, recent
from django_srvsession.models import SessionEvent
from tests.activity import DAY_MS, SECOND_MS, now_ms, write
from tests.databases import SendEverythingTo, lent
from tests.every_store import every_store_fixture

__all__ = ["every_store_fixture"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
PAGE, SESSIONS = "/account/activity/", "/account/sessions/"

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
    settings.SRVSESSION_EVENT_LOG = 30
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def ann(transactional_db: None) -> Any:  # Events are written after commit.
    return person("ann")


def person(name: str) -> Any:
    joined = datetime(2020, 1, 1, tzinfo=UTC)  # Before all that tests write down of them.
    return get_user_model().objects.create_user(name, f"{name}@example.org", f"pass-{name}", date_joined=joined)


def browser(user: Any, agent: str = FIREFOX, ip: str = "192.0.2.1") -> Client:
    client = Client(HTTP_USER_AGENT=agent, REMOTE_ADDR=ip)
    client.force_login(user)
    return client


def sign_in(name: str, agent: str = FIREFOX, ip: str = "192.0.2.1") -> Client:
    """Sign in through the page, so that address and browser are known."""
    client = Client(HTTP_USER_AGENT=agent, REMOTE_ADDR=ip)
    assert client.post("/account/login/", {"username": name, "password": f"pass-{name}"}).status_code == 302
    return client


def shown(answer: Any) -> list[list[str]]:
    """Return the texts of each item of the list: the device, what happened, and the rest, without times."""
    assert answer.status_code == 200
    items = re.findall(r'<li class="event [a-z-]+">(.*?)</li>', answer.content.decode(), re.DOTALL)
    return [texts_of(item) for item in items]


def texts_of(item: str) -> list[str]:
    device, rest = (re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", item, re.DOTALL) for tag in ("h3", "p"))
    assert device and rest
    return [re.sub(r"<[^>]+>", "", part) for part in (device[1], *rest[1].split(" · "))]


def test_people_read_what_they_did_and_what_was_done_to_them_whatever_the_store(every_store: str) -> None:
    ann, boss = person("ann"), person("boss")
    laptop, _phone, tablet = sign_in("ann"), sign_in("ann", SAFARI, "2001:db8::7"), sign_in("ann")
    (lost,) = [record for record in services.sessions_of(ann) if record.client.ip == "2001:db8::7"]
    laptop.post(f"/account/sessions/{lost.sid}/end/")
    services.revoke(tablet.session.sid, by=boss)
    services.revoke(sign_in("ann").session.sid, reason="expired_idle")
    assert shown(laptop.get(PAGE)) == [
        ["Firefox on Linux", "Signed out because it was not used", "192.0.2.1"],
        ["Firefox on Linux", "Signed in", "192.0.2.1"],
        ["Firefox on Linux", "Signed out remotely", "By an administrator", "192.0.2.1"],
        ["Safari on iPhone", "Signed out remotely", "By you", "2001:db8::7"],
        ["Firefox on Linux", "Signed in", "192.0.2.1"],
        ["Safari on iPhone", "Signed in", "2001:db8::7"],
        ["Firefox on Linux (this device)", "Signed in", "192.0.2.1"],
    ]
    laptop.post("/account/logout/")
    assert shown(sign_in("ann").get(PAGE))[1] == ["Firefox on Linux", "Signed out", "By you", "192.0.2.1"]


def test_each_device_has_the_icons_of_its_system_and_its_browser(ann: Any) -> None:
    write(ann, kind="started", user_agent=SAFARI)
    write(ann, kind="started", user_agent=FIREFOX)
    write(ann, kind="failed")
    text = browser(ann).get(PAGE).content.decode()
    for icon in ("iphone", "browser-safari", "linux", "browser-firefox", "unknown"):
        assert f"srvsession/{icon}.svg" in text


def test_nobody_reads_of_anybody_else(ann: Any) -> None:
    bob = person("bob")
    theirs = write(bob, ip="203.0.113.99", reason="revoked", by=services.user_id_of(ann))
    client = browser(ann)
    asked = [""]
    for name in ("user", "user_id", "id", "pk", "q", "sid", "by", "username"):
        asked += [f"?{name}={value}" for value in (bob.pk, "bob", theirs.sid, theirs.pk)]
    for after in (str(Place(theirs.at_ms + 1)), str(Place(theirs.at_ms)), f"{theirs.pk}-{bob.pk}", theirs.sid):
        asked.append(f"?after={after}")
    for query in asked:
        answer = client.get(PAGE + query)
        assert answer.status_code == 200
        for trace in ("203.0.113.99", theirs.sid):
            assert trace not in answer.content.decode(), query
    assert client.get(f"{PAGE}{bob.pk}/").status_code == client.get(f"{PAGE}{theirs.sid}/").status_code == 404
    assert "203.0.113.99" in browser(bob).get(PAGE).content.decode()


def test_a_user_whose_id_begins_as_another_s_has_no_part_in_it(ann: Any) -> None:
    write(f"{ann.pk}0", ip="203.0.113.99")
    write(f" {ann.pk}", ip="203.0.113.99")
    assert recent(ann, count=9).entries == []


def test_without_a_log_there_is_no_page_and_no_link(ann: Any, settings: Any) -> None:
    client = browser(ann)
    assert PAGE in client.get(SESSIONS).content.decode()
    settings.SRVSESSION_EVENT_LOG = None
    assert PAGE not in client.get(SESSIONS).content.decode()
    assert client.get(PAGE).status_code == Client().get(PAGE).status_code == 404
    assert recent(ann, count=9).entries == []


def test_visitors_sign_in_first_and_then_read(ann: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert Client().get(PAGE)["Location"] == f"/account/login/?next={PAGE}"
    answer = browser(ann).get(PAGE)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert browser(ann).post(PAGE).status_code == 405


def test_what_is_older_than_it_says_is_not_shown_though_nothing_was_cleared(ann: Any, settings: Any) -> None:
    write(ann, ago_ms=30 * DAY_MS + SECOND_MS, reason="older")
    write(ann, ago_ms=30 * DAY_MS - 60 * SECOND_MS, reason="younger")
    client = browser(ann)
    text = client.get(PAGE).content.decode()
    assert "younger" in text and "older" not in text
    assert "Kept for 30 days." in text
    settings.SRVSESSION_EVENT_LOG = 1
    assert "Kept for 1 day." in client.get(PAGE).content.decode()


def test_who_did_nothing_reads_so(ann: Any) -> None:
    client = browser(ann)
    SessionEvent.objects.all().delete()
    answer = client.get(PAGE)
    assert shown(answer) == []
    assert "There is no activity to show." in answer.content.decode()


REASONS = "logout replaced revoked expired_idle expired_lifetime limit password_changed email_changed confirmation_failed disowned unbound provider_logout user_deactivated user_deleted evicted cleared"  # noqa: E501


def test_every_reason_of_ours_has_words(ann: Any) -> None:
    from django_srvsession.signals import __file__ as signals

    with open(signals) as file:
        listed = re.search(r"Reasons are public and stable: ``([^`]+)``", file.read())
    assert listed and listed[1].split() == REASONS.split()
    assert list(words.REASONS) == REASONS.split()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("", "Signed out"),
        ("fraud", "Signed out: fraud"),
        ("%(reason)s %s", "Signed out: %(reason)s %s"),
        ("<b>moved</b> &amp;", "Signed out: <b>moved</b> &amp;"),
        ("\N{GRINNING FACE}" * 32, "Signed out: " + "\N{GRINNING FACE}" * 32),
        ("{{ reason }}{% now %}", "Signed out: {{ reason }}{% now %}"),
    ],
)
def test_a_reason_of_the_site_s_own_is_shown_as_it_stands(ann: Any, reason: str, text: str) -> None:
    client = browser(ann)
    write(ann, ago_ms=-SECOND_MS, reason=reason, by="<i>the nightly job", ip="<u>", user_agent="<script>x")
    answer = client.get(PAGE)
    assert answer.status_code == 200
    assert escape(text) in answer.content.decode()
    assert shown(answer)[0][1:3] == [str(escape(text)), "By an administrator"]
    for hostile in ("<b>moved", "<i>the", "<u>", "<script>x", "nightly job"):
        assert hostile not in answer.content.decode()


def test_a_reason_of_the_site_s_own_is_translated_where_the_site_does(settings: Any) -> None:
    from django.utils.translation import override

    with override("ko"):
        assert words.text_of("ended", "logout") == "로그아웃"
        # Stands for a text in a catalogue of the site.
        assert words.text_of("ended", "Your devices") == "로그아웃: 로그인된 기기"
        assert words.text_of("ended", "fraud") == "로그아웃: fraud"


# Pages.


def walk(client: Client) -> tuple[list[str], int]:
    """Follow the links to older events to the end; return every reason shown, and how many pages there were."""
    seen, pages, query = [], 0, ""
    while True:
        answer = client.get(PAGE + query)
        text = answer.content.decode()
        seen += [item[0].removeprefix("Signed out: ") for item in shown(answer)]
        assert (f'href="{PAGE}">Newest' in text) is (pages > 0)
        pages += 1
        assert pages < 20, "it goes in circles"
        found = re.search(r'<a rel="next" href="([^"]+)">Older</a>', text)
        if found is None:
            return seen, pages
        query = found[1]


def test_each_event_is_on_exactly_one_page_also_of_many_in_one_millisecond(ann: Any) -> None:
    client = browser(ann)
    SessionEvent.objects.all().delete()
    at_ms = now_ms() - DAY_MS
    moments = [at_ms + 3, *[at_ms + 2] * 70, at_ms + 1, *[at_ms] * 5]
    for number, moment in enumerate(moments):
        write(ann, at_ms=moment, reason=f"e{number}")
    seen, pages = walk(client)
    assert sorted(seen) == sorted(f"e{number}" for number in range(len(moments)))
    assert seen[0] == "e0" and seen[71] == "e71"
    assert pages == 4


def test_what_happens_meanwhile_moves_nothing(ann: Any) -> None:
    client = browser(ann)
    for number in range(30):
        write(ann, ago_ms=(60 - number) * SECOND_MS, reason=f"e{number}")
    first = client.get(PAGE)
    place = re.search(r"after=([0-9-]+)", first.content.decode())
    assert place
    write(ann, reason="new")
    second = shown(client.get(f"{PAGE}?after={place[1]}"))
    assert len(shown(first)) == 25
    assert [item[0] for item in second] == [f"Signed out: e{number}" for number in range(5, -1, -1)]


@pytest.mark.parametrize(
    "after", ["x", "-1-0", "1", "1-", "9" * 16 + "-0", "1-" + "9" * 7, "1-0%0A", "%00", "１-0", "1' OR 1-0", "5" * 5000]
)
def test_what_is_no_place_leads_to_the_newest(ann: Any, after: str) -> None:
    client = browser(ann)
    assert shown(client.get(f"{PAGE}?after={after}")) == shown(client.get(PAGE)) != []


@pytest.mark.parametrize("after", ["0-0", "999999999999999-999999", "1-0"])
def test_a_place_that_nothing_is_behind_is_an_empty_page_with_a_way_back(ann: Any, after: str) -> None:
    answer = browser(ann).get(f"{PAGE}?after={after}")
    assert shown(answer) == []
    assert f'href="{PAGE}">Newest' in answer.content.decode()


def test_a_page_asks_once_and_counts_nothing(ann: Any) -> None:
    client = browser(ann)
    SessionEvent.objects.bulk_create(
        SessionEvent(at_ms=now_ms() - number, kind="ended", sid="5" * 18, user_id=str(ann.pk)) for number in range(500)
    )
    with CaptureQueriesContext(connection) as asked:
        client.get(f"{PAGE}?after={now_ms()}-0")
    events = [query["sql"] for query in asked if "srvsession_sessionevent" in query["sql"]]
    assert len(events) == 1
    assert "LIMIT 26" in events[0] and "COUNT" not in events[0]


def test_times_are_for_machines_and_in_the_current_time_zone(ann: Any, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    client = browser(ann)
    write(ann, at_ms=(now_ms() // DAY_MS - 1) * DAY_MS + 3_600_000)
    text = client.get(PAGE).content.decode()
    said = r'<time datetime="\d{4}-\d\d-\d\dT01:00:00\+00:00" [^>]*exact="[^"]*10 a\.m\. KST">10 a\.m\.</time>'
    assert re.search(said, text)


def test_no_page_holds_what_opens_a_session(ann: Any) -> None:
    client, other = browser(ann), browser(ann)
    secrets = [one.cookies["sessionid"].value[12:] for one in (client, other)]
    secrets += [record.verifier for record in services.sessions_of(ann)]
    may_end = reverse("srvsession:end", args=[str(other.session.sid)])
    other.post("/account/logout/")
    text = client.get(PAGE).content.decode()
    assert len(shown(client.get(PAGE))) == 3
    assert not [secret for secret in secrets if secret in text]
    sids = "|".join(SessionEvent.objects.values_list("sid", flat=True))
    assert not re.search(sids, text.replace(may_end, "")), "elsewhere people do not need these names"


def test_the_page_speaks_korean(ann: Any, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ko"
    client = browser(ann)
    for reason in REASONS.split():
        write(ann, reason=reason, by=str(ann.pk))
        write(ann, reason=reason, by="x")
    for query in ("", "?after=1-0"):
        main = client.get(PAGE + query).content.decode().split("<main")[1].partition(">")[2]
        foreign = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]+>", " ", main)))
        assert foreign <= {"Firefox", "Linux", "UTC"}


# An outage.


@pytest.fixture
def postgresql(settings: Any, postgresql_server: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A server with users and events, beside sessions in memory."""
    with lent("postgresql", request) as alias:
        settings.DATABASE_ROUTERS = [SendEverythingTo(alias)]
        yield postgresql_server


def test_an_outage_of_the_database_is_503_and_nobody_is_signed_out(postgresql: Any) -> None:
    client = sign_in(person("ann").username)
    key = client.cookies["sessionid"].value
    postgresql.stop()
    answer = client.get(PAGE)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Temporarily unavailable" in answer.content.decode()
    assert "sessionid" not in answer.cookies
    in_json = client.get("/api/activity/")
    assert (in_json.status_code, in_json["Content-Type"]) == (503, "application/problem+json")
    postgresql.start()
    connections[router.db_for_read(SessionEvent)].close()  # As the next request does.
    assert shown(client.get(PAGE)) == [["Firefox on Linux (this device)", "Signed in", "192.0.2.1"]]
    assert client.cookies["sessionid"].value == key


# In the admin.

LIST = "/admin/srvsession/sessionevent/"
LIVE = "/admin/srvsession/livesession/"


@pytest.fixture
def boss(transactional_db: None) -> Client:
    client = Client(HTTP_USER_AGENT=FIREFOX)
    client.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    SessionEvent.objects.all().delete()
    return client


def rows(answer: Any) -> list[SessionEvent]:
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def reasons(answer: Any) -> list[str]:
    return [row.reason for row in rows(answer)]


def test_an_administrator_reads_who_what_why_by_whom_and_where(boss: Client, ann: Any) -> None:
    admin_id = get_user_model().objects.get(username="boss").pk
    write(ann, ago_ms=5000, kind="started", sid="1" * 18, user_agent=SAFARI, ip="2001:db8::7")
    write(ann, ago_ms=4000, reason="revoked", by=str(admin_id), sid="1" * 18)
    write("gone-for-good", ago_ms=3000, reason="fraud <b>", by="the <i>job")
    answer = boss.get(LIST)
    assert [(row.kind, row.reason) for row in rows(answer)] == [
        ("ended", "fraud <b>"), ("ended", "revoked"), ("started", ""),
    ]  # fmt: skip
    text = answer.content.decode()
    assert "Signed out remotely" in text and "by boss" in text and "Safari on iPhone" in text
    assert "Signed out: fraud &lt;b&gt;" in text and "by the &lt;i&gt;job" in text and "gone-for-good" in text
    assert f'<a href="{LIST}?user={ann.pk}">ann</a>' in text
    assert reasons(boss.get(LIST, {"user": str(ann.pk)})) == ["revoked", ""]
    assert reasons(boss.get(LIST, {"user": "gone-for-good"})) == ["fraud <b>"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=an", ["logout", ""]),
        ("q=ann@EXAMPLE.org", ["logout", ""]),
        ("q=nobody", []),
        ("q=former-user", ["fraud"]),
        (f"q={'1' * 18}", ["logout", ""]),
        ("q=203.0.", ["fraud"]),
        ("q=2001:DB8:", ["expired_idle"]),
        ("q=%25", []),
        ("kind=started", [""]),
        ("kind=ended&q=an", ["logout"]),
        ("reason=logout", ["logout"]),
        ("reason=other", ["fraud"]),
        ("since=60", ["logout", ""]),
        ("since=1440", ["logout", "", "fraud"]),
    ],
)
def test_events_are_found(boss: Client, ann: Any, query: str, expected: list[str]) -> None:
    write(ann, ago_ms=1000, reason="logout", sid="1" * 18)
    write(ann, ago_ms=2000, kind="started", sid="1" * 18)
    write("former-user", ago_ms=2 * 3_600_000, reason="fraud", ip="203.0.113.9")
    write("bob", ago_ms=2 * DAY_MS, reason="expired_idle", ip="2001:db8::9")
    assert reasons(boss.get(f"{LIST}?{query}")) == expected


@pytest.mark.parametrize(
    "query", ["after=x", "kind=x", "reason=x", "since=1", "sid=1", "user_id=1", "by__gt=1", "names=1"]
)
def test_no_parameter_reaches_a_lookup(boss: Client, ann: Any, query: str) -> None:
    write(ann)
    answer = boss.get(f"{LIST}?{query}")
    assert answer["Location"] == f"{LIST}?e=1"


def test_the_list_goes_on_by_places_and_counts_nothing(boss: Client, ann: Any) -> None:
    at_ms = now_ms()
    SessionEvent.objects.bulk_create(
        SessionEvent(at_ms=at_ms - number // 60, kind="ended", sid="5" * 18, user_id=str(ann.pk), reason=f"e{number}")
        for number in range(120)
    )
    seen, query = [], ""
    while True:
        with CaptureQueriesContext(connection) as asked:
            answer = boss.get(LIST + query)
        sql = [one["sql"] for one in asked if "srvsession_sessionevent" in one["sql"]]
        assert len(sql) == 1 and "LIMIT" in sql[0] and "COUNT" not in sql[0]
        seen += reasons(answer)
        assert len(seen) <= 120, "it goes in circles"
        cl = answer.context["cl"]
        assert ("Newest" in answer.content.decode()) is (query != "")
        if cl.further is None:
            break
        query = cl.further_url
    assert len(seen) == len(set(seen)) == 120


def test_what_no_index_answers_is_looked_for_among_a_bounded_number(
    boss: Client, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LOOK_AT", 100)
    at_ms = now_ms()
    SessionEvent.objects.bulk_create(
        SessionEvent(at_ms=at_ms - number, kind="ended", sid="5" * 18, user_id="7", reason="fraud")
        for number in range(250)
    )
    seen, pages, query = [], 0, "?kind=started"
    while True:
        answer = boss.get(LIST + query)
        seen += reasons(answer)
        pages += 1
        assert pages < 20, "it goes in circles"
        cl = answer.context["cl"]
        if cl.further is None:
            break
        assert "Only the next 100 events were looked at." in answer.content.decode()
        assert "Look further" in answer.content.decode()
        query = cl.further_url
    assert (seen, pages) == ([], 3)


def test_a_search_that_is_cut_goes_on_where_it_ended_and_misses_nothing(
    ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db.models import Q

    monkeypatch.setattr(history, "LOOK_AT", 10)
    at_ms = now_ms()
    for number in range(100):
        write("7", at_ms=at_ms - number // 7, reason="wanted" if number % 9 == 0 else "")
    seen, place, steps = [], None, 0
    while True:
        found = portion_of(SessionEvent.objects.all(), count=2, after=place, wanted=Q(reason="wanted"))
        seen += [event.pk for event in found.events]
        steps += 1
        assert steps < 30, "it goes in circles"
        if found.further is None:
            break
        assert place is None or found.further < place or found.further.skip > place.skip
        place = found.further
    wanted = SessionEvent.objects.filter(reason="wanted").order_by("-at_ms", "-pk")
    assert seen == [event.pk for event in wanted]
    assert steps > 5


def test_who_may_not_view_live_sessions_sees_no_events(ann: Any, settings: Any, boss: Client) -> None:
    from django.contrib.auth.models import Permission

    ann.is_staff = True
    ann.save()
    ann.user_permissions.set(Permission.objects.filter(codename="delete_livesession"))
    client = browser(ann)
    assert client.get(LIST).status_code == 403
    assert LIST not in client.get("/admin/").content.decode()
    ann.user_permissions.set(Permission.objects.filter(codename="view_livesession"))
    event = write(ann)
    assert client.get(LIST).status_code == 200
    assert LIST in client.get("/admin/").content.decode()
    for page in ("add/", f"{event.pk}/delete/"):
        assert boss.get(LIST + page).status_code in (302, 403)
    boss.post(f"{LIST}{event.pk}/change/", {"sid": "6" * 18})
    boss.post(LIST, {"action": "delete_selected", "_selected_action": event.pk, "post": "yes"})
    event.refresh_from_db()
    assert event.sid == "5" * 18
    settings.SRVSESSION_EVENT_LOG = None
    assert client.get(LIST).status_code == boss.get(LIST).status_code == 403
    assert LIST not in boss.get("/admin/").content.decode()


def test_no_row_is_handed_to_code_of_others(boss: Client, ann: Any) -> None:
    event = write(ann)
    cl = boss.get(LIST).context["cl"]
    assert len(cl.result_list) == 1
    assert not cl.queryset.exists() and not cl.root_queryset.exists()
    site = admin.AdminSite()
    site.add_action(lambda model_admin, request, queryset: None, "export")
    assert not SessionEventAdmin(SessionEvent, site).get_actions(boss.get(LIST).wsgi_request)
    for page in ("change", "history", "delete"):
        assert boss.get(f"{LIST}{event.pk}/{page}/").status_code in (302, 403)


def test_the_live_session_shows_its_own_history_among_the_user_s_and_leads_to_all(boss: Client, ann: Any) -> None:
    sid = str(browser(ann).session.sid)
    write(ann, ago_ms=DAY_MS, reason="password_changed", by=str(ann.pk))
    text = boss.get(f"{LIVE}{sid}/change/").content.decode()
    assert re.findall(r'<tr class="([^"]*)"><td><time', text) == ["srvsession-own-event", ""]
    assert "Signed out because the password was changed" in text and "by the user" in text
    for link in (f"{LIST}?q={sid}", f"{LIST}?user={ann.pk}"):
        assert f'href="{link}"' in text
        assert rows(boss.get(link))


def test_a_user_s_sessions_and_page_lead_to_the_user_s_events(boss: Client, ann: Any, settings: Any) -> None:
    link = f"{LIST}?user={ann.pk}"
    assert f'href="{link}"' in boss.get(LIVE, {"user": str(ann.pk)}).content.decode()
    assert LIST not in boss.get(LIVE).content.decode().split("<main")[1]
    page = f"/admin/auth/user/{ann.pk}/change/"
    assert f'href="{link}">Recent activity</a>' in boss.get(page).content.decode()
    assert reverse("admin:srvsession_sessionevent_changelist") == LIST
    assert events_url(admin.AdminSite("elsewhere")) == ""
    settings.SRVSESSION_EVENT_LOG = None
    assert link not in boss.get(page).content.decode()
    assert link not in boss.get(LIVE, {"user": str(ann.pk)}).content.decode()
