"""Links in mails that are opened more than once: by a scanner, in two tabs, on another device, by a double click.

Reported: "the password reset link was invalid, possibly because it has already been used", though its person has
opened it for the first time; or an error (400, 500) for the second click. Django keeps the link's token in the session
between two pages, so whatever loses a session, or a value of it, makes the link "invalid". Right is: opening uses
nothing up, each browser that has opened the link can go on, the first new password counts, and whoever comes later
reads that the link is used. The same holds of a link that confirms an address and signs its person in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from django_srvsession import services
from tests.engine import pages
from tests.engine.pages import Browser, at_once, login, logout, make_user, put, while_
from tests.reports.stores import on_stores

NEW = "a long new secret"
FORM = {"new_password1": NEW, "new_password2": NEW}
INVALID = "invalid, possibly because it has already been used"

reset_view = auth_views.PasswordResetConfirmView.as_view(success_url="/done/")
urlpatterns = [path("reset/<uidb64>/<token>/", reset_view), path("admin/", admin.site.urls), *pages.urlpatterns]

everywhere = on_stores("sqlite")


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def link_for(user: Any) -> str:
    return f"/reset/{urlsafe_base64_encode(force_bytes(user.pk))}/{default_token_generator.make_token(user)}/"


def opened(client: Any, link: str) -> Any:
    """Open a link, and follow to the form, or to the page that says that the link is used."""
    answer = client.get(link, follow=True)
    assert answer.status_code == 200
    return answer


def form_of(client: Any, link: str) -> str:
    """Open a link and return where its form is sent."""
    answer = opened(client, link)
    assert "new_password1" in answer.content.decode(), answer.content.decode()
    return str(answer.redirect_chain[-1][0])


def says_used(answer: Any) -> bool:
    return answer.status_code == 200 and INVALID in answer.content.decode()


@everywhere
def test_a_reset_link_that_a_scanner_has_opened_works_for_its_person(every_store: str) -> None:
    user = make_user()
    link, scanner, person = link_for(user), Client(HTTP_USER_AGENT="Scanner"), Client()
    scanner.head(link)
    Client().get(link)  # Without keeping the cookie.
    form_of(scanner, link)
    assert person.post(form_of(person, link), FORM)["Location"] == "/done/"
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert says_used(opened(scanner, link))
    assert says_used(opened(person, link))


@everywhere
@pytest.mark.parametrize("late_save", ["discard", "interrupt"])
@pytest.mark.parametrize("is_signed_in", [False, True])
def test_of_two_tabs_the_first_form_counts_and_the_second_reads_that_the_link_is_used(
    is_signed_in: bool, late_save: str, every_store: str, settings: Any
) -> None:
    settings.SRVSESSION_LATE_SAVE = late_save
    user, browser = make_user(), Browser()
    if is_signed_in:
        browser.visit(login(user))
    link = link_for(user)
    tabs = [form_of(browser.client, link), form_of(browser.client, link)]
    assert browser.client.post(tabs[0], FORM).status_code == 302
    second = browser.client.post(tabs[1], {"new_password1": "another new one", "new_password2": "another new one"})
    assert says_used(second)
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert len(services.sessions_of(user)) == 0


@everywhere
def test_on_another_device_the_form_that_stands_open_reads_that_the_link_is_used(every_store: str) -> None:
    user = make_user()
    link, phone, desk = link_for(user), Client(), Client()
    on_phone, on_desk = form_of(phone, link), form_of(desk, link)
    assert desk.post(on_desk, FORM).status_code == 302
    assert says_used(phone.post(on_phone, FORM))


@everywhere
@pytest.mark.parametrize("has_session", [False, True])
def test_opened_twice_at_once_either_answer_leaves_the_browser_a_form_that_works(
    has_session: bool, every_store: str
) -> None:
    user, browser = make_user(), Browser()
    if has_session:
        browser.visit(put(basket=["tea"]))
    link = link_for(user)
    clicks = [browser.copy() if has_session else Browser() for _ in range(2)]
    answers = at_once(lambda click=click: click.client.get(link) for click in clicks)
    assert [answer.status_code for answer in answers] == [302, 302]
    for click in clicks:
        form = click.client.get(answers[0]["Location"])
        assert "new_password1" in form.content.decode()
    assert clicks[-1].client.post(answers[0]["Location"], FORM).status_code == 302


@everywhere
def test_a_double_click_on_the_form_sets_the_password_and_is_no_error(every_store: str) -> None:
    user, browser = make_user(), Browser()
    form = form_of(browser.client, link_for(user))
    clicks = [browser.copy(), browser.copy()]
    answers = at_once(lambda click=click: click.client.post(form, FORM) for click in clicks)
    assert 302 in [answer.status_code for answer in answers]
    assert all(answer.status_code == 302 or says_used(answer) for answer in answers)
    user.refresh_from_db()
    assert user.check_password(NEW)


@everywhere
def test_a_link_works_in_a_browser_whose_session_was_ended_from_elsewhere(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    services.revoke_all(user)
    link = link_for(user)
    assert browser.client.post(form_of(browser.client, link), FORM).status_code == 302


@everywhere
def test_a_link_that_is_opened_while_another_tab_signs_out_works_at_the_next_click_and_is_no_error(
    every_store: str,
) -> None:
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    link, other_tab = link_for(user), browser.copy()
    uid, token = link.split("/")[2:4]

    def open_it(request: HttpRequest) -> Any:
        return reset_view(request, uidb64=uid, token=token)

    answer = browser.visit(while_(pages.read, lambda: other_tab.visit(logout), open_it))
    assert answer.status_code == 302
    browser.client.cookies = other_tab.client.cookies
    assert browser.client.post(form_of(browser.client, link), FORM).status_code == 302


def test_a_stock_link_that_is_opened_while_another_tab_signs_out_is_an_error(
    stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    uid, token = link_for(user).split("/")[2:4]
    other_tab = browser.copy()

    def open_it(request: HttpRequest) -> Any:
        return reset_view(request, uidb64=uid, token=token)

    assert browser.visit(while_(pages.read, lambda: other_tab.visit(logout), open_it)).status_code == 400


# A link that confirms an address, and signs in.


def confirm(token: str) -> Callable[[HttpRequest], str]:
    """Return the page of a link that may be used again and again within its time, as links of confirmation are."""

    def confirmed(request: HttpRequest) -> str:
        user = pages.get_user_model().objects.get(pk=signing.loads(token, max_age=60))
        login(user)(request)
        request.session["confirmed"] = True
        return str(user.get_username())

    return confirmed


@everywhere
def test_a_confirmation_opened_in_two_tabs_at_once_signs_in_whichever_answer_comes_last(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(put(basket=["tea"]))
    link, first, second = confirm(signing.dumps(user.pk)), browser.copy(), browser.copy()
    assert first.show(while_(pages.read, lambda: second.visit(link), link)) == "ann"
    assert [first.user(), second.user()] == ["ann", "ann"]
    assert browser.user() == "", "the key from before the sign-in opens nothing"


@everywhere
def test_a_confirmation_opened_again_keeps_its_person_signed_in_and_what_they_had(every_store: str) -> None:
    user, browser = make_user(), Browser()
    link = confirm(signing.dumps(user.pk))
    browser.visit(put(basket=["tea"]))
    for _ in range(2):
        assert browser.show(link) == "ann"
    shown = browser.show(pages.read)
    assert (shown["basket"], shown["confirmed"]) == (["tea"], True)
    assert len(services.sessions_of(user)) == 1
    assert django_settings.SESSION_COOKIE_NAME in browser.client.cookies
