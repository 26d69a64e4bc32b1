"""The pages: sign in, sign out, and a person's own sessions."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.utils import timezone
from django.utils.formats import date_format

from django_srvsession import services, views
from django_srvsession.clients import devices
from django_srvsession.engine import current_store
from django_srvsession.records import Delta, SessionRecord, Tombstone
from django_srvsession.store import Store, StoreUnavailableError
from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures
from tests.questions import shown_to

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CHANGING = ["logout", "end_others", "end"]
MALFORMED = [
    "x.css",
    *(
        f"{text}/end/"
        for text in ["0" * 17, "0" * 19, "A" * 18, "g" * 18, "0" * 18 + "%0A", "%00" * 18, "é" * 18, ".."]
    ),
    "0" * 18 + "/end/%0A",
    "0" * 18 + "/",
]
PAGES = ["login", "logged_out", "confirm", "sessions"]
SCRIPTS = {"sessions": [f"/static/srvsession/{name}.js" for name in ("times", "sessions", "live")]}


def whoami(request: Any) -> HttpResponse:
    """Name the user."""
    return HttpResponse(request.user.get_username())


urlpatterns = [path("account/", include("django_srvsession.urls")), path("whoami/", whoami)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("pages")]


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob", password="pass-bob")


def url(name: str, *args: str) -> str:
    return reverse(f"srvsession:{name}", args=args or (["0" * 18] if name == "end" else []))


def browser(name: str = "", agent: str = FIREFOX, **options: Any) -> Client:
    """Open a browser, and sign in through the page."""
    client = Client(HTTP_USER_AGENT=agent, **options)
    if name:
        assert sign_in(client, name).status_code == 302
    return client


def sign_in(client: Client, name: str, password: str | None = None, **fields: str) -> Any:
    return client.post(url("login"), {"username": name, "password": password or f"pass-{name}", **fields})


def key_of(client: Client) -> str:
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def has_cookie(client: Client) -> bool:
    return django_settings.SESSION_COOKIE_NAME in client.cookies and bool(key_of(client))


def sid_of(client: Client) -> str:
    return str(client.session.sid)


def with_key(key: str) -> Client:
    """Open a browser that holds a copy of somebody's cookie."""
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return client


def user_of(client: Client) -> str:
    return str(client.get("/whoami/").content.decode())


def listed(answer: Any) -> list[str]:
    return re.findall(r'id="session-([0-9a-f]{18})"', answer.content.decode())


