"""A new password or a new e-mail address ends the user's other sessions at once, whatever code saves the user."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import aupdate_session_auth_hash, get_user_model, update_session_auth_hash
from django.contrib.auth import views as auth_views
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.core import serializers
from django.core.management import call_command
from django.db import connection, models, transaction
from django.http import HttpRequest, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from django_srvsession import services
from django_srvsession.accounts import account_changes, current_request
from django_srvsession.engine.keys import SessionKey
from django_srvsession.signals import session_ended
from tests.engine.every_store import DB, on_every_store
from tests.engine.made_models import model
from tests.engine.pages import Browser, View, login, put, read, rotate, while_
from tests.engine.watched import WatchedStore

MODERN = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
OLD = "django.contrib.auth.hashers.MD5PasswordHasher"


@pytest.fixture(autouse=True)
def told() -> Iterator[list[tuple[str, str | None, str | None]]]:
    """What ``session_ended`` told: reason, user and who did it; emptied by ``signed_in``."""
    told: list[tuple[str, str | None, str | None]] = []

    def tell(record: Any, reason: str, by: str | None, **kwargs: Any) -> None:
        told.append((reason, record.user_id, by))

    session_ended.connect(tell)
    yield told
    session_ended.disconnect(tell)


def signed_in(user: Any, asgi: bool = False) -> Browser:
    browser = Browser(asgi=asgi)
    browser.visit(login(user))
    return browser


def sids_of(user: Any) -> set[str]:
    return {record.sid for record in services.sessions_of(user)}


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


# What is a change.


def set_password(user: Any) -> None:
    user.set_password("new secret")
    user.save()


def set_password_alone(user: Any) -> None:
    user.set_password("new secret")
    user.save(update_fields=["password"])


def set_the_same_password(user: Any) -> None:
    user.set_password("secret")
    user.save()


def assign_a_hash(user: Any) -> None:
    user.password = make_password("new secret")
    user.save()


def assign_a_hash_alone(user: Any) -> None:
    user.password = make_password("new secret")
    user.save(update_fields=["password"])


def set_unusable(user: Any) -> None:
    user.set_unusable_password()
    user.save()


def set_unusable_alone(user: Any) -> None:
    user.set_unusable_password()
    user.save(update_fields={"password"})


def set_on_a_deferred_user(user: Any) -> None:
    set_password(User.objects.only("username").get(pk=user.pk))


def save_asynchronously(user: Any) -> None:
    user.set_password("new secret")
    asyncio.run(user.asave())


def replace_the_row(user: Any) -> None:
    fields = {field.attname: getattr(user, field.attname) for field in user._meta.concrete_fields}
    User(**fields | {"password": make_password("new secret")}).save()


def fill_in_the_form(user: Any) -> None:
    form = SetPasswordForm(user, {"new_password1": "a long new secret", "new_password2": "a long new secret"})
    assert form.is_valid(), form.errors
    form.save()


def run_the_command(user: Any) -> None:
    from django.contrib.auth.management.commands import changepassword

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changepassword.Command, "_get_pass", lambda self, prompt="": "a long new secret")
        call_command("changepassword", user.get_username(), stdout=io.StringIO())


def through_a_proxy(user: Any) -> None:
    with model("Proxied", User, proxy=True) as proxied:
        set_password(proxied.objects.get(pk=user.pk))


def change_address(user: Any) -> None:
    user.email = "new@example.com"
    user.save()


def change_address_alone(user: Any) -> None:
    user.email = "new@example.com"
    user.save(update_fields=["email"])


def change_address_by_expression(user: Any) -> None:
    user.email = models.functions.Concat(models.Value("new@"), models.Value("example.com"))
    user.save()


def remove_address(user: Any) -> None:
    user.email = ""
    user.save()


PASSWORD_CHANGES = [
    set_password,
    set_password_alone,
    set_the_same_password,
    assign_a_hash,
    assign_a_hash_alone,
    set_unusable,
    set_unusable_alone,
    set_on_a_deferred_user,
    save_asynchronously,
    replace_the_row,
    fill_in_the_form,
    run_the_command,
    through_a_proxy,
]
ADDRESS_CHANGES = [change_address, change_address_alone, change_address_by_expression, remove_address]
CHANGES = [(change, "password_changed") for change in PASSWORD_CHANGES]
CHANGES += [(change, "email_changed") for change in ADDRESS_CHANGES]


@pytest.fixture
def ann(transactional_db: None) -> Any:
    """A user with an address."""
    return get_user_model().objects.create_user("ann", "ann@example.com", "secret")


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_change_of_the_user_ends_all_sessions_at_once(
    change: Callable[[Any], None], reason: str, ann: Any, bob: Any, told: list[Any]
) -> None:
    for user in (ann, ann, bob):
        signed_in(user)
    user = User.objects.get(pk=ann.pk)
    change(user)
    assert told == [(reason, str(ann.pk), None)] * 2
    assert sids_of(ann) == set()
    assert len(sids_of(bob)) == 1
    user.save()
    assert len(told) == 2


@pytest.mark.parametrize("change", [set_password, set_password_alone, assign_a_hash, set_unusable_alone])
def test_a_change_of_a_password_whose_hash_is_out_of_date_is_a_change(
    change: Callable[[Any], None], ann: Any, settings: Any, told: list[Any]
) -> None:
    signed_in(ann)
    settings.PASSWORD_HASHERS = [MODERN, OLD]
    change(User.objects.get(pk=ann.pk))
    assert [reason for reason, *_ in told] == ["password_changed"]


@on_every_store
def test_a_change_ends_sessions_on_every_store(engine: Any, ann: Any) -> None:
    browsers = [signed_in(ann), signed_in(ann)]
    set_password(ann)
    assert sids_of(ann) == set()
    assert [browser.user() for browser in browsers] == ["", ""]


def test_stock_django_keeps_other_sessions_until_their_next_request(stock: Callable[..., None], ann: Any) -> None:
    stock("db")
    signed_in(ann)
    set_password(ann)
    change_address(ann)
    assert Session.objects.count() == 1


def test_a_password_and_an_address_that_change_together_end_each_session_once(ann: Any, told: list[Any]) -> None:
    signed_in(ann)
    ann.email = "new@example.com"
    set_password(ann)
    assert told == [("password_changed", str(ann.pk), None)]


# What is none.


def save_as_it_is(user: Any) -> None:
    user.first_name = "Ann"
    user.save()


def save_another_field(user: Any) -> None:
    user.set_password("never stored")
    user.email = "never@example.com"
    user.save(update_fields=["first_name"])


def save_a_deferred_user(user: Any) -> None:
    deferred = User.objects.defer("password", "email").get(pk=user.pk)
    deferred.first_name = "Ann"
    deferred.save()


def load_a_fixture(user: Any) -> None:
    user.password, user.email = make_password("new secret"), "new@example.com"
    for each in serializers.deserialize("json", serializers.serialize("json", [user])):
        each.save()


def upgrade_the_hash(user: Any) -> None:
    before = user.password
    assert user.check_password("secret")
    assert user.password != before


def upgrade_the_hash_asynchronously(user: Any) -> None:
    before = user.password
    assert asyncio.run(user.acheck_password("secret"))
    assert user.password != before


@pytest.mark.parametrize(
    "save",
    [
        save_as_it_is,
        save_another_field,
        save_a_deferred_user,
        load_a_fixture,
        upgrade_the_hash,
        upgrade_the_hash_asynchronously,
    ],
)
def test_what_is_no_change_ends_nothing(save: Callable[[Any], None], ann: Any, settings: Any, told: list[Any]) -> None:
    signed_in(ann)
    if save in (upgrade_the_hash, upgrade_the_hash_asynchronously):
        settings.PASSWORD_HASHERS = [MODERN, OLD]
    save(User.objects.get(pk=ann.pk))
    assert told == []


class Slower(PBKDF2PasswordHasher):
    """Want more iterations than last year's hashes have."""

    iterations = PBKDF2PasswordHasher.iterations + 1


