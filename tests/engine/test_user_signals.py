"""The host site pays nothing for our receivers: they are connected to the classes that hold users, and to no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.db.models.signals import class_prepared, post_delete, post_save, pre_save
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from django_srvsession import services
from django_srvsession.signals import session_ended
from tests.engine.made_models import model
from tests.engine.pages import Browser, login

SIGNALS = [pre_save, post_save, post_delete]


@pytest.fixture(autouse=True)
def told() -> Iterator[list[tuple[str, str | None]]]:
    """What ``session_ended`` told: reason and user."""
    told: list[tuple[str, str | None]] = []

    def tell(record: Any, reason: str, **kwargs: Any) -> None:
        told.append((reason, record.user_id))

    session_ended.connect(tell)
    yield told
    session_ended.disconnect(tell)


def heard(sender: Any, signals: list[Any] = SIGNALS) -> list[str]:
    """Return which code of ours a signal of this class reaches."""
    receivers = [receiver for signal in signals for group in signal._live_receivers(sender) for receiver in group]
    return [receiver.__name__ for receiver in receivers if receiver.__module__.startswith("django_srvsession")]


def change_password(user: Any) -> None:
    user.password = f"{user.password} changed"
    user.save()


def signed_in(user: Any) -> Any:
    Browser().visit(login(user))
    assert len(services.sessions_of(user)) == 1
    return user


# Other models.


def test_an_unrelated_delete_issues_no_select(transactional_db: None) -> None:
    now = timezone.now()
    Session.objects.bulk_create([Session(session_key=str(n), session_data="", expire_date=now) for n in range(300)])
    with CaptureQueriesContext(connection) as made:
        Session.objects.all().delete()
    assert [query["sql"].split()[0] for query in made] == ["BEGIN", "DELETE", "COMMIT"]


def test_an_unrelated_delete_costs_what_it_costs_without_our_receivers(transactional_db: None) -> None:
    def queries() -> list[str]:
        Group.objects.bulk_create([Group(name=str(n)) for n in range(250)])
        Group.objects.last().permissions.add(Permission.objects.last())  # type: ignore[union-attr]
        with CaptureQueriesContext(connection) as made:
            Group.objects.all().delete()
        return [query["sql"].split()[0] for query in made]

    ours = queries()
    kept = [(signal, signal.receivers) for signal in SIGNALS]
    try:
        for signal, receivers in kept:
            signal.receivers = [entry for entry in receivers if not is_ours(entry)]
            signal.sender_receivers_cache.clear()
        stock = queries()
    finally:
        for signal, receivers in kept:
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()
    assert ours == stock


def is_ours(entry: Any) -> bool:
    receiver = entry[1]()
    return receiver is not None and receiver.__module__.startswith("django_srvsession")


@pytest.mark.parametrize("unrelated", [Session, Group, Permission, ContentType, User.groups.through])
def test_an_unrelated_save_reaches_no_code_of_ours(unrelated: Any) -> None:
    assert heard(unrelated) == []


def test_an_unrelated_model_that_is_made_later_reaches_no_code_of_ours(transactional_db: None) -> None:
    with model("Stone", models.Model) as stone:
        assert heard(stone) == []


def test_no_receiver_of_ours_hears_of_every_model() -> None:
    class Stranger:
        """No model at all: what reaches a receiver from it is connected without a sender."""

    assert heard(Stranger) == []


def test_a_model_that_is_made_costs_no_query(transactional_db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), model("Proxied", User, proxy=True):
        assert heard(Group, [class_prepared]) == ["_connect_to"]


# Classes that hold users.


def test_each_change_and_delete_of_a_user_is_heard_once() -> None:
    assert heard(User) == ["_note_change", "_end_after_change", "_end_of_deleted"]


@pytest.mark.parametrize("by_queryset", [False, True])
@pytest.mark.parametrize("kind", ["user", "proxy", "proxy of a proxy", "child", "proxy of a child", "grandchild"])
def test_a_users_sessions_end_through_each_class(
    kind: str, by_queryset: bool, transactional_db: None, told: list[Any]
) -> None:
    with ExitStack() as made:
        cls: Any = User
        if kind.startswith("proxy of a proxy"):
            cls = made.enter_context(model("Outer", User, proxy=True))
        if "child" in kind:
            cls = made.enter_context(model("Child", User, nickname=models.CharField(max_length=9)))
        if kind == "grandchild":
            cls = made.enter_context(model("Grandchild", cls, shoe=models.CharField(max_length=9)))
        if kind.startswith("proxy"):
            cls = made.enter_context(model("Proxied", cls, proxy=True))
        ann = signed_in(cls.objects.create(username="ann", password="x"))
        change_password(cls.objects.get(pk=ann.pk))
        assert told.pop() == ("password_changed", str(ann.pk))
        signed_in(ann)
        user = cls.objects.get(pk=ann.pk)
        user.is_active = False
        user.save()
        assert told.pop() == ("user_deactivated", str(ann.pk))
        cls.objects.filter(pk=ann.pk).update(is_active=True)
        signed_in(cls.objects.get(pk=ann.pk))
        key = str(ann.pk)
        if by_queryset:
            cls.objects.filter(pk=ann.pk).delete()
        else:
            ann.delete()
        assert told == [("user_deleted", key)]


def test_a_child_of_the_user_model_is_deleted_through_the_user_model(transactional_db: None, told: list[Any]) -> None:
    with model("Child", User) as child:
        ann = signed_in(child.objects.create(username="ann"))
        User.objects.filter(pk=ann.pk).delete()
        assert set(told) == {("user_deleted", str(ann.pk))}


def test_what_is_rolled_back_ends_nothing(transactional_db: None, told: list[Any]) -> None:
    with model("Proxied", User, proxy=True) as proxied:
        ann = signed_in(proxied.objects.create(username="ann"))
        with transaction.atomic():
            proxied.objects.filter(pk=ann.pk).delete()
            transaction.set_rollback(True)
    assert told == []
    assert len(services.sessions_of(ann)) == 1


# The base of a custom user.


ALL = ["_note_change", "_end_after_change", "_end_of_deleted"]


def fields_of_a_person() -> dict[str, Any]:
    return {
        "name": models.CharField(max_length=20, unique=True),
        "email": models.EmailField(),
        "is_active": models.BooleanField(default=True),
        "USERNAME_FIELD": "name",
        "objects": models.Manager(),
    }


def test_a_change_of_a_custom_user_is_noticed_through_its_base(transactional_db: None, told: list[Any]) -> None:
    with ExitStack() as made:
        person = made.enter_context(model("Person", AbstractBaseUser, **fields_of_a_person()))
        alias = made.enter_context(model("Alias", person, proxy=True))
        employee = made.enter_context(model("Employee", person, objects=models.Manager()))
        customer = made.enter_context(model("Customer", person, objects=models.Manager()))
        made.enter_context(override_settings(AUTH_USER_MODEL="auth.Employee"))
        for cls in (person, alias):
            assert heard(cls) == ["_note_change", "_end_after_change"]
        assert heard(customer) == ALL, "customers sign in by themselves, and are users of another kind"
        ann = employee.objects.create(name="ann", password="x")
        for cls in (person, alias, employee):
            signed_in(employee.objects.get(pk=ann.pk))
            change_password(cls.objects.get(pk=ann.pk))
            assert told.pop() == ("password_changed", str(ann.pk))
            signed_in(employee.objects.get(pk=ann.pk))
            inactive = cls.objects.get(pk=ann.pk)
            inactive.is_active = False
            inactive.save(update_fields=["is_active"])
            assert told.pop() == ("user_deactivated", str(ann.pk))
            employee.objects.update(is_active=True)
        signed_in(employee.objects.get(pk=ann.pk))
        person.objects.filter(pk=ann.pk).delete()
        assert told == [("user_deleted", str(ann.pk))]


def test_a_base_with_another_key_is_not_taken_for_its_user(transactional_db: None) -> None:
    with ExitStack() as made:
        address = made.enter_context(model("Address", models.Model, street=models.CharField(max_length=9)))
        link = models.OneToOneField(address, models.CASCADE, parent_link=True)
        key = models.CharField(max_length=9, primary_key=True)
        resident = made.enter_context(
            model("Resident", address, AbstractBaseUser, key=key, address=link, USERNAME_FIELD="key")
        )
        made.enter_context(override_settings(AUTH_USER_MODEL="auth.Resident"))
        assert heard(resident) == ["_note_change", "_end_after_change", "_end_of_deleted"]
        assert heard(address) == []


def test_a_base_that_only_holds_a_password_column_may_be_saved(transactional_db: None, told: list[Any]) -> None:
    with ExitStack() as made:
        row = made.enter_context(model("Row", models.Model, password=models.CharField(max_length=99)))
        account = made.enter_context(
            model("Account", row, name=models.CharField(max_length=9), USERNAME_FIELD="name", is_active=True)
        )
        account.get_session_auth_hash = account.is_authenticated = None  # A user model of no base class of Django's.
        made.enter_context(override_settings(AUTH_USER_MODEL="auth.Account"))
        account.objects.create(name="ann", password="x")
        stored = row.objects.get()
        stored.password = "y"
        stored.save(update_fields=["password"])


# A user model that is exchanged.


def test_a_user_model_that_a_test_exchanges_is_followed_and_forgotten(transactional_db: None, told: list[Any]) -> None:
    with model("Person", AbstractBaseUser, **fields_of_a_person()) as person:
        assert heard(person) == ALL, "of another kind, as long as it is not the user model"
        with override_settings(AUTH_USER_MODEL="auth.Person"):
            assert get_user_model() is person
            assert heard(User) == []
            assert heard(person) == ["_note_change", "_end_after_change", "_end_of_deleted"]
            with model("Proxied", person, proxy=True) as proxied:
                ann = signed_in(proxied.objects.create(name="ann"))
                key = str(ann.pk)
                ann.delete()
                assert told == [("user_deleted", key)]
        assert heard(person) == ALL
        assert heard(User) == ["_note_change", "_end_after_change", "_end_of_deleted"]


def test_a_proxy_as_the_user_model_stands_for_its_whole_table(transactional_db: None) -> None:
    with (
        model("Proxied", User, proxy=True) as proxied,
        override_settings(AUTH_USER_MODEL="auth.Proxied"),
    ):
        for cls in (User, proxied):
            assert heard(cls) == ["_note_change", "_end_after_change", "_end_of_deleted"]


def test_a_user_model_that_does_not_exist_is_nobodys(transactional_db: None) -> None:
    with override_settings(AUTH_USER_MODEL="auth.Nobody"):
        assert heard(User) == []
    assert heard(User) == ["_note_change", "_end_after_change", "_end_of_deleted"]
