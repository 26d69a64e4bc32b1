"""What staff may not do, and may not learn, who have permissions on live sessions and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import path

from django_srvsession import services
from django_srvsession.admin import LiveSessionAdmin
from django_srvsession.engine import current_store
from django_srvsession.models import LiveSession, SessionEvent
from django_srvsession.records import SessionRecord, Tombstone
from tests.memory import later_fixture, memory_store_fixture  # noqa: F401 - used as fixtures
from tests.test_admin import LIST, act, member, page, session_of, signed_in, user_list

EVENTS = "/admin/srvsession/sessionevent/"
pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin_site"), pytest.mark.usefixtures("store")]


class DepartmentAdmin(UserAdmin):
    """Show only the users whose last name is "seen", and of them not those whose first name is "hidden"."""

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(last_name="seen")

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.first_name != "hidden"

    has_change_permission = has_view_permission


department = admin.AdminSite()
department.register(LiveSession, LiveSessionAdmin)
department.register(get_user_model(), DepartmentAdmin)
urlpatterns = [path("admin/", department.urls)]


@pytest.fixture
def root() -> Any:
    """A superuser."""
    return get_user_model().objects.create_superuser("root", "root@example.org", "x", last_name="hidden")


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice", "alice@example.org", "x", last_name="seen")


@pytest.fixture
def ender() -> Client:
    """The browser of one who may end sessions, and see users."""
    user = member("ender", "view", "delete", "view_user", "change_user")
    user.set_password("secret")
    user.save()
    return signed_in(user)


def is_live(record: SessionRecord) -> bool:
    return services.contents_of(record.sid) is not None


# Sessions of superusers.


def test_only_a_superuser_ends_sessions_of_superusers(ender: Client, root: Any, alice: Any) -> None:
    theirs, hers = session_of(root), session_of(alice)
    url = f"{LIST}{theirs.sid}/delete/"
    assert ender.get(url).status_code == ender.post(url, {"post": "yes"}).status_code == 403
    assert "Sign out" not in page(ender.get(f"{LIST}{theirs.sid}/change/"))
    url = f"{LIST}end-user/?user={root.pk}"
    assert ender.get(url).status_code == ender.post(url, {"post": "yes", "user": root.pk}).status_code == 403
    assert "end_user_url" not in ender.get(LIST, {"user": root.pk}).context
    for action in ("end_selected", "end_all_of_users"):
        assert "left alone" in page(act(ender, action, theirs.sid, post="yes"))
    assert "left alone" in page(user_list(ender, "log_out_selected_users", root, post="yes"))
    assert is_live(theirs)
    answer = act(ender, "end_selected", theirs.sid, hers.sid, post="yes")
    assert "left alone" in page(answer)
    assert "Signed out 1 session." in page(answer)
    assert (is_live(theirs), is_live(hers)) == (True, False)
    assert [entry.object_id for entry in LogEntry.objects.all()] == [hers.sid]


def test_users_some_of_whom_are_superusers_are_logged_out_but_for_those(ender: Client, root: Any, alice: Any) -> None:
    theirs, hers = session_of(root), session_of(alice)
    answer = user_list(ender, "log_out_selected_users", root, alice, post="yes")
    assert "left alone" in page(answer)
    assert (is_live(theirs), is_live(hers)) == (True, False)


def test_a_superuser_ends_sessions_of_other_superusers(root: Any) -> None:
    boss = signed_in(get_user_model().objects.create_superuser("boss", "b@example.org", "x"))
    record = session_of(root)
    boss.post(f"{LIST}{record.sid}/delete/", {"post": "yes"})
    assert not is_live(record)


@pytest.mark.parametrize("way", ["one", "chosen"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_who_became_a_superuser_while_the_password_was_hashed_stays_signed_in(
    way: str, by_hand: bool, ender: Client, root: Any, alice: Any, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it that a visitor signed in as one, through ``login()`` or code of the site's, or that a user became one."""
    visitor = Client()
    session = visitor.session
    session["cart"] = 1
    session.save()
    theirs, hers, others = session.record, session_of(alice), session_of()
    authenticate, has_begun = ModelBackend.authenticate, list[bool]()

    def meanwhile(self: Any, request: Any, **credentials: Any) -> Any:
        if not has_begun:
            has_begun.append(True)
            get_user_model().objects.filter(pk=alice.pk).update(is_superuser=True)
            if by_hand:
                session["_auth_user_id"] = str(root.pk)
                session.save()
            else:
                visitor.force_login(root)
        return authenticate(self, request, **credentials)

    monkeypatch.setattr(ModelBackend, "authenticate", meanwhile)
    later[0] = HOURS_MS
    url, data = ways_to_end(theirs, root)[way]
    if way == "chosen":
        data["_selected_action"] = [theirs.sid, hers.sid, others.sid]
    answer = ender.post(url, {**data, "post": "yes", "password": "secret"}, follow=True)
    assert has_begun
    assert "left alone" in page(answer)
    now = services.contents_of(theirs.sid)
    assert now is not None and now.record.user_id == str(root.pk)
    assert is_live(hers)
    assert is_live(others) is (way == "one")


