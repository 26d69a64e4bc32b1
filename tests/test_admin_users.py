"""The page of a user in the admin leads to the user's sessions, and says how many there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.template import Context, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.urls import path

from django_srvsession import services
from django_srvsession.admin import EndSessionsMixin, LiveSessionAdmin
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.models import LiveSession
from django_srvsession.store import StoreUnavailableError
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.test_admin import LIST, listed, member, page, session_of, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("store")]
TOOL = re.compile(r'<li><a href="([^"]*/srvsession/livesession/\?user=[^"]*)">([^<]*)</a></li>')


with isolate_apps("django.contrib.sessions"):

    class Person(User):
        """Be a site's own user model, as far as the admin can tell."""

        class Meta:
            proxy = True
            app_label = "sessions"


class PersonAdmin(EndSessionsMixin, UserAdmin):
    """The site's own admin of them."""


class FramedAdmin(EndSessionsMixin, UserAdmin):
    """One with a page of its own."""

    change_form_template = "shop/person.html"


plain, shop, framed, bare = (admin.AdminSite(name=name) for name in ("admin", "shop", "framed", "bare"))
for site in (plain, shop, framed):
    site.register(LiveSession, LiveSessionAdmin)
plain.register(User, UserAdmin)
plain.register(Person, UserAdmin)
shop.register(Person, PersonAdmin)
shop.register(User, PersonAdmin)
framed.register(User, FramedAdmin)
bare.register(User, UserAdmin)
urlpatterns = [
    path("admin/", plain.urls),
    path("shop/", shop.urls),
    path("framed/", framed.urls),
    path("bare/", bare.urls),
]


@pytest.fixture
def boss() -> Client:
    """A superuser's browser."""
    return signed_in(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice", "alice@example.org")


def test_django_s_own_page_of_a_user_leads_to_the_sessions_and_says_how_many(boss: Client, alice: Any) -> None:
    records = [session_of(alice) for _ in range(3)]
    url = f"/admin/auth/user/{alice.pk}/change/"
    ((link, text),) = TOOL.findall(page(boss.get(url)))
    assert text == "Sessions (3)"
    assert set(listed(boss.get(link))) == {record.sid for record in records}
    services.revoke(records[0].sid)
    assert TOOL.findall(page(boss.get(url)))[0][1] == "Sessions (2)"
    assert "historylink" in page(boss.get(url))


@pytest.mark.parametrize("url", ["/shop/sessions/person/", "/shop/auth/user/"])
def test_the_mixin_adds_it_once_to_any_user_model(boss: Client, alice: Any, url: str) -> None:
    session_of(alice)
    text = page(boss.get(f"{url}{alice.pk}/change/"))
    assert [name for _, name in TOOL.findall(text)] == ["Sessions (1)"]
    assert "/shop/srvsession/livesession/" in TOOL.findall(text)[0][0]
    assert boss.get(f"{url}add/").status_code == 200


def test_a_page_of_the_site_s_own_keeps_what_it_has(boss: Client, alice: Any, tmp_path: Path, settings: Any) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "person.html").write_text(
        '{% extends "admin/change_form.html" %}{% block field_sets %}<p>Our own.</p>{{ block.super }}{% endblock %}'
    )
    tools = tmp_path / "admin" / "auth" / "user"
    tools.mkdir(parents=True)
    (tools / "change_form_object_tools.html").write_text("<li>Our tool</li>")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    session_of(alice)
    text = page(boss.get(f"/framed/auth/user/{alice.pk}/change/"))
    assert "<p>Our own.</p>" in text and "<li>Our tool</li>" in text
    assert [name for _, name in TOOL.findall(text)] == ["Sessions (1)"]


def test_a_site_s_own_tools_for_every_model_stand_beside_it(
    boss: Client, alice: Any, tmp_path: Path, settings: Any
) -> None:
    (tmp_path / "admin").mkdir()
    (tmp_path / "admin" / "change_form_object_tools.html").write_text(
        "{% block object-tools-items %}<li>Our tool</li>{% endblock %}"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    text = page(boss.get(f"/admin/auth/user/{alice.pk}/change/"))
    assert "<li>Our tool</li>" in text
    assert [name for _, name in TOOL.findall(text)] == ["Sessions (0)"]


def test_one_line_in_a_template_adds_it_to_a_user_model_of_the_site_s_own(
    boss: Client, alice: Any, tmp_path: Path, settings: Any
) -> None:
    url = f"/admin/sessions/person/{alice.pk}/change/"
    assert TOOL.findall(page(boss.get(url))) == []
    tools = tmp_path / "admin" / "sessions" / "person"
    tools.mkdir(parents=True)
    (tools / "change_form_object_tools.html").write_text(
        '{% extends "admin/auth/user/change_form_object_tools.html" %}'
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    assert [name for _, name in TOOL.findall(page(boss.get(url)))] == ["Sessions (0)"]


def test_who_may_not_view_sessions_is_not_led_there(alice: Any) -> None:
    answer = signed_in(member("clerk", "view_user")).get(f"/admin/auth/user/{alice.pk}/change/")
    assert answer.status_code == 200
    assert "livesession" not in page(answer)


def test_an_admin_without_the_list_does_not_lead_there(boss: Client, alice: Any) -> None:
    answer = boss.get(f"/bare/auth/user/{alice.pk}/change/")
    assert answer.status_code == 200
    assert not TOOL.findall(page(answer))


def test_a_store_that_does_not_answer_costs_the_number_and_not_the_page(
    boss: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out(*args: Any) -> Any:
        raise StoreUnavailableError("for the test")

    monkeypatch.setattr(MemoryStore, "records", out)
    text = page(boss.get(f"/admin/auth/user/{alice.pk}/change/"))
    assert [name for _, name in TOOL.findall(text)] == ["Sessions"]


def test_the_pages_of_anything_else_ask_the_store_nothing(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "records", lambda *args: pytest.fail("the store was asked"))
    own = boss.session.sid
    assert "Sessions (" not in page(boss.get(f"{LIST}{own}/change/"))
    template = Template("{% load srvsession_admin %}{% user_sessions as found %}[{{ found }}]")
    assert template.render(Context()) == "[None]"


def test_the_link_costs_no_query(boss: Client, alice: Any) -> None:
    counted = []
    for _ in range(2):
        boss.get(f"/admin/auth/user/{alice.pk}/change/")
        with CaptureQueriesContext(connection) as captured:
            boss.get(f"/admin/auth/user/{alice.pk}/change/")
        counted.append(len(captured))
        for _ in range(20):
            session_of(alice)
    assert counted[0] == counted[1]
