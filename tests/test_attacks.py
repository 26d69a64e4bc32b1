"""Attacks that an attacker of ours found: on the sign-in page, and by an error in the middle of a procedure."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures

LOGIN = "/account/login/"
pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.test_sign_in"), pytest.mark.usefixtures("pages")]


SENT_BY_ANOTHER_SITE = [
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example"},  # Sec-Fetch-Site is sent over HTTPS only, and not by old browsers.
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", SENT_BY_ANOTHER_SITE)
@pytest.mark.parametrize("in_session", [True, False])
def test_a_form_of_another_site_to_the_sign_in_page_replaces_no_cookie(
    alice: Any, settings: Any, in_session: bool, headers: dict[str, str]
) -> None:
    # A browser withholds cookies that are Lax from such a POST, and takes those that the answer sets: the person's
    # session would be replaced by an anonymous one.
    settings.CSRF_USE_SESSIONS = in_session
    response = Client(enforce_csrf_checks=True).post(LOGIN, {}, headers=headers)
    assert response.status_code == 403
    assert not response.cookies


@pytest.mark.parametrize("headers", [{"origin": "http://testserver", "sec-fetch-site": "same-origin"}, {}])
def test_a_form_of_our_own_with_an_old_token_is_shown_again(alice: Any, headers: dict[str, str]) -> None:
    response = Client(enforce_csrf_checks=True).post(LOGIN, {}, headers=headers)
    assert response.status_code == 403
    assert "csrfmiddlewaretoken" in response.content.decode()
