"""The words of the pages: devices, sign out, IP address; and what people hear who do not see the pages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client, override_settings
from django.urls import include, path

from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures
from tests.test_views import SAFARI, Document, browser, sid_of

LOGIN, LOGOUT, LOGGED_OUT, CONFIRM, SESSIONS, ACTIVITY = (
    f"/account/{page}/" for page in ("login", "logout", "logged-out", "confirm", "sessions", "activity")
)
END_OTHERS = f"{SESSIONS}end-others/"


def whoami(request: HttpRequest) -> HttpResponse:
    """Name the user."""
    return HttpResponse(str(request.user))


urlpatterns = [path("account/", include("django_srvsession.urls")), path("whoami/", whoami)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("pages")]


class Words(HTMLParser):
    """What a page says: its texts, and its attributes that are read out or shown."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.words: list[str] = []
        self.title = ""
        self.inside = ""
        self.feed(answer.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.words += [
            value for name, value in attrs if value and name in ("aria-label", "title", "alt", "placeholder")
        ]

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        self.title += data if self.inside == "title" else ""


def pages_of(client: Client, other: Client) -> dict[str, Any]:
    """Return every page, in the states that are reached by a signed-in person; the other device is signed out last."""
    pages = {page: client.get(page) for page in (LOGIN, LOGOUT, CONFIRM, SESSIONS, ACTIVITY, END_OTHERS)}
    end = f"{SESSIONS}{sid_of(other)}/end/"
    pages["question"] = client.get(end)
    pages["ended"] = client.post(end, follow=True)
    pages["already"] = client.post(end, follow=True)
    pages["signed out"] = client.post(LOGOUT, follow=True)
    return pages


def test_the_pages_say_devices_sign_out_and_ip_address(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    client, other = browser("alice", SAFARI), browser("alice")
    for name, page in pages_of(client, other).items():
        assert page.status_code == 200, name
        said = " ".join(Words(page).words)
        assert not re.search(r"\bsessions?\b|\blog ?(in|out|ged)\b|\brevoke|\bterminate", said, re.IGNORECASE), name
        assert not re.search(r"(?<!IP )\baddress", said), name


@override_settings(ALLOWED_HOSTS=["example.org"])
def test_each_title_ends_with_the_name_of_the_site(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    client, other = browser("alice", SERVER_NAME="example.org"), browser("alice", SERVER_NAME="example.org")
    titles = [Words(page).title for page in pages_of(client, other).values()]
    assert all(re.fullmatch(r".+ · example\.org", title) for title in titles), titles
    assert "Your devices · example.org" in titles


def test_without_a_request_a_title_names_no_site() -> None:
    template = Template("{% load srvsession %}[{% site_name %}]")
    assert template.render(Context()) == "[]"
    request = HttpRequest()
    request.META = {"HTTP_HOST": "not allowed/"}
    assert template.render(Context({"request": request})) == "[]"


@pytest.mark.parametrize("page", [LOGIN, LOGOUT, CONFIRM, SESSIONS, END_OTHERS])
def test_the_first_link_of_each_page_leads_past_the_header(alice: Any, page: str) -> None:
    client, _ = browser("alice"), browser("alice")
    document = Document(client.get(page))
    link = document.all("a")[0]
    assert link["href"] == "#srvsession-main"
    assert document.all("main")[0]["id"] == "srvsession-main"


def test_each_button_is_named_by_its_device_and_described_by_its_facts(alice: Any) -> None:
    client, phone = browser("alice"), browser("alice", SAFARI)
    document = Document(client.get(SESSIONS))
    buttons = [button for button in document.all("button") if "formaction" in button]
    assert [button["aria-label"] for button in buttons] == ["Sign out Firefox on Linux", "Sign out Safari on iPhone"]
    described = [button["aria-describedby"] for button in buttons]
    assert described == [facts["id"] for facts in document.all("dl")]
    question = Document(client.get(f"{SESSIONS}{sid_of(phone)}/end/"))
    assert [button.get("aria-label") for button in question.all("button")][-1] == "Sign out Safari on iPhone"
