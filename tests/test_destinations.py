"""Where people go to sign in, and from there: what a new project has not got is a page of ours."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import include, path

from django_srvsession.accounts.reauthentication import recent_proof_required
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

OURS = "/account/login/?next=/account/sessions/"
MIDDLEWARE = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Be a page of the site's."""
    return HttpResponse("the site's page")


class Urls:
    """A URL configuration."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = [
            path("account/", include("django_srvsession.urls")),
            path("secret/", recent_proof_required(page)),
            path("members/", login_required(page)),
            *patterns,
        ]


BARE = Urls()
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    """A project with our pages, whose settings say nothing of where people sign in."""
    settings.ROOT_URLCONF = BARE
    get_user_model().objects.create_user("ann", password="pass-ann")


def sign_in(client: Client, url: str = "/account/login/") -> Any:
    return client.post(url, {"username": "ann", "password": "pass-ann"})


def messages() -> list[str]:
    return [message.msg for message in run_checks() if message.id == "srvsession.W019"]


def test_a_new_project_reaches_every_page_without_a_404() -> None:
    client = Client()
    assert client.get("/account/")["Location"] == OURS
    assert client.get("/account/sessions/")["Location"] == OURS
    assert client.get(OURS).status_code == 200
    assert sign_in(client, OURS)["Location"] == "/account/sessions/"
    assert sign_in(Client())["Location"] == "/account/sessions/"
    assert client.get("/account/")["Location"] == "/account/sessions/"
    assert client.get("/account/sessions/").status_code == 200


@pytest.mark.parametrize("url", ["/account/confirm/", "/secret/", "/account/sessions/end-others/"])
def test_whatever_of_ours_asks_people_to_sign_in_leads_to_our_page(url: str) -> None:
    assert Client().get(url)["Location"].startswith("/account/login/?next=/")


def test_a_checks_warning_says_what_leads_nowhere_and_what_to_set(settings: Any) -> None:
    first, second = messages()
    assert first.startswith("LOGIN_URL is '/accounts/login/', Django's default, and no URL pattern answers there.")
    assert second.startswith("LOGIN_REDIRECT_URL is '/accounts/profile/'")
    settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL = "srvsession:login", "srvsession:sessions"
    assert messages() == []


def test_a_site_without_pages_is_checked_too(settings: Any) -> None:
    del settings.ROOT_URLCONF
    assert messages() == []


def test_what_the_site_has_set_counts_though_django_knows_no_page_there(settings: Any) -> None:
    settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL = "/sso/start", "https://example.com/desk"
    assert Client().get("/account/sessions/")["Location"] == "/sso/start?next=/account/sessions/"
    assert sign_in(Client())["Location"] == "https://example.com/desk"
    assert messages() == []


@override_script_prefix("/accounts/")
def test_a_page_of_the_sites_that_is_at_the_default_by_its_prefix_stays_the_one(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("login/", page))
    assert Client().get("/account/sessions/")["Location"].startswith("/accounts/login/?")


@pytest.mark.parametrize("prefix", ["accounts/", "<str:language>/accounts/", "<path:anything>/"])
def test_a_page_of_the_sites_at_djangos_defaults_stays_the_one(settings: Any, prefix: str) -> None:
    patterns = [path(f"{prefix}login/", page), path(f"{prefix}profile/", page)]
    settings.ROOT_URLCONF = Urls(*(patterns if "any" not in prefix else [path(prefix, page)]))
    assert Client().get("/account/sessions/")["Location"] == "/accounts/login/?next=/account/sessions/"
    assert sign_in(Client())["Location"] == "/accounts/profile/"
    assert messages() == []


@override_script_prefix("/shop/")
def test_a_site_below_a_path_is_led_to_our_page_there() -> None:
    assert Client().get("/account/sessions/")["Location"] == "/shop/account/login/?next=/shop/account/sessions/"


def test_without_our_pages_nothing_stands_in_for_anything(settings: Any) -> None:
    settings.ROOT_URLCONF = type("Other", (), {"urlpatterns": [path("secret/", recent_proof_required(page))]})()
    assert Client().get("/secret/")["Location"] == "/accounts/login/?next=/secret/"
    assert messages() == []


def test_who_requires_a_sign_in_everywhere_keeps_our_door_open(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    assert Client().get("/account/")["Location"] == OURS
    assert Client().get("/account/sessions/")["Location"] == OURS
