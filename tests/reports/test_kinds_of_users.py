"""Users of several kinds in one site (guards, in Laravel's words), whose primary keys are equal.

Reported of lists of sessions that know a user by the key alone: "the user with id 1 will be shown as online if the
admin with id 1 is online" (laravel-online-users 16), tools that name the wrong person (django-extensions 1312), and
"sign out everywhere" that signs out somebody else. Django's own ``login()`` compares keys, too: where users have no
auth hash it takes the employee 1 for the customer 1, and hands over the session with all that is in it.

Right: customer 1 and employee 1 are two people. Each has a list, a limit and a history of their own. What ends the
sessions of one (by hand, by a new password, by being deleted or deactivated) leaves the other's alone. One who signs in
where the other was signed in begins a session of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import login as django_login
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AbstractBaseUser
from django.core.management import call_command
from django.db import connections, models, router
from django.http import HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession import services, users
from django_srvsession.accounts import reauthentication
from django_srvsession.models import LiveSession
from tests.engine.made_models import model
from tests.engine.pages import BACKEND, Browser, View, count_view, login, make_user, name_user, read, sid
from tests.reports.stores import on_stores

BY_ITS_OWN = f"{__name__}.CustomerBackend"

ON_ONE = pytest.mark.parametrize("every_store", ["sqlite"], indirect=True)

customers: Any = None


class CustomerBackend(BaseBackend):
    """Sign in customers, and guests who have no password."""

    def authenticate(self, request: Any, username: str = "", password: str = "", **kwargs: Any) -> Any:
        found = customers.objects.filter(username=username).first()
        return found if found is not None and found.check_password(password) else None

    def get_user(self, key: Any) -> Any:
        return customers.objects.filter(pk=key).first()


@pytest.fixture
def ann(every_store: str, settings: Any) -> Any:
    """An employee, with the primary key 1."""
    settings.AUTHENTICATION_BACKENDS = [BACKEND, BY_ITS_OWN]
    return make_user("ann", pk=1)


@pytest.fixture
def zoe(ann: Any) -> Iterator[Any]:
    """A customer, with the primary key 1."""
    global customers
    fields = {
        "username": models.CharField(max_length=50),
        "is_active": models.BooleanField(default=True),
        "USERNAME_FIELD": "username",
        "objects": models.Manager(),
    }
    with model("Customer", AbstractBaseUser, **fields) as customers:
        zoe = customers(pk=1, username="zoe")
        zoe.set_password("customer's")
        zoe.save()
        yield zoe


async def aname_user(request: HttpRequest) -> str:
    return str((await request.auser()).get_username())


def login_as(user: Any) -> View:
    """Return a view that signs a customer in."""

    def sign_in(request: HttpRequest) -> None:
        django_login(request, user, backend=BY_ITS_OWN)

    return sign_in


class Person:
    """Somebody with two browsers; in both they are signed in."""

    def __init__(self, user: Any, view: View) -> None:
        self.user = user
        self.browsers = [Browser(), Browser()]
        for browser in self.browsers:
            browser.show(view)

    @property
    def names(self) -> list[str]:
        """Whom the site takes each browser for."""
        return [browser.user() for browser in self.browsers]

    @property
    def listed(self) -> set[str]:
        return {record.sid for record in services.sessions_of(self.user)}

    @property
    def own(self) -> set[str]:
        return {browser.show(sid) for browser in self.browsers}


@pytest.fixture
def employee(ann: Any, zoe: Any) -> Person:
    return Person(ann, login(ann))


@pytest.fixture
def customer(zoe: Any) -> Person:
    return Person(zoe, login_as(zoe))


@on_stores("sqlite", "redis")
def test_each_of_two_people_with_equal_keys_has_a_list_of_their_own(employee: Person, customer: Person) -> None:
    assert employee.names == ["ann", "ann"]
    assert customer.names == ["zoe", "zoe"]
    assert employee.listed == employee.own
    assert customer.listed == customer.own
    (of_customer, *_) = customer.own
    assert services.session_of(customer.user, of_customer) is not None
    assert services.session_of(employee.user, of_customer) is None


def end_all(user: Any) -> None:
    services.revoke_all(user)


def change_password(user: Any) -> None:
    user.set_password("another")
    user.save()


def deactivate(user: Any) -> None:
    user.is_active = False
    user.save()


def delete(user: Any) -> None:
    user.delete()


def delete_by_sql(user: Any) -> None:
    table = user._meta.db_table
    with connections[router.db_for_write(type(user))].cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE id = 1")
    services.end_sessions_of_missing_users()


@on_stores("redis")
@pytest.mark.parametrize("end", [end_all, change_password, deactivate, delete, delete_by_sql])
@pytest.mark.parametrize("whose", ["customer", "employee"])
def test_what_ends_the_sessions_of_one_leaves_those_of_the_other_alone(
    employee: Person, customer: Person, whose: str, end: Any, after_the_first_minute: None
) -> None:
    one, other = (customer, employee) if whose == "customer" else (employee, customer)
    stays, names = other.listed, other.names
    end(one.user)
    assert list(services.sessions_of("1" if whose == "employee" else ":auth.customer:1")) == []
    assert one.names == ["", ""]
    assert other.names == names
    assert other.listed == stays == other.own


@ON_ONE
@pytest.mark.parametrize("end", [end_all, change_password, deactivate, delete])
def test_what_is_done_to_a_user_by_the_model_that_theirs_inherits_from_ends_their_sessions(ann: Any, end: Any) -> None:
    global customers
    fields = {
        "username": models.CharField(max_length=50),
        "is_active": models.BooleanField(default=True),
        "USERNAME_FIELD": "username",
        "objects": models.Manager(),
    }
    with (
        model("Person", AbstractBaseUser, **fields) as person,
        model("Member", person, objects=models.Manager()) as made,
    ):
        customers = made
        zoe = made.objects.create(pk=1, username="zoe")
        employee, member = Person(ann, login(ann)), Person(zoe, login_as(zoe))
        assert member.names == ["zoe", "zoe"]
        assert member.listed == member.own
        end(person.objects.get(pk=1))
        assert list(services.sessions_of(zoe)) == []
        assert member.names == ["", ""]
        assert employee.names == ["ann", "ann"]


@on_stores("redis")
def test_a_limit_counts_the_sessions_of_one_kind_only(ann: Any, zoe: Any, settings: Any) -> None:
    settings.SRVSESSION_MAX_SESSIONS_PER_USER = 2
    employee, customer = Person(ann, login(ann)), Person(zoe, login_as(zoe))
    assert employee.names == ["ann", "ann"]
    assert customer.names == ["zoe", "zoe"]


@on_stores("sqlite", "redis")
def test_who_signs_in_where_somebody_of_another_kind_is_signed_in_begins_a_session_of_their_own(
    employee: Person, zoe: Any
) -> None:
    browser = employee.browsers[0]
    browser.show(count_view)
    left, copy = browser.show(sid), browser.copy()
    browser.show(login_as(zoe))
    assert browser.user() == "zoe"
    assert "views" not in browser.show(read)
    assert browser.show(sid) != left
    assert copy.user() == ""
    assert employee.listed == {employee.browsers[1].show(sid)}
    assert {record.sid for record in services.sessions_of(zoe)} == {browser.show(sid)}
    browser.show(login(employee.user))
    assert browser.user() == "ann"
    assert browser.show(sid) in employee.listed
    assert list(services.sessions_of(zoe)) == []


def of_a_visitor(request: HttpRequest) -> None:
    request.session["basket"] = ["a pen"]


@pytest.fixture
def guest(ann: Any) -> Iterator[Any]:
    """A guest, who has no password and so no auth hash, with the primary key 1."""
    if 'hasattr(user, "get_session_auth_hash")' not in inspect.getsource(django_login):
        pytest.skip("this Django signs in nobody without an auth hash")
    global customers
    fields = {
        "username": models.CharField(max_length=50),
        "is_active": True,
        "is_authenticated": True,
        "is_anonymous": False,
        "last_login": models.DateTimeField(null=True),
        "get_username": lambda self: self.username,
    }
    with model("Guest", models.Model, **fields) as customers:
        yield customers.objects.create(pk=1, username="gus")


@on_stores("redis")
def test_a_guest_without_an_auth_hash_gets_nothing_of_the_session_of_an_employee(ann: Any, guest: Any) -> None:
    browser = Browser()
    browser.show(of_a_visitor)
    browser.show(login_as(guest))
    assert browser.show(read)["basket"] == ["a pen"], "what an anonymous visitor has goes along"
    browser.show(login(ann))
    browser.show(count_view)
    copy = browser.copy()
    browser.show(login_as(guest))
    assert browser.show(name_user) == "gus"
    assert {"views", "basket"}.isdisjoint(browser.show(read))
    assert copy.user() == ""
    assert list(services.sessions_of(ann)) == []
    assert len(services.sessions_of(guest)) == 1


@ON_ONE
def test_stock_django_gives_a_guest_the_session_of_an_employee(ann: Any, guest: Any, stock: Any) -> None:
    stock("db")
    browser = Browser()
    browser.show(login(ann))
    browser.show(count_view)
    browser.show(login_as(guest))
    assert browser.show(name_user) == "gus"
    assert browser.show(read)["views"] == 1


@ON_ONE
def test_the_password_of_one_confirms_nothing_for_the_other(employee: Person, customer: Person, zoe: Any) -> None:
    zoe.username = "ann"
    zoe.save()

    def confirm(password: str) -> View:
        return lambda request: reauthentication.confirm(request, password)

    assert employee.browsers[0].show(confirm("customer's")) is False
    assert employee.browsers[0].show(confirm("secret")) is True
    assert customer.browsers[0].show(confirm("customer's")) is True


@ON_ONE
def test_who_writes_the_store_cannot_give_a_session_to_the_other(employee: Person, customer: Person) -> None:
    rows = LiveSession.objects.using(router.db_for_write(LiveSession))
    assert rows.filter(user_id=":auth.customer:1").update(user_id="1") == 2
    assert customer.names == ["", ""]
    assert employee.names == ["ann", "ann"]


@ON_ONE
def test_commands_name_users_of_another_kind_by_the_id_that_lists_show(
    employee: Person, customer: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("listsessions_srv")
    assert ":auth.customer:1" in capsys.readouterr().out
    call_command("revokesessions_srv", "--user-id", ":auth.customer:1", "--no-input")
    assert customer.names == ["", ""]
    assert employee.names == ["ann", "ann"]


@given(st.sampled_from(["", "shop.customer"]), st.text())
def test_no_two_users_have_one_id(kind: str, key: str) -> None:
    user_id = users.user_id(kind, key)
    assert (users.kind_in(user_id), users.key_in(user_id)) == (kind, key)
    assert user_id == key or key.startswith(":") or kind


def one_who_waits(user: Any, stock: Any, settings: Any) -> Browser:
    """Return the browser of who has signed in with Django's engine, from which the site moves from now on."""
    engine, middleware = settings.SESSION_ENGINE, settings.MIDDLEWARE
    stock("db")
    browser = Browser()
    browser.show(login_as(user))
    settings.SESSION_ENGINE, settings.MIDDLEWARE = engine, middleware
    settings.SRVSESSION_MIGRATE_FROM = "django.contrib.sessions.backends.db"
    settings.SRVSESSION_MIGRATE_UNTIL = "2099-01-01"
    return browser


