"""The admin's list tells the page that shows it whether it is another one by now."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_srvsession import services
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.store import StoreUnavailableError
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.test_admin import IPHONE, LIST, alice, boss, listed, page, session_of, viewer

__all__ = ["alice", "boss", "viewer"]

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin_site"), pytest.mark.usefixtures("store")]


def shown(client: Client, query: str = "") -> str:
    """Return the digest that a page holds."""
    digest: str = client.get(LIST + query).context["cl"].digest
    return digest


def asked(client: Client, digest: str, query: str = "") -> Any:
    """Ask as the page does."""
    return client.get(LIST + query, headers={"X-Srvsession-List": digest})


def test_while_the_list_is_the_same_nobody_is_asked_for_and_nothing_is_shown(viewer: Client, alice: Any) -> None:
    for _ in range(12):
        session_of(alice)
    digest = shown(viewer)
    viewer.get(LIST)
    with CaptureQueriesContext(connection) as queries:
        answer = asked(viewer, digest)
    assert (answer.status_code, answer.content) == (204, b"")
    whom = [query["sql"] for query in queries if "auth_user" in query["sql"] and "permission" not in query["sql"]]
    assert len(whom) == 1, "who asks is looked up, and nobody who is listed"


def test_one_who_signs_in_and_one_who_is_signed_out_make_another_list(boss: Client, alice: Any) -> None:
    before = shown(boss)
    record = session_of(alice, IPHONE)
    answer = asked(boss, before)
    assert "Safari on iPhone" in page(answer) and record.sid in listed(answer)
    assert "overview" not in answer.context, "which is counted for people who load the page"
    digest = answer.context["cl"].digest
    assert f'data-srvsession-list="{digest}"' in page(answer)
    assert asked(boss, digest).status_code == 204
    services.revoke(record.sid)
    assert shown(boss) == before and record.sid not in listed(asked(boss, digest))


def test_who_signs_in_in_a_listed_session_makes_another_list(boss: Client, alice: Any) -> None:
    visitor = Client()
    session = visitor.session
    session["cart"] = 1
    session.save()
    visitor.cookies["sessionid"] = session.session_key
    digest = shown(boss)
    visitor.force_login(alice)
    assert "alice" in page(asked(boss, digest))


def test_filters_search_and_place_are_those_of_the_page(boss: Client, alice: Any) -> None:
    digests = {query: shown(boss, query) for query in ("?kind=user", "?q=alice", "?device=phone")}
    session_of(None)
    assert {query: asked(boss, digest, query).status_code for query, digest in digests.items()} == dict.fromkeys(
        digests, 204
    )
    session_of(alice, IPHONE)
    for query, digest in digests.items():
        answer = asked(boss, digest, query)
        assert answer.status_code == 200
        assert answer.context["cl"].digest != digest


def test_a_page_further_down_is_compared_with_itself(boss: Client) -> None:
    for _ in range(60):
        session_of()
    further = boss.get(LIST).context["cl"].further_url
    digest = shown(boss, further)
    assert asked(boss, digest, further).status_code == 204
    assert asked(boss, digest).status_code == 200


def test_that_there_is_a_next_page_now_makes_another_list(boss: Client) -> None:
    for _ in range(49):
        session_of()
    digest = shown(boss)
    session_of()
    assert "Older" in page(asked(boss, digest))


def test_the_permission_is_asked_for_each_time(viewer: Client) -> None:
    digest = shown(viewer)
    assert asked(viewer, digest).status_code == 204
    viewer.get(LIST).wsgi_request.user.user_permissions.clear()
    assert asked(viewer, digest).status_code == 403
    viewer.logout()
    assert asked(viewer, digest).status_code == 302


def test_a_list_that_is_not_one_any_more_is_answered_by_the_page(boss: Client) -> None:
    assert asked(boss, "", "?user_id=1").status_code == 302


def test_a_message_waits_for_a_page_that_a_person_sees(boss: Client, alice: Any) -> None:
    record = session_of(alice)
    boss.post(f"{LIST}{record.sid}/delete/", {"post": "yes"})
    assert "Signed out 1 session." not in page(asked(boss, ""))
    assert "Signed out 1 session." in page(boss.get(LIST))


def test_an_outage_is_a_503(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = shown(viewer)

    def down(*args: Any) -> Any:
        raise StoreUnavailableError("for the tests")

    monkeypatch.setattr(MemoryStore, "walk", down)
    assert asked(viewer, digest).status_code == 503