def test_a_hash_with_more_iterations_is_no_change(ann: Any, settings: Any, told: list[Any]) -> None:
    settings.PASSWORD_HASHERS = [MODERN]
    ann.set_password("secret")
    ann.save()
    signed_in(ann)
    settings.PASSWORD_HASHERS = [f"{__name__}.Slower"]
    upgrade_the_hash(User.objects.get(pk=ann.pk))
    assert told == []


def test_a_new_address_where_there_was_none_is_a_change_and_none_for_none_is_not(bob: Any, told: list[Any]) -> None:
    signed_in(bob)
    bob.email = ""
    bob.save()
    assert told == []
    change_address(bob)
    assert [reason for reason, *_ in told] == ["email_changed"]


@pytest.mark.parametrize(
    ("after", "ended"),
    [
        ((), []),
        (("password_changed",), ["password_changed"]),
        (["email_changed"], ["email_changed"]),
    ],
)
def test_the_setting_chooses_what_ends_sessions(
    after: Any, ended: list[str], ann: Any, settings: Any, told: list[Any]
) -> None:
    settings.SRVSESSION_END_OTHERS_AFTER = after
    for change in (set_password, change_address):
        signed_in(ann)
        change(ann)
    assert {reason for reason, *_ in told} == set(ended)


def test_a_change_that_fails_or_is_rolled_back_ends_nothing(ann: Any, bob: Any, told: list[Any]) -> None:
    browser = signed_in(ann)
    with transaction.atomic():
        set_password(User.objects.get(pk=ann.pk))
        assert told == []
        transaction.set_rollback(True)
    user = User.objects.get(pk=ann.pk)
    user.set_password("new secret")
    user.username = "bob"
    with pytest.raises(Exception, match="UNIQUE"):
        user.save()
    user.refresh_from_db()
    user.save(update_fields=["first_name"])
    assert told == []
    assert browser.user() == "ann"


