"""Ending sessions by the pages: what nobody chose is never ended, whatever is pressed twice or too late."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from django_srvsession import services, views
from django_srvsession.views.cards import Card, digest_of, packed, unpacked
from tests.later import Later
from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures
from tests.questions import END_OTHERS, end_others, shown_to
from tests.test_views import FIREFOX, SAFARI, Document, browser, listed, messages_in, sid_of, token_in, user_of

LOGOUT, SESSIONS = "/account/logout/", "/account/sessions/"


def whoami(request: Any) -> HttpResponse:
    """Name the user."""
    return HttpResponse(request.user.get_username())


urlpatterns = [path("account/", include("django_srvsession.urls")), path("whoami/", whoami)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("pages")]


def end(client: Client, sid: str, page: Any = None, **fields: str) -> Any:
    """Press the button of one device, on a page of the list."""
    page = client.get(SESSIONS) if page is None else page
    inputs = {field.get("name"): field.get("value") for field in Document(page).all("input")}
    (card,) = [button["value"] for button in Document(page).all("button") if sid in str(button.get("formaction"))]
    sent = {name: inputs[name] for name in ("page", "ended", "ask") if name in inputs}
    return client.post(f"{SESSIONS}{sid}/end/", {**sent, "card": card, **fields}, follow=True)


def ended(answer: Any) -> list[str]:
    """Return which cards of a page are said to be signed out."""
    items = Document(answer).all("li")
    return [str(item["id"]).removeprefix("session-") for item in items if "data-srvsession-ended" in item]


# One.


def test_the_card_that_was_signed_out_stays_where_it_was(alice: Any) -> None:
    client, *_ = [browser("alice") for _ in range(4)]
    before = listed(client.get(SESSIONS))
    answer = end(client, before[2])
    assert (listed(answer), ended(answer)) == (before, [before[2]])
    assert messages_in(answer) == ["Signed out: Firefox on Linux."]
    assert len(services.sessions_of(alice)) == 3
    assert listed(client.get(SESSIONS)) == [sid for sid in before if sid != before[2]]


def test_the_second_post_of_a_double_click_ends_nothing_and_keeps_the_card_too(alice: Any) -> None:
    client, *_ = [browser("alice") for _ in range(4)]
    page = client.get(SESSIONS)
    sid = listed(page)[1]
    end(client, sid, page)
    answer = end(client, sid, page)
    assert messages_in(answer) == ["That device was already signed out."]
    assert (listed(answer), ended(answer)) == (listed(page), [sid])
    assert len(services.sessions_of(alice)) == 3


def test_the_page_that_follows_an_end_asks_before_the_next(alice: Any) -> None:
    client, *_ = [browser("alice") for _ in range(4)]
    page = client.get(SESSIONS)
    _, first, second, third = listed(page)
    after = end(client, first, page)
    asked = end(client, second, after)
    assert "Sign out Firefox on Linux?" in asked.content.decode()
    assert len(services.sessions_of(alice)) == 3
    fields = dict(asked.context["fields"])
    answer = client.post(f"{SESSIONS}{second}/end/", fields, follow=True)
    assert (listed(answer), set(ended(answer))) == (listed(page), {first, second})
    assert [record.sid for record in services.sessions_of(alice) if record.sid == third] == [third]


@pytest.mark.parametrize("target", ["this device", "sign out"])
def test_the_page_that_follows_an_end_asks_before_this_device_is_signed_out(alice: Any, target: str) -> None:
    client, other = browser("alice"), browser("alice")
    page = end(client, sid_of(other))
    if target == "this device":
        asked = end(client, sid_of(client), page)
    else:
        asked = client.post(LOGOUT, {"ask": "1"})
    assert "Sign out of this device?" in asked.content.decode()
    assert user_of(client) == "alice"
    answer = client.post(LOGOUT, asked.context["fields"])
    assert (answer["Location"], user_of(client)) == ("/account/logged-out/", "")


def test_the_header_of_a_question_asks_too(alice: Any) -> None:
    client, other = browser("alice"), browser("alice")
    for page in (f"{SESSIONS}{sid_of(other)}/end/", END_OTHERS, LOGOUT):
        header = client.get(page).content.decode().split("</header>")[0]
        assert 'name="ask"' in header, page
    assert 'name="ask"' not in client.get(SESSIONS).content.decode()


def test_the_question_shows_the_device_and_keeps_the_way_back(alice: Any) -> None:
    client, phone = browser("alice"), browser("alice", SAFARI, REMOTE_ADDR="192.0.2.9")
    answer = client.get(f"{SESSIONS}{sid_of(phone)}/end/")
    text = answer.content.decode()
    assert ("192.0.2.9" in text, f'href="{SESSIONS}"' in text) == (True, True)
    assert user_of(phone) == "alice"


def test_a_card_is_nobody_elses_and_no_letter_of_it_can_be_changed(alice: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    card = Card("0" * 18, "Firefox on Linux", "linux", "firefox", "192.0.2.1", 2, 1)
    text = packed([card], alice)
    assert unpacked(text, alice) == [card._replace(is_ended=True)]
    assert unpacked(text, bob) == unpacked(text[:-1], alice) == unpacked("", alice) == unpacked("x:y", alice) == []


def test_the_address_of_the_list_stays_short_however_many_are_signed_out(alice: Any) -> None:
    cards = [
        Card(f"{number:018x}", "가" * 60, "linux", "firefox", "2001:db8::2f", number, number) for number in range(50)
    ]
    text = packed(cards, alice)
    assert unpacked(text, alice) == [card._replace(is_ended=True) for card in cards[-20:]]
    assert len(text) < 2000


def test_what_a_page_says_of_ended_sessions_is_believed_only_if_it_is_ours(alice: Any) -> None:
    client = browser("alice")
    for text in ("nonsense", "a:b:c", "\x00", "é"):
        assert ended(client.get(SESSIONS, {"ended": text})) == []


# All others.


def test_all_others_always_asks_with_the_number_and_the_list(alice: Any) -> None:
    client, *others = [browser("alice", agent) for agent in (FIREFOX, SAFARI, FIREFOX)]
    answers = [client.get(END_OTHERS), client.post(END_OTHERS), client.post(END_OTHERS, {"shown": "x"})]
    for answer in answers:
        assert "Sign out 2 other devices?" in answer.content.decode()
        assert sorted(listed(answer)) == sorted(map(sid_of, others))
    assert len(services.sessions_of(alice)) == 3


@pytest.mark.parametrize("change", ["one more", "one less"])
def test_where_the_list_no_longer_stands_nothing_is_ended_and_the_question_comes_again(alice: Any, change: str) -> None:
    client, phone, laptop = [browser("alice") for _ in range(3)]
    shown = shown_to(client)
    kept = {sid_of(client), sid_of(phone), sid_of(laptop)}
    if change == "one more":
        kept.add(sid_of(browser("alice")))
    else:
        kept.remove(sid_of(laptop))
        laptop.post(LOGOUT)
    answer = client.post(END_OTHERS, shown)
    assert answer.status_code == 200
    assert "Your devices have changed meanwhile." in answer.content.decode()
    assert {record.sid for record in services.sessions_of(alice)} == kept
    assert client.post(END_OTHERS, answer.context["fields"]).status_code == 302
    assert {record.sid for record in services.sessions_of(alice)} == {sid_of(client)}


def test_a_sign_in_while_they_are_ended_is_not_among_them(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = browser("alice"), browser("alice")
    late: list[Client] = []

    def sign_in_first(sids: Any, **options: Any) -> Any:
        late.append(browser("alice"))
        return revoke_many(sids, **options)

    revoke_many = services.revoke_many
    monkeypatch.setattr(services, "revoke_many", sign_in_first)
    end_others(client)
    assert (user_of(client), user_of(other), user_of(late[0])) == ("alice", "", "alice")


def test_an_old_proof_is_renewed_in_the_question_itself(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = 60
    client, other = browser("alice"), browser("alice")
    with pytest.MonkeyPatch.context() as patch:
        Later(patch, 120)
        asked = client.get(END_OTHERS)
        assert "enter your password" in asked.content.decode()
        wrong = client.post(END_OTHERS, {**asked.context["fields"], "password": "wrong"})
        assert "That is not your password." in wrong.content.decode()
        assert user_of(other) == "alice"
        assert client.post(END_OTHERS, {**wrong.context["fields"], "password": "pass-alice"}).status_code == 302
    assert (user_of(client), user_of(other)) == ("alice", "")


def test_a_password_answers_no_question_that_was_not_asked(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = 60
    client, other = browser("alice"), browser("alice")
    with pytest.MonkeyPatch.context() as patch:
        Later(patch, 120)
        assert client.post(END_OTHERS, {"password": "pass-alice"}).status_code == 200
        assert user_of(other) == "alice"


def test_who_has_no_other_device_is_shown_the_list(alice: Any) -> None:
    client = browser("alice")
    assert client.get(END_OTHERS)["Location"] == client.post(END_OTHERS)["Location"] == SESSIONS


def test_of_very_many_the_question_shows_some_and_counts_all(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.questions, "_MOST_SHOWN", 2)
    client, *_ = [browser("alice") for _ in range(5)]
    answer = client.get(END_OTHERS)
    assert "Sign out 4 other devices?" in answer.content.decode()
    assert "and 2 more" in answer.content.decode()
    assert len(listed(answer)) == 2
    assert client.post(END_OTHERS, answer.context["fields"]).status_code == 302
    assert len(services.sessions_of(alice)) == 1


def test_a_digest_stands_for_the_sessions_in_any_order(alice: Any) -> None:
    for _ in range(3):
        browser("alice")
    records = list(services.sessions_of(alice))
    assert digest_of(records) == digest_of(records[::-1]) != digest_of(records[:2])


def test_the_forms_of_the_questions_carry_the_token_that_they_need(alice: Any) -> None:
    client, other = browser("alice"), browser("alice")
    guarded = Client(enforce_csrf_checks=True)
    guarded.cookies = client.cookies
    page = guarded.get(END_OTHERS)
    assert guarded.post(END_OTHERS, page.context["fields"]).status_code == 403
    token = {"csrfmiddlewaretoken": token_in(page)}
    assert guarded.post(END_OTHERS, {**page.context["fields"], **token}).status_code == 302
    assert user_of(other) == ""