def messages_in(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


class Document(HTMLParser):
    """The start tags of a page, and the text in each of its elements by tag."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(answer.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# Sign in.


def test_signing_in_opens_a_session_and_goes_to_the_site(alice: Any) -> None:
    client = browser()
    answer = sign_in(client, "alice")
    assert (answer.status_code, answer["Location"]) == (302, "/whoami/")
    assert user_of(client) == "alice"


def test_a_wrong_password_opens_nothing_and_stores_nothing(alice: Any) -> None:
    client = browser()
    answer = sign_in(client, "alice", "wrong")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
    assert list(services.live_sessions()) == []
    assert not has_cookie(client)


@pytest.mark.parametrize("target", ["/whoami/?a=b", "/account/sessions/"])
def test_a_path_of_this_site_is_followed_after_signing_in(alice: Any, target: str) -> None:
    assert f'value="{target}"' in browser().get(url("login"), {"next": target}).content.decode()
    assert sign_in(browser(), "alice", next=target)["Location"] == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        r"/\evil.example/",
        r"\\evil.example",
        "http:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "\thttps://evil.example/",
        "https://testserver@evil.example/",
        "https://evil.example\\@testserver/",
        "\x00//evil.example",
        "//evil.example\n/",
    ],
)
def test_another_site_is_never_followed_after_signing_in_or_out(alice: Any, target: str) -> None:
    client = browser()
    assert sign_in(client, "alice", next=target)["Location"] == "/whoami/"
    assert client.post(url("logout"), {"next": target})["Location"] == url("logged_out")
    assert "evil.example" not in browser().get(url("login"), {"next": target}).content.decode()


def test_signing_in_changes_the_key_of_a_visitor(alice: Any) -> None:
    client = browser()
    session = client.session
    session["basket"] = 1
    session.save()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
    before, sid = key_of(client), sid_of(client)
    sign_in(client, "alice")
    assert key_of(client) != before
    assert (sid_of(client), client.session["basket"]) == (sid, 1)
    assert user_of(with_key(before)) == ""


def test_signing_in_again_as_the_same_user_changes_the_key_and_keeps_the_session(alice: Any) -> None:
    client = browser("alice")
    session = client.session
    session["basket"] = 1
    session.save()
    before, sid = key_of(client), sid_of(client)
    sign_in(client, "alice")
    assert key_of(client) != before
    assert (sid_of(client), client.session["basket"]) == (sid, 1)
    assert (user_of(client), user_of(with_key(before))) == ("alice", "")


def test_signing_in_as_somebody_else_begins_another_session(alice: Any, bob: Any) -> None:
    client = browser("alice")
    before, sid = key_of(client), sid_of(client)
    sign_in(client, "bob")
    assert (user_of(client), user_of(with_key(before))) == ("bob", "")
    assert sid_of(client) != sid
    assert list(services.sessions_of(alice)) == []


@pytest.mark.parametrize("was_signed_in", [False, True])
def test_one_sign_in_changes_the_key_once(alice: Any, monkeypatch: pytest.MonkeyPatch, was_signed_in: bool) -> None:
    client = browser("alice" if was_signed_in else "")
    if not was_signed_in:
        session = client.session
        session["basket"] = 1
        session.save()
        client.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
    updates = calls_of(monkeypatch, "update")
    sign_in(client, "alice")
    assert len([delta for _, _, delta, *_ in updates if delta.new_verifier is not None]) == 1


def calls_of(monkeypatch: pytest.MonkeyPatch, verb: str) -> list[Any]:
    """Return a list that every call of a verb of the store is added to."""
    store, calls = type(current_store()), []
    original = getattr(store, verb)

    def counted(self: Store, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(store, verb, counted)
    return calls


# Sign out.


def test_signing_out_ends_the_session_on_the_server_and_takes_the_cookie_away(alice: Any) -> None:
    client = browser("alice")
    copy, sid = with_key(key_of(client)), sid_of(client)
    assert user_of(copy) == "alice"
    answer = client.post(url("logout"))
    assert (answer.status_code, answer["Location"]) == (302, url("logged_out"))
    assert not has_cookie(client)
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert stored.reason == "logout"
    assert user_of(copy) == ""


def test_signing_out_twice_is_no_error(alice: Any) -> None:
    client = browser("alice")
    for _ in range(2):
        assert client.post(url("logout"))["Location"] == url("logged_out")


def test_signing_out_follows_a_path_of_this_site_or_the_setting(alice: Any, settings: Any) -> None:
    assert browser("alice").post(url("logout"), {"next": "/whoami/"})["Location"] == "/whoami/"
    settings.LOGOUT_REDIRECT_URL = "/bye/"
    assert browser("alice").post(url("logout"))["Location"] == "/bye/"


@pytest.mark.parametrize("name", ["logout", "end_others", "end_own"])
def test_when_the_store_does_not_answer_nobody_is_told_that_a_session_has_ended(
    alice: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    client, other = browser("alice"), browser("alice")
    page = url("end", sid_of(client)) if name == "end_own" else url(name)
    store = type(current_store())
    end = store.end
    monkeypatch.setattr(store, "end", refuse)
    answer = client.post(page, shown_to(client))
    assert answer.status_code == 503
    assert "Retry-After" in answer
    assert django_settings.SESSION_COOKIE_NAME not in answer.cookies
    monkeypatch.setattr(store, "end", end)
    assert (user_of(client), user_of(other)) == ("alice", "alice")


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise StoreUnavailableError("down")


# Methods, CSRF, caches.


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_only_post_changes_something_and_get_asks(alice: Any, name: str, method: str) -> None:
    client, other = browser("alice"), browser("alice")
    page = url("end", sid_of(other)) if name == "end" else url(name)
    answer = client.generic(method, page)
    assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
    assert "no-store" in answer["Cache-Control"]
    assert (user_of(client), user_of(other)) == ("alice", "alice")


@pytest.mark.parametrize("name", [*CHANGING, "login", "confirm"])
def test_what_changes_something_needs_a_csrf_token_also_without_the_middleware(
    alice: Any, settings: Any, name: str
) -> None:
    settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "csrf" not in entry]
    client, other = browser("alice"), browser("alice")
    client.handler.enforce_csrf_checks = True
    before = key_of(client)
    page = url("end", sid_of(other)) if name == "end" else url(name)
    status = client.post(page, {"username": "alice", "password": "pass-alice"}).status_code
    assert status == (302 if name == "login" else 403)  # Who is signed in already is led on.
    assert (user_of(client), user_of(other), key_of(client)) == ("alice", "alice", before)


def test_the_forms_of_the_pages_carry_the_token_that_they_need(alice: Any) -> None:
    client, other = browser(enforce_csrf_checks=True), browser("alice")
    token = token_in(client.get(url("login")))
    sign_in(client, "alice", csrfmiddlewaretoken=token)
    page = client.get(url("sessions"))
    document = Document(page)
    actions = [form.get("action") for form in document.all("form")]
    actions += [button["formaction"] for button in document.all("button") if "formaction" in button]
    assert set(actions) == {url("logout"), None, url("end", sid_of(client)), url("end", sid_of(other))}
    assert page.content.count(b"csrfmiddlewaretoken") == len(document.all("form")) == 2
    assert client.post(url("end", sid_of(other)), {"csrfmiddlewaretoken": token_in(page)}).status_code == 302
    assert user_of(other) == ""
    question = client.get(url("logout"))
    assert client.post(url("logout"), {"csrfmiddlewaretoken": token_in(question)}).status_code == 302
    assert user_of(client) == ""


def token_in(answer: Any) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.content.decode())
    assert found
    return found[1]


def test_no_answer_may_be_kept_by_a_cache(alice: Any) -> None:
    client = browser("alice")
    answers = [client.get(url(name)) for name in (*PAGES, "index")]
    answers += [client.post(url("end_others")), client.post(url("logout")), client.get(url("logged_out"))]
    assert [answer.status_code for answer in answers] == [200, 302, 200, 200, 302, 302, 302, 200]
    assert all("no-store" in answer["Cache-Control"] for answer in answers)


# The list.


def test_the_list_shows_exactly_the_sessions_of_the_person_who_asks(alice: Any, bob: Any) -> None:
    client, phone, ended = browser("alice"), browser("alice", SAFARI), browser("alice")
    browser("bob")
    sid = sid_of(ended)
    ended.post(url("logout"))
    answer = client.get(url("sessions"))
    assert sid not in answer.content.decode()
    assert sorted(listed(answer)) == sorted([sid_of(client), sid_of(phone)])


def test_the_list_shows_devices_and_addresses_and_marks_this_session(alice: Any) -> None:
    client = browser("alice", REMOTE_ADDR="192.0.2.1")
    phone = browser("alice", SAFARI, REMOTE_ADDR="2001:db8::7")
    items = {sid: item for item in items_of(client.get(url("sessions"))) for sid in re.findall(r"session-(\w+)", item)}
    own, other = items[sid_of(client)], items[sid_of(phone)]
    assert "Firefox on Linux" in own
    assert "192.0.2.1" in own
    assert "Safari on iPhone" in other
    assert "2001:db8::7" in other
    assert ('aria-current="true"' in own, 'aria-current="true"' in other) == (True, False)
    assert (icon_in(own), icon_in(other)) == ("linux.svg", "iphone.svg")
    assert other.count("<time datetime=") == 2


def test_there_is_an_icon_of_each_device_and_of_the_browsers_that_are_named() -> None:
    names = [*devices.FAMILIES, *devices.KINDS, *(f"browser-{name}" for name in devices.BROWSERS.values())]
    assert all(finders.find(f"srvsession/{name}.svg") for name in names)
    assert devices.browser_icon(FIREFOX) == "firefox"
    assert devices.browser_icon(SAFARI) == "safari"
    assert devices.browser_icon("something-homemade/0.3") == devices.browser_icon("") == ""


def icon_in(item: str) -> str:
    found = re.search(r'src="/static/srvsession/([^"]+)"', item)
    assert found
    return found[1]


def items_of(answer: Any) -> list[str]:
    return re.findall(r"<li.*?</li>", answer.content.decode(), re.DOTALL)


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_shown_in_the_current_time_zone(alice: Any, settings: Any, use_tz: bool) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Asia/Seoul"
    client, other = browser("alice"), browser("alice")
    record = record_of(sid_of(other))
    current_store().update(record.sid, record.verifier, Delta())
    record = record_of(sid_of(other))
    text = next(item for item in items_of(client.get(url("sessions"))) if record.sid in item)
    assert record.signed_in_at
    instants = [record.last_seen_at, record.signed_in_at]
    seoul = [date_format(instant.astimezone(ZoneInfo("Asia/Seoul")), "DATETIME_FORMAT") for instant in instants]
    day_and_time = date_format(record.signed_in_at.astimezone(ZoneInfo("Asia/Seoul")), "F j, P")
    machine_readable = [moment[:19] for moment in re.findall(r'<time datetime="([^"]+)\+00:00"', text)]
    assert machine_readable == [instant.strftime("%Y-%m-%dT%H:%M:%S") for instant in instants]
    assert f'exact="{seoul[0]} KST" tabindex="0">just now</time>' in text
    assert f'exact="{seoul[1]} KST">{day_and_time}</time>' in text


@pytest.mark.parametrize("own", range(5))
def test_a_long_list_has_pages_and_this_device_comes_first_on_each(
    alice: Any, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    monkeypatch.setattr(views.SessionsView, "paginate_by", 2)
    clients = [browser("alice") for _ in range(5)]
    sids = [sid_of(client) for client in clients]
    answers = [clients[own].get(url("sessions"), {"page": page}) for page in (1, 2, 3)]
    pages = [listed(answer) for answer in answers]
    assert [page[0] for page in pages] == [sids[own]] * 3
    assert sorted(sid for page in pages for sid in page[1:]) == sorted(set(sids) - {sids[own]})
    assert all(">(4)</span>" in answer.content.decode() for answer in answers)
    assert listed(clients[own].get(url("sessions"), {"page": "nonsense"})) == pages[0]


def test_fifty_sessions_are_on_a_page(alice: Any) -> None:
    assert views.SessionsView.paginate_by == 50


def test_who_is_signed_in_here_alone_reads_so_and_has_nothing_to_end(alice: Any) -> None:
    text = browser("alice").get(url("sessions")).content.decode()
    assert "You are signed in on this device only." in text
    assert url("end_others") not in text


def test_ending_a_session_leads_back_to_the_same_page_of_the_list(alice: Any) -> None:
    client, *others = [browser("alice") for _ in range(5)]
    pages = ["3", "1", "https://evil.example/", ""]
    answers = [
        client.post(url("end", sid_of(other)), {"page": page}) for other, page in zip(others, pages, strict=True)
    ]
    starts = [f"{url('sessions')}?page=3&ended=", *[f"{url('sessions')}?ended="] * 3]
    assert all(answer["Location"].startswith(start) for answer, start in zip(answers, starts, strict=True))


def test_what_a_browser_says_of_itself_is_no_markup(alice: Any) -> None:
    hostile = '"><script>alert(1)</script> Firefox/9'
    client = browser("alice", hostile)
    other = browser("alice", hostile)
    page = client.get(url("sessions"))
    told = client.post(url("end", sid_of(other)), follow=True)
    for answer in (page, told):
        assert all(script.get("src") for script in Document(answer).all("script"))
        assert b"alert(1)</script>" not in answer.content


@pytest.mark.parametrize("name", ["sessions", *CHANGING[1:]])
def test_visitors_are_sent_to_sign_in_and_then_to_the_list(name: str) -> None:
    client = browser()
    answer = client.get(url(name)) if name == "sessions" else client.post(url(name))
    assert (answer.status_code, answer["Location"]) == (302, f"{url('login')}?next={url('sessions')}")


def test_the_pages_work_where_every_view_requires_a_login(alice: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    visitor = browser()
    assert visitor.get(url("login")).status_code == 200
    assert visitor.get(url("logged_out")).status_code == 200
    assert visitor.post(url("end"))["Location"] == f"{url('login')}?next={url('sessions')}"
    assert browser("alice").get(url("sessions")).status_code == 200


# End one, end the others.


def test_ending_another_session_signs_it_out_at_its_next_request(alice: Any) -> None:
    client, phone = browser("alice"), browser("alice", SAFARI)
    sid = sid_of(phone)
    answer = client.post(url("end", sid), follow=True)
    assert messages_in(answer) == ["Signed out: Safari on iPhone."]
    assert listed(answer) == [sid_of(client), sid]
    assert listed(client.get(url("sessions"))) == [sid_of(client)]
    assert (user_of(client), user_of(phone)) == ("alice", "")
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert (stored.reason, stored.by) == ("revoked", str(alice.pk))


def test_ending_this_session_is_signing_out(alice: Any) -> None:
    client = browser("alice")
    copy, sid = with_key(key_of(client)), sid_of(client)
    assert client.post(url("end", sid))["Location"] == url("logged_out")
    assert not has_cookie(client)
    assert user_of(copy) == ""
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert stored.reason == "logout"


def test_ending_the_others_keeps_this_one_and_those_of_other_people(alice: Any, bob: Any) -> None:
    client, others, stranger = browser("alice"), [browser("alice") for _ in range(3)], browser("bob")
    answer = client.post(url("end_others"), shown_to(client), follow=True)
    assert messages_in(answer) == ["Signed out 3 other devices."]
    assert listed(answer) == [sid_of(client)]
    assert [user_of(other) for other in others] == ["", "", ""]
    assert (user_of(client), user_of(stranger)) == ("alice", "bob")


@pytest.mark.parametrize(("others", "text"), [(1, "Signed out 1 other device."), (2, "Signed out 2 other devices.")])
def test_the_message_counts(alice: Any, others: int, text: str) -> None:
    client, *_ = [browser("alice") for _ in range(1 + others)]
    assert messages_in(client.post(url("end_others"), shown_to(client), follow=True)) == [text]


def test_the_pages_work_without_messages(alice: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "messages" not in entry]
    client, other, third = browser("alice"), browser("alice"), browser("alice")
    assert client.post(url("end", sid_of(other))).status_code == 302
    assert client.post(url("end_others"), shown_to(client)).status_code == 302
    assert (user_of(other), user_of(third)) == ("", "")


def test_nobody_learns_whether_a_session_of_somebody_else_exists(alice: Any, bob: Any) -> None:
    client, stranger, ended, due = browser("alice"), browser("bob"), browser("alice"), browser("alice")
    ended_sid = sid_of(ended)
    ended.post(url("logout"))
    record = record_of(sid_of(due))
    current_store().update(record.sid, record.verifier, Delta(deadline_ms=record.created_ms - 1000))
    sids = {"foreign": sid_of(stranger), "unknown": "0" * 18, "ended": ended_sid, "expired": record.sid}
    answers = {kind: client.post(url("end", sid)) for kind, sid in sids.items()}
    seen = {kind: (answer.status_code, answer.content, dict(answer.headers)) for kind, answer in answers.items()}
    assert seen["foreign"][0] == 302
    assert all(answer == seen["foreign"] for answer in seen.values())
    for text in MALFORMED:
        assert client.post(f"{url('sessions')}{text}").status_code == 404, text
    assert (user_of(client), user_of(stranger)) == ("alice", "bob")


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_sid_is_no_page_for_anybody(text: str) -> None:
    assert browser().post(f"{url('sessions')}{text}").status_code == 404


def record_of(sid: str) -> SessionRecord:
    return next(record for record in services.live_sessions() if record.sid == sid)


def test_of_a_session_that_ends_meanwhile_the_same_is_said(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = browser("alice"), browser("alice")
    monkeypatch.setattr(services, "revoke", lambda *args, **kwargs: None)
    answer = client.post(url("end", sid_of(other)), follow=True)
    assert messages_in(answer) == ["That device was already signed out."]


# What no answer holds, and what every page has.


def test_no_answer_holds_a_key_or_a_verifier(alice: Any) -> None:
    client, other = browser("alice"), browser("alice")
    keys = [key_of(client), key_of(other)]
    records = list(services.sessions_of(alice))
    answers = [client.get(url(name)) for name in PAGES]
    answers += [client.post(url("end", sid_of(other))), client.post(url("end_others")), client.get(url("sessions"))]
    secrets = [*keys, *(record.verifier for record in records)]
    secrets += [key[12:] for key in keys]  # Without the sid, which is public.
    for answer in answers:
        text = answer.content.decode() + repr(dict(answer.headers))
        assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_plain_and_accessible(alice: Any, name: str) -> None:
    answer = browser("" if name == "logged_out" else "alice").get(url(name))
    page = Document(answer)
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en-us"
    assert [script.get("src") for script in page.all("script")] == SCRIPTS.get(name, [])
    assert page.all("style") == []
    assert not [attributes for _, attributes in page.tags if "style" in attributes or "onclick" in attributes]
    assert "status" in [part.get("role") for part in page.all("div")]
    labels = {label["for"] for label in page.all("label")}
    shown = [field for field in page.all("input") if field["type"] != "hidden" and "hidden" not in field]
    assert all(field["id"] in labels for field in shown)
    assert {form["method"] for form in page.all("form")} <= {"post"}
    assert name == "logged_out" or url("logout") in [form.get("action") for form in page.all("form")]
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_pages_speak_korean(alice: Any, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ko"
    client = browser("alice")
    text = client.get(url("sessions")).content.decode()
    assert '<html lang="ko"' in text
    assert "로그인된 기기" in text
    assert "Your devices" not in text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Please enter a correct username and password."),
        ("ko", "사용자 이름 또는 비밀번호가 올바르지 않습니다."),
        ("ja", "ユーザー名またはパスワードが正しくありません。"),
        ("es", "Compruebe nombre de usuario y contraseña;"),
        ("de", "Benutzername oder Passwort ist falsch."),
        ("fr", "Vérifiez nom d’utilisateur et mot de passe,"),
    ],
)
def test_a_wrong_password_is_said_in_our_words(alice: Any, settings: Any, language: str, text: str) -> None:
    settings.LANGUAGE_CODE = language
    answer = Client().post(url("login"), {"username": "alice", "password": "wrong"})
    assert text in answer.content.decode()


def test_the_digest_says_when_the_own_list_is_another_one(alice: Any) -> None:
    own, other = browser("alice"), browser("alice")
    shown = own.get(url("sessions")).context["digest"]
    answer = own.get(url("digest"))
    assert (answer.content.decode(), answer["Content-Type"]) == (shown, "text/plain")
    assert "no-store" in answer["Cache-Control"]
    other.post(url("logout"))
    assert own.get(url("digest")).content.decode() != shown
    assert own.get(url("digest")).content.decode() == own.get(url("sessions")).context["digest"]
    assert other.get(url("digest")).status_code == 302


def test_a_list_of_several_pages_does_not_keep_itself_up_to_date(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.SessionsView, "paginate_by", 2)
    own = browser("alice")
    assert b"data-srvsession-live" in own.get(url("sessions")).content
    for _ in range(2):
        browser("alice")
    assert b"data-srvsession-live" not in own.get(url("sessions")).content


def test_while_the_site_moves_all_others_can_be_ended_where_none_is_listed(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_MIGRATE_FROM = "django.contrib.sessions.backends.db"
    settings.SRVSESSION_MIGRATE_UNTIL = timezone.now() + timedelta(days=30)
    waiting = import_module(settings.SRVSESSION_MIGRATE_FROM).SessionStore()
    client = browser("alice")
    waiting.update(client.session)
    waiting.save()
    assert url("end_others") in client.get(url("sessions")).content.decode()
    answer = client.post(url("end_others"), shown_to(client), follow=True)
    assert messages_in(answer) == ["All your other devices are signed out."]
    assert user_of(client) == "alice"
    assert user_of(with_key(waiting.session_key)) == ""