@on_stores("redis")
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
def test_a_session_that_is_carried_over_is_of_the_kind_that_its_backend_says(
    ann: Any, zoe: Any, stock: Any, settings: Any, asgi: bool
) -> None:
    before = one_who_waits(zoe, stock, settings)
    browser = Browser(before.cookie, asgi)  # Its own middleware is the site's of now.
    assert browser.show(aname_user if asgi else name_user) == "zoe"
    assert [record.sid for record in services.sessions_of(zoe)] == [browser.show(sid)]
    assert list(services.sessions_of(ann)) == []


@ON_ONE
def test_whose_it_is_that_waits_is_asked_again_while_their_backend_does_not_say(
    ann: Any, zoe: Any, stock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session of an inactive customer was carried over as the employee's, and lived when the customer came back."""
    active = staticmethod(lambda key: customers.objects.filter(pk=key, is_active=True).first())
    monkeypatch.setattr(CustomerBackend, "get_user", lambda self, key: active(key))
    before = one_who_waits(zoe, stock, settings)
    deactivate(zoe)
    browser = before.copy()
    assert browser.user() == ""
    assert list(services.sessions_of(ann)) == []
    zoe.is_active = True
    zoe.save()
    assert browser.user() == before.copy().user() == ""
    assert list(services.sessions_of(ann)) == list(services.sessions_of(zoe)) == []


@ON_ONE
def test_the_session_of_a_guest_who_waits_is_nobody_else_s(ann: Any, guest: Any, stock: Any, settings: Any) -> None:
    """No model tells that its objects sign in, where it does not derive from ``AbstractBaseUser``."""
    before = one_who_waits(guest, stock, settings)
    services.revoke_all(ann)
    browser = before.copy()
    assert browser.show(name_user) == "gus"
    assert list(services.sessions_of(ann)) == []
    assert [record.sid for record in services.sessions_of(guest)] == [browser.show(sid)]


@ON_ONE
def test_who_waits_keeps_the_key_while_the_backend_says_nobody(
    ann: Any, zoe: Any, stock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(CustomerBackend, "get_user", lambda self, key: found[0] if found else None)
    before = one_who_waits(zoe, stock, settings)
    browser = before.copy()
    assert browser.user() == ""
    found.append(zoe)
    assert browser.user() == "zoe"


@ON_ONE
def test_who_is_deactivated_while_their_session_is_carried_over_is_signed_out(
    ann: Any, zoe: Any, stock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def get_user(backend: Any, key: Any) -> Any:
        found = customers.objects.filter(pk=key, is_active=True).first()
        asked.append(found)
        if len(asked) == 2:
            deactivate(zoe)
        return found

    monkeypatch.setattr(CustomerBackend, "get_user", get_user)
    before = one_who_waits(zoe, stock, settings)
    browser = before.copy()
    browser.show(read)
    assert asked[:2] == [zoe, zoe]
    assert list(services.sessions_of(zoe)) == []
    zoe.is_active = True
    zoe.save()
    assert browser.user() == before.copy().user() == ""