@pytest.mark.parametrize("way", ["one", "user", "chosen", "of users", "users"])
def test_a_superuser_whose_key_the_site_refuses_today_is_one_still(
    way: str, ender: Client, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(value: Any) -> None:
        raise ValidationError("No new user may have such a key.")

    record, pk = session_of(root), get_user_model()._meta.pk
    monkeypatch.setattr(pk, "validators", [refuse])
    url, data = ways_to_end(record, root)[way]
    ender.post(url, {**data, "post": "yes"})
    assert is_live(record)


def test_sessions_of_an_account_that_is_not_found_are_for_superusers_to_end(ender: Client, root: Any) -> None:
    gone = get_user_model()(pk=987654)
    records = [session_of(gone), session_of(get_user_model()(pk="no key of today's model"))]
    for record in records:
        for way in ("one", "user", "chosen", "of users"):
            url, data = ways_to_end(record, gone)[way]
            ender.post(url, {**data, "post": "yes"})
            assert is_live(record), way
    boss = signed_in(root)
    act(boss, "end_selected", *(record.sid for record in records), post="yes")
    assert not any(map(is_live, records))


@pytest.mark.parametrize("sees_users", [False, True])
def test_a_refusal_does_not_tell_a_superuser_from_nobody(sees_users: bool, root: Any) -> None:
    rights = ["view_user"] if sees_users else []
    ender = signed_in(member("staff", "view", "delete", *rights))
    viewer = signed_in(member("viewer", "view", *rights))

    def answers(client: Client, user_id: Any) -> list[Any]:
        found = [client.get(f"{LIST}end-user/?user={user_id}"), client.post(f"{LIST}end-user/", {"user": user_id})]
        return [(answer.status_code, page(answer)) for answer in found]

    assert answers(ender, root.pk) == answers(ender, 987654) == answers(ender, "x") == answers(viewer, root.pk)
    assert [status for status, _ in answers(ender, root.pk)] == [403, 403]
    assert "end_user_url" not in ender.get(LIST, {"user": 987654}).context


# A recent proof.


HOURS_MS = 3 * 3_600_000


def ways_to_end(record: SessionRecord, user: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    chosen = {"_selected_action": record.sid}
    return {
        "one": (f"{LIST}{record.sid}/delete/", {}),
        "user": (f"{LIST}end-user/?user={user.pk}", {"user": user.pk}),
        "chosen": (LIST, {"action": "end_selected", **chosen}),
        "of users": (LIST, {"action": "end_all_of_users", **chosen}),
        "users": ("/admin/auth/user/", {"action": "log_out_selected_users", "_selected_action": user.pk}),
    }


@pytest.mark.parametrize("way", ["one", "user", "chosen", "of users", "users"])
def test_ending_hours_after_the_sign_in_asks_for_the_password(
    way: str, ender: Client, alice: Any, later: list[int]
) -> None:
    later[0] = HOURS_MS
    record = session_of(alice)
    url, data = ways_to_end(record, alice)[way]
    for wrong in ({}, {"password": ""}, {"password": "wrong"}):
        answer = ender.post(url, {**data, "post": "yes", **wrong})
        assert answer.status_code == 200
        assert 'name="password"' in page(answer)
        assert is_live(record)
    assert "not your password" in page(answer)
    key = ender.cookies["sessionid"].value
    answer = ender.post(url, {**data, "post": "yes", "password": "secret"}, follow=True)
    assert "Signed out 1 session." in page(answer)
    assert not is_live(record)
    assert ender.cookies["sessionid"].value != key
    other = session_of(alice)
    url, data = ways_to_end(other, alice)[way]
    assert 'name="password"' not in page(ender.post(url, data))
    ender.post(url, {**data, "post": "yes"})
    assert not is_live(other)


@pytest.mark.parametrize("way", ["one", "user", "chosen", "of users", "users"])
def test_who_guesses_the_password_in_the_admin_is_signed_out(
    way: str, ender: Client, alice: Any, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    later[0], record, own = HOURS_MS, session_of(alice), ender.session.sid
    were_in_the_views_transaction: list[bool] = []

    def refuse(*args: Any, **credentials: Any) -> None:
        # The test is in a transaction of its own.
        were_in_the_views_transaction.append(len(connection.savepoint_ids) > 0)

    monkeypatch.setattr("django.contrib.auth.backends.ModelBackend.authenticate", refuse)
    url, data = ways_to_end(record, alice)[way]
    for _ in range(4):
        assert "not your password" in page(ender.post(url, {**data, "post": "yes", "password": "a guess"}))
    answer = ender.post(url, {**data, "post": "yes", "password": "a guess"})
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert were_in_the_views_transaction == [False] * 5, "a count that may be rolled back is none"
    ended = current_store().load(own)
    assert isinstance(ended, Tombstone) and ended.reason == "confirmation_failed"
    assert is_live(record)


def test_a_right_password_alone_is_no_answer_to_the_question(ender: Client, alice: Any, later: list[int]) -> None:
    later[0], record = HOURS_MS, session_of(alice)
    ender.post(f"{LIST}{record.sid}/delete/", {"password": "secret"})
    assert is_live(record)


def test_who_guesses_the_password_there_is_signed_out(ender: Client, alice: Any, later: list[int]) -> None:
    later[0], record = HOURS_MS, session_of(alice)
    url = f"{LIST}{record.sid}/delete/"
    answers = [ender.post(url, {"post": "yes", "password": f"guess {number}"}) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [302]
    assert answers[-1]["Location"] == f"/admin/login/?next={url}"
    assert ender.post(url, {"post": "yes", "password": "secret"}).status_code == 302
    assert is_live(record)


def test_who_has_no_password_is_sent_to_prove_elsewhere_who_they_are(alice: Any, later: list[int]) -> None:
    user = member("sso", "view", "delete")
    user.set_unusable_password()
    user.save()
    client, record = signed_in(user), session_of(alice)
    later[0] = HOURS_MS
    url = f"{LIST}{record.sid}/delete/"
    for answer in (
        client.get(url),
        client.post(url, {"post": "yes"}),
        client.post(url, {"post": "yes", "password": "x"}),
    ):
        assert answer.status_code == 302
        assert f"next={url}" in answer["Location"]
    assert is_live(record)


def test_where_nobody_is_asked_again_the_admin_does_not_ask_either(
    ender: Client, alice: Any, later: list[int], settings: Any
) -> None:
    settings.SRVSESSION_REAUTH_AGE = None
    later[0], record = HOURS_MS, session_of(alice)
    ender.post(f"{LIST}{record.sid}/delete/", {"post": "yes"})
    assert not is_live(record)


# The log.


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Ended from 203.0.113.9 (one session)."),
        ({"reason": " stolen laptop "}, "Ended from 203.0.113.9 (one session): stolen laptop"),
        ({"reason": "x" * 900}, f"Ended from 203.0.113.9 (one session): {'x' * 200}"),
        ({"reason": "a\nEnded\x1b[31m"}, "Ended from 203.0.113.9 (one session): a\\nEnded\\x1b[31m"),
    ],
)
def test_the_log_says_from_which_address_and_why(given: dict[str, str], told: str, ender: Client, alice: Any) -> None:
    record = session_of(alice)
    ender.post(f"{LIST}{record.sid}/delete/", {"post": "yes", **given}, REMOTE_ADDR="203.0.113.9")
    entry = LogEntry.objects.get()
    assert entry.change_message == entry.get_change_message() == told
    assert entry.object_repr == f"{record.sid}: alice, user {alice.pk}"


def test_an_address_that_the_site_does_not_keep_is_not_in_the_log(ender: Client, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_STORE_IP = "none"
    record = session_of(alice)
    act(ender, "end_selected", record.sid, post="yes")
    assert LogEntry.objects.get().change_message == "Ended (chosen in the list)."


# Names.


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?user={pk}",
        "?q={pk}",
        "{sid}/change/",
        "{sid}/delete/",
        "end-user/?user={pk}",
        "overview/",
        "{sid}/history/",
    ],
)
def test_no_page_tells_names_to_who_may_not_see_users(query: str, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    client, record = signed_in(member("ender", "view", "delete")), session_of(alice)
    SessionEvent.objects.create(
        at_ms=1, kind="ended", sid="9" * 18, user_id=str(alice.pk), reason="x", by=str(alice.pk)
    )
    answer = client.get(LIST + query.format(pk=alice.pk, sid=record.sid))
    assert answer.status_code == 200
    assert "alice" not in page(answer)
    assert "ender" in page(answer) or query == "overview/"


@pytest.mark.urls("tests.urls")
@pytest.mark.parametrize("query", ["", "?user={pk}", "?q={pk}"])
def test_the_list_of_events_tells_no_names_either(query: str, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    client = signed_in(member("viewer", "view"))
    SessionEvent.objects.create(at_ms=2**40, kind="ended", sid="9" * 18, user_id=str(alice.pk), by=str(alice.pk))
    answer = client.get(EVENTS + query.format(pk=alice.pk))
    assert "9" * 18 in page(answer)
    assert "alice" not in page(answer)


@pytest.mark.urls("tests.urls")
@pytest.mark.parametrize("text", ["alice", "ali", "alice@example.org"])
@pytest.mark.parametrize("url", [LIST, EVENTS])
def test_no_search_tells_who_has_a_name_or_an_address(url: str, text: str, alice: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 7
    session_of(alice)
    SessionEvent.objects.create(at_ms=2**40, kind="started", sid="9" * 18, user_id=str(alice.pk))
    client = signed_in(member("viewer", "view"))
    answer = client.get(url, {"q": text})
    assert list(answer.context["cl"].result_list) == []
    assert "user name" not in page(answer)
    seen = signed_in(member("clerk", "view", "view_user")).get(url, {"q": text})
    assert len(seen.context["cl"].result_list) == 1


def test_who_may_not_see_users_finds_sessions_by_the_users_id(alice: Any) -> None:
    record = session_of(alice)
    client = signed_in(member("viewer", "view"))
    assert [row.sid for row in client.get(LIST, {"q": str(alice.pk)}).context["cl"].result_list] == [record.sid]


def test_who_may_not_see_users_does_not_learn_who_is_of_the_staff(alice: Any) -> None:
    client = signed_in(member("viewer", "view"))
    assert client.get(LIST, {"staff": "1"})["Location"] == f"{LIST}?e=1"
    assert "staff=1" not in page(client.get(LIST))


def test_everybody_sees_their_own_name(alice: Any) -> None:
    client = signed_in(member("viewer", "view"))
    assert 'field-user">viewer<' in page(client.get(LIST))


def test_the_log_tells_no_name_to_who_may_not_see_users(alice: Any) -> None:
    client, record = signed_in(member("ender", "view", "delete")), session_of(alice)
    client.post(f"{LIST}{record.sid}/delete/", {"post": "yes"})
    assert LogEntry.objects.get().object_repr == f"{record.sid}: user {alice.pk}"
    assert "alice" not in page(client.get("/admin/"))


@pytest.mark.urls(__name__)
def test_who_may_see_some_users_sees_the_names_of_those_only(root: Any, alice: Any) -> None:
    bob = get_user_model().objects.create_user("bob", last_name="seen", first_name="hidden")
    for user in (root, alice, bob):
        session_of(user)
    client = signed_in(member("viewer", "view"))
    text = page(client.get(LIST))
    assert "alice" in text
    assert "root" not in text
    assert "bob" not in text
    for name, count in (("alice", 1), ("root", 0), ("bob", 0)):
        assert len(client.get(LIST, {"q": name}).context["cl"].result_list) == count
