"""Who has the key of a deleted user is told nothing of that one; what a password has killed is not listed as live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import models
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.models import SessionEvent
from django_srvsession.testing.sessions import create
from tests.every_store import OTHERS, every_store_fixture

__all__ = ["every_store_fixture"]

MEMORY, REDIS, FILE, *_ = OTHERS
urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
]
pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.parametrize("every_store", [MEMORY, "sqlite", "postgresql", "mariadb"], indirect=True),
]
User = get_user_model()


@pytest.fixture(autouse=True)
def kept(settings: Any) -> None:
    """Events are kept."""
    settings.SRVSESSION_EVENT_LOG = 30


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def shown(user: Any) -> list[str]:
    """Return what a user is shown of their activity, in both ways."""
    client = signed_in(user)
    events = client.get("/api/activity/").json()["events"]
    page = client.get("/account/activity/").context["entries"]
    assert [event["kind"] for event in events] == [entry.kind for entry in page]
    return [event["sid"] for event in events][1:]  # Without this very sign-in.


def test_events_of_a_deleted_user_are_not_shown_to_a_later_one_with_the_same_key(every_store: str) -> None:
    ann = User.objects.create_user("ann")
    before = signed_in(ann)
    sid, key = before.session.sid, ann.pk
    signed_in(ann).logout()
    ann.delete()
    bob = User.objects.create_user("bob", pk=key, date_joined=timezone.now() - timedelta(days=9))
    assert shown(bob) == []
    assert len(shown(bob)) == 1, "of his own he is told"
    assert SessionEvent.objects.filter(sid=sid).count() == 2, "administrators still find them"


def test_nor_are_they_where_the_user_had_no_live_session_any_more(every_store: str) -> None:
    ann = User.objects.create_user("ann")
    key = ann.pk
    signed_in(ann).logout()
    User.objects.filter(pk=key).delete()
    assert shown(User.objects.create_user("bob", pk=key, date_joined=timezone.now() - timedelta(days=9))) == []


def test_nor_where_sql_deleted_the_user_and_the_later_one_joined_after_that(every_store: str) -> None:
    ann = User.objects.create_user("ann")
    key = ann.pk
    signed_in(ann).logout()
    SessionEvent.objects.update(at_ms=models.F("at_ms") - 3_600_000)
    with_sql = models.QuerySet(User, using=User.objects.db_manager().db).filter(pk=key)
    with_sql._raw_delete(with_sql.db)
    assert shown(User.objects.create_user("bob", pk=key)) == []


@pytest.mark.parametrize("way", ["update()", "SQL of another site"])
def test_sessions_that_the_password_hash_has_killed_are_not_listed_as_live(every_store: str, way: str) -> None:
    ann = User.objects.create_user("ann", password="secret")
    dead = signed_in(ann)
    assert len(signed_in(ann).get("/api/sessions/").json()["sessions"]) == 2
    User.objects.filter(pk=ann.pk).update(password=make_password("new"))
    viewer = signed_in(User.objects.get(pk=ann.pk))
    found = viewer.get("/api/sessions/").json()["sessions"]
    assert [session["sid"] for session in found] == [viewer.session.sid]
    context = viewer.get("/account/sessions/").context
    assert (context["count"], context["others"], context["current"].sid) == (0, [], viewer.session.sid)
    # They can still be ended, and "all others" ends them.
    assert viewer.post(f"/account/sessions/{dead.session.sid}/end/").status_code == 302
    assert viewer.post("/api/sessions/end-others/", {}, "application/json").json() == {"ended": 1}


def test_a_session_under_a_fallback_secret_and_one_without_a_hash_are_listed(every_store: str, settings: Any) -> None:
    ann = User.objects.create_user("ann", password="secret")
    old = signed_in(ann).session.sid
    token = create(current_store(), user_id=str(ann.pk)).record.sid
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another one"
    viewer = signed_in(ann)
    found = {session["sid"] for session in viewer.get("/api/sessions/").json()["sessions"]}
    assert found == {old, token, viewer.session.sid}
    settings.SECRET_KEY_FALLBACKS = []
    found = {session["sid"] for session in viewer.get("/api/sessions/").json()["sessions"]}
    assert found == {token, viewer.session.sid}


def test_a_user_model_without_such_a_hash_has_all_listed(every_store: str) -> None:
    class Somebody:
        pk = 7

    record = create(current_store(), user_id="7").record
    assert services.those_that_open(Somebody(), [record]) == [record]
