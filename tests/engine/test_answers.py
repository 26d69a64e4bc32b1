"""What an answer says beside the cookie: to caches, to frames, and to a browser that was signed out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.views.decorators.cache import cache_control, never_cache

from tests.engine.pages import Browser, View, deletes_cookie, login, logout, put, read, set_cookie, untouched
from tests.engine.pages import urlpatterns as pages
from tests.engine.watched import WatchedStore

urlpatterns = [
    path("admin/", admin.site.urls),
    path("second/", admin.AdminSite(name="second").urls),
    path("account/", include("django_srvsession.urls")),
    *pages,
]


@pytest.fixture(autouse=True)
def more_pages(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def flags(answer: Any) -> tuple[Any, ...]:
    morsel = set_cookie(answer)
    return tuple(morsel[name] for name in ("secure", "httponly", "samesite", "path", "domain"))


# Deleting.


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"SESSION_COOKIE_SECURE": True},
        {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_SAMESITE": "Strict"},
        {"SESSION_COOKIE_HTTPONLY": False, "SESSION_COOKIE_SAMESITE": None},
        {"SESSION_COOKIE_DOMAIN": "example.com", "SESSION_COOKIE_PATH": "/", "SESSION_COOKIE_SECURE": True},
    ],
)
@pytest.mark.parametrize("asgi", [False, True])
def test_a_cookie_is_deleted_with_the_attributes_that_it_was_set_with(
    asgi: bool, values: dict[str, Any], ann: Any, settings: Any
) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    browser = Browser(asgi=asgi)
    was_set = browser.visit(login(ann))
    deleted = browser.visit(logout)
    assert deletes_cookie(deleted)
    assert flags(deleted) == flags(was_set)
    assert set_cookie(deleted)["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"


# Caches.


def answering(view: View) -> View:
    """Return a view that does what another does, and says something of caches."""

    def answer(request: HttpRequest) -> HttpResponse:
        view(request)
        return HttpResponse()

    return answer


@pytest.mark.parametrize("asgi", [False, True])
def test_an_answer_that_sets_or_deletes_the_cookie_is_private(asgi: bool, ann: Any) -> None:
    browser = Browser(asgi=asgi)
    for view in (put(a=1), login(ann), logout):
        answer = browser.visit(view)
        assert set_cookie(answer) is not None
        assert answer.headers["Cache-Control"] == "private"


def test_an_answer_that_says_nothing_of_the_cookie_says_nothing_of_caches(ann: Any) -> None:
    browser = Browser()
    browser.visit(login(ann))
    for view in (read, untouched):
        answer = browser.visit(view)
        assert set_cookie(answer) is None
        assert "Cache-Control" not in answer.headers


@pytest.mark.parametrize(
    ("decorate", "said"),
    [
        (cache_control(max_age=60), "max-age=60"),
        (cache_control(public=True), "public"),
        (never_cache, "max-age=0, no-cache, no-store, must-revalidate, private"),
    ],
)
def test_what_the_view_says_of_caches_stands(decorate: Any, said: str) -> None:
    answer = Browser().visit(decorate(answering(put(a=1))))
    assert set_cookie(answer) is not None
    assert answer.headers["Cache-Control"] == said


# Frames.


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("login/", 200),
        ("logged-out/", 302),
        ("sessions/", 200),
        ("activity/", 200),
        ("confirm/", 200),
        ("sessions/end-others/", 302),
        ("logout/", 200),
    ],
)
def test_our_pages_refuse_to_be_framed(url: str, status: int, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    client = Client()
    client.force_login(ann)
    answer = client.get(f"/account/{url}")
    assert (answer.status_code, answer.headers.get("X-Frame-Options")) == (status, "DENY")


def test_they_refuse_it_when_they_send_elsewhere_or_are_out_of_order(store: WatchedStore) -> None:
    assert Client().get("/account/sessions/").headers["X-Frame-Options"] == "DENY"
    client = Client()
    client.cookies["sessionid"] = a_cookie()
    store.out = {"load"}
    answer = client.get("/account/sessions/")
    assert (answer.status_code, answer.headers["X-Frame-Options"]) == (503, "DENY")


def a_cookie() -> str:
    browser = Browser()
    browser.visit(put(a=1))
    return str(browser.cookie)


# Signing out in the admin.


@pytest.fixture
def boss(transactional_db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    return client


@pytest.mark.parametrize("url", ["/admin/logout/", "/second/logout/"])
@pytest.mark.parametrize(("kinds", "said"), [(("storage",), '"storage"'), (("cache", "storage"), '"cache", "storage"')])
def test_the_admins_logout_clears_site_data_as_ours_does(
    kinds: tuple[str, ...], said: str, url: str, boss: Client, settings: Any
) -> None:
    settings.SRVSESSION_CLEAR_SITE_DATA = kinds
    answer = boss.post(url)
    assert (answer.status_code, answer.headers["Clear-Site-Data"]) == (200, said)
    assert boss.get("/admin/").status_code == 302


def test_where_nothing_is_to_be_cleared_the_admin_clears_nothing(boss: Client, settings: Any) -> None:
    settings.SRVSESSION_CLEAR_SITE_DATA = ()
    assert "Clear-Site-Data" not in boss.post("/admin/logout/").headers


def test_other_pages_of_the_admin_and_other_ways_to_sign_out_clear_nothing(boss: Client, ann: Any) -> None:
    for answer in (boss.get("/admin/"), boss.get("/admin/logout/"), boss.get("/admin/none/")):
        assert "Clear-Site-Data" not in answer.headers
    browser = Browser()
    browser.visit(login(ann))
    assert "Clear-Site-Data" not in browser.visit(logout).headers


def test_a_logout_that_was_not_written_clears_nothing(boss: Client, store: WatchedStore) -> None:
    store.out = {"end"}
    answer = boss.post("/admin/logout/")
    assert answer.status_code == 503
    assert "Clear-Site-Data" not in answer.headers