@pytest.mark.parametrize(
    ("save", "queries"),
    [(save_as_it_is, 2), (save_another_field, 1), (User.save, 2)],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_it_costs_one_query_and_only_where_a_field_that_matters_is_saved(
    save: Callable[[Any], None], queries: int, ann: Any
) -> None:
    with CaptureQueriesContext(connection) as made:
        save(ann)
    assert len(made) == queries


def test_signing_in_and_creating_users_cost_no_query_more(ann: Any, settings: Any) -> None:
    with CaptureQueriesContext(connection) as signing_in:
        signed_in(ann)
    with CaptureQueriesContext(connection) as creating:
        User.objects.create_user("eve")
    settings.SRVSESSION_END_OTHERS_AFTER = ()
    with CaptureQueriesContext(connection) as signing_in_without:
        signed_in(ann)
    assert (len(signing_in), len(creating)) == (len(signing_in_without), 1)


# The session that stays.


def change_own_password(request: HttpRequest) -> str:
    form = PasswordChangeForm(
        request.user,
        {"old_password": "secret", "new_password1": "a long new secret", "new_password2": "a long new secret"},
    )
    assert form.is_valid(), form.errors
    form.save()
    update_session_auth_hash(request, form.user)
    return str(request.user.get_username())


async def achange_own_password(request: HttpRequest) -> str:
    user = await request.auser()
    await sync_to_async(lambda: request.user.pk)()  # Django's function looks at it in the event loop.
    user.set_password("a long new secret")
    await user.asave()
    await aupdate_session_auth_hash(request, user)
    return str(user.get_username())


async def change_in_a_thread(request: HttpRequest) -> str:
    return await sync_to_async(change_own_password)(request)


@on_every_store
@pytest.mark.parametrize(
    ("view", "asgi"),
    [
        (change_own_password, False),
        (change_own_password, True),
        (achange_own_password, False),
        (achange_own_password, True),
        (change_in_a_thread, True),
    ],
)
def test_who_changes_the_password_stays_signed_in(
    view: View, asgi: bool, engine: Any, ann: Any, told: list[Any]
) -> None:
    browser, others = signed_in(ann, asgi), [signed_in(ann), signed_in(ann)]
    browser.visit(put(basket=["pear"]))
    before, sid = browser.cookie, sid_of(browser)
    assert browser.show(view) == "ann"
    assert told == [("password_changed", str(ann.pk), str(ann.pk))] * 2
    assert sids_of(ann) == {sid}
    assert (browser.cookie != before, sid_of(browser)) == (True, sid)
    assert browser.user() == "ann"
    assert browser.show(read)["basket"] == ["pear"]
    assert [other.user() for other in others] == ["", ""]
    assert Browser(before).user() == ""


@pytest.mark.parametrize("engine", ["memory", DB], indirect=True)
def test_in_a_transaction_the_others_end_with_its_commit(
    engine: Any, ann: Any, told: list[Any], atomic_requests: None
) -> None:
    browser, other = signed_in(ann), signed_in(ann)
    told_in_the_view: list[Any] = []
    browser.visit(while_(change_own_password, lambda: told_in_the_view.extend(told), read))
    assert told_in_the_view == []
    assert told == [("password_changed", str(ann.pk), str(ann.pk))]
    assert (browser.user(), other.user()) == ("ann", "")


def test_one_who_changes_somebody_elses_password_keeps_an_own_session_only(ann: Any, bob: Any, told: list[Any]) -> None:
    def change_anns(request: HttpRequest) -> str:
        set_password(User.objects.get(pk=ann.pk))
        return str(request.user.get_username())

    theirs, mine = signed_in(ann), signed_in(bob)
    assert mine.show(change_anns) == "bob"
    assert told == [("password_changed", str(ann.pk), str(bob.pk))]
    assert (mine.user(), theirs.user()) == ("bob", "")


def test_a_request_with_a_key_that_was_replaced_keeps_no_session(ann: Any) -> None:
    def reset(request: HttpRequest) -> None:
        set_password(User.objects.get(pk=ann.pk))

    browser = signed_in(ann)
    old = browser.copy()
    browser.visit(rotate)
    old.visit(reset)
    assert sids_of(ann) == set()


@pytest.mark.parametrize("url", ["/admin/password_change/", "/admin/auth/user/{pk}/password/"])
def test_the_admins_pages_keep_the_session_that_makes_the_change(url: str, ann: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls"
    User.objects.filter(pk=ann.pk).update(is_staff=True, is_superuser=True)
    browser, other = signed_in_by_client(ann), signed_in_by_client(ann)
    new = {"new_password1": "a long new secret", "new_password2": "a long new secret", "old_password": "secret"}
    form = new | {"password1": "a long new secret", "password2": "a long new secret", "usable_password": "true"}
    assert browser.post(url.format(pk=ann.pk), form).status_code == 302
    assert (browser.get("/admin/").status_code, other.get("/admin/").status_code) == (200, 302)
    assert len(sids_of(ann)) == 1


def signed_in_by_client(user: Any) -> Any:
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("engine", ["memory", DB], indirect=True)
@pytest.mark.parametrize("logs_in", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_reset_from_an_anonymous_request_ends_all_sessions(
    atomic: bool, logs_in: bool, engine: Any, ann: Any, settings: Any, request: Any
) -> None:
    if atomic:
        request.getfixturevalue("atomic_requests")
    settings.SRVSESSION_MAX_SESSIONS_PER_USER = 5
    others, browser = [signed_in(ann), signed_in(ann)], Browser()
    view = auth_views.PasswordResetConfirmView.as_view(
        success_url="/", post_reset_login=logs_in, post_reset_login_backend="django.contrib.auth.backends.ModelBackend"
    )
    uid, token = urlsafe_base64_encode(force_bytes(ann.pk)), default_token_generator.make_token(ann)
    opened = browser.visit(lambda request: view(request, uidb64=uid, token=token))
    assert opened.status_code == 302
    form = {"new_password1": "a long new secret", "new_password2": "a long new secret"}
    answer = browser.visit(lambda request: view(request, uidb64=uid, token="set-password"), method="post", data=form)
    assert answer.status_code == 302
    assert [other.user() for other in others] == ["", ""]
    assert browser.user() == ("ann" if logs_in else "")
    assert sids_of(ann) == ({sid_of(browser)} if logs_in else set())


def test_a_site_that_visits_itself_forgets_neither_request(ann: Any, bob: Any) -> None:
    inner = signed_in(bob)
    seen: list[Any] = []

    def visit_itself(request: HttpRequest) -> str:
        before = current_request.current()
        seen.append(inner.show(lambda request: current_request.current().user_id))  # type: ignore[union-attr]
        assert current_request.current() is before
        return change_own_password(request)

    outer, other = signed_in(ann), signed_in(ann)
    outer.show(visit_itself)
    assert seen == [str(bob.pk)]
    assert (outer.user(), other.user(), inner.user()) == ("ann", "", "bob")


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_after_the_answer_the_request_is_forgotten(asgi: bool, fails: bool, ann: Any) -> None:
    found: list[Any] = []

    def page(request: HttpRequest) -> Any:
        found.append(current_request.current())
        if fails:
            raise ZeroDivisionError
        return StreamingHttpResponse(found.append(current_request.current()) or "." for _ in range(1))

    browser = signed_in(ann, asgi)
    response = browser.visit(page)
    assert response.status_code == (500 if fails else 200)
    if not asgi and not fails:
        list(response.streaming_content)
        assert found[1:] == [None]
    assert found[0] is not None
    assert current_request.current() is None


def test_requests_side_by_side_know_their_own_sessions(ann: Any, bob: Any) -> None:
    async def both() -> list[Any]:
        async def page(request: HttpRequest) -> Any:
            await asyncio.sleep(0)
            return await sync_to_async(lambda: current_request.current().user_id)()  # type: ignore[union-attr]

        return await asyncio.gather(*(browser.client.get(url_of(page)) for browser in browsers))

    from tests.engine.pages import url_of

    users = [ann, bob] * 4
    browsers = [signed_in(user, asgi=True) for user in users]
    assert [answer.json()["shown"] for answer in asyncio.run(both())] == [str(user.pk) for user in users]


def test_an_outage_is_told_and_others_end_with_the_hash(ann: Any, store: WatchedStore) -> None:
    browser, other = signed_in(ann), signed_in(ann)
    store.out = {"records"}
    assert browser.visit(change_own_password).status_code == 503
    store.come_back()
    assert other.user() == ""


def test_a_site_on_a_stock_engine_asks_nothing_when_users_are_saved(stock: Callable[..., None], ann: Any) -> None:
    stock("db")
    with CaptureQueriesContext(connection) as made:
        set_password(ann)
    assert len(made) == 1


# Other users.


def test_a_child_of_the_user_model_counts_as_its_user(ann: Any, told: list[Any]) -> None:
    with model("Child", User, nickname=models.CharField(max_length=10)) as child:
        kid = child.objects.create(username="kid", email="kid@example.com", nickname="k")
        for load in (child, User):
            for change, reason in ((set_password, "password_changed"), (change_address, "email_changed")):
                signed_in(kid)
                change(load.objects.get(pk=kid.pk))
                assert told.pop() == (reason, str(kid.pk), None)
                User.objects.filter(pk=kid.pk).update(email="kid@example.com")
        kid.refresh_from_db()
        kid.nickname = "kiddo"
        kid.save()
        assert told == []
        kid.delete()


def test_a_new_user_with_a_key_of_its_own_making_costs_no_query_more(
    transactional_db: None, django_assert_num_queries: Any
) -> None:
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    with model("Numbered", AbstractBaseUser, id=key, USERNAME_FIELD="id", EMAIL_FIELD="id") as numbered:
        new = numbered(password="x")
        with django_assert_num_queries(0):
            account_changes.note_change(new, using="default", update_fields=None)


class PersonManager(BaseUserManager):
    """Load people by name."""


def test_a_swapped_user_model_names_its_address_and_its_key(transactional_db: None, settings: Any) -> None:
    fields = {
        "name": models.CharField(max_length=20, primary_key=True),
        "contact": models.CharField(max_length=50, null=True),
        "USERNAME_FIELD": "name",
        "EMAIL_FIELD": "contact",
        "objects": PersonManager(),
    }
    with model("Person", AbstractBaseUser, **fields) as person:
        settings.AUTH_USER_MODEL = "auth.Person"
        zoe = person(name="zoe", contact="z@example.com")
        zoe.set_password("secret")
        zoe.save()
        for field, value in (("contact", "new@example.com"), ("password", make_password("new")), ("contact", None)):
            signed_in(zoe)
            assert len(sids_of("zoe")) == 1
            setattr(zoe, field, value)
            zoe.save()
            assert sids_of("zoe") == set()
        signed_in(zoe)
        zoe.contact = ""
        zoe.save()
        assert len(sids_of("zoe")) == 1


def test_a_user_model_without_address_and_password_is_left_alone(ann: Any, django_assert_num_queries: Any) -> None:
    class Bare(models.Model):
        is_active = models.BooleanField(default=True)

        class Meta:
            app_label = "auth"

    bare = Bare(pk=ann.pk)
    with django_assert_num_queries(0):
        account_changes.note_change(bare, using="default", update_fields=None)
        account_changes.follow(bare, using="default")
    del apps.all_models["auth"]["bare"]
    apps.clear_cache()
