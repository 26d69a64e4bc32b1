"""A viewer of live sessions learns no key, no verifier and no value: not shown, and not by asking yes or no."""

from __future__ import annotations

import itertools
from importlib import import_module
from typing import Any, NamedTuple

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils.http import urlencode

from django_srvsession.engine import current_store
from django_srvsession.models import LiveSession, Session
from django_srvsession.records import Client as Seen
from django_srvsession.services import user_id_of
from django_srvsession.testing.sessions import new_verifier, stored
from tests.every_store import every_store_fixture, on_two_stores

__all__ = ["every_store_fixture"]

LIST = "/admin/srvsession/livesession/"
VALUE = "value-that-nobody-may-see"
LOOKUPS = ("", "__startswith", "__contains", "__regex", "__gt", "__isnull", "__x")
FIELDS = [field.name for field in Session._meta.get_fields()]

pytestmark = [pytest.mark.urls("tests.admin_site"), on_two_stores]


class Secrets(NamedTuple):
    """Hold a session of somebody's, and what must not be learned of it."""

    sid: str
    secrets: list[str]
    verifier: str


@pytest.fixture
def victim(every_store: str) -> Secrets:
    user = get_user_model().objects.create_user("victim", "victim@example.org")
    session = import_module(django_settings.SESSION_ENGINE).SessionStore()
    session.update({"_auth_user_id": user_id_of(user), "_auth_user_hash": "hash-of-a-password", "draft": VALUE})
    session.note_client(lambda: Seen("203.0.113.9", "agent"))
    session.save()
    session.cycle_key()
    found = stored(current_store(), session.sid)
    record = found.record
    sealed = [part.hex() for part in found.values.values()]
    secrets = [session.session_key, record.verifier, record.previous_verifier, VALUE, "hash-of-a-password", *sealed]
    return Secrets(session.sid, secrets, record.verifier)


@pytest.fixture
def viewer(every_store: str) -> Client:
    user = get_user_model().objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_livesession"))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def answer(client: Client, path: str, secrets: Secrets, **data: Any) -> tuple[int, str]:
    """Ask, check that nothing secret is in the answer, and return its status, its address, and whether it lists it."""
    response = client.post(path, data) if data else client.get(path)
    text = response.content.decode() + str(dict(response.headers))
    for secret in secrets.secrets:
        assert secret not in text, path
    assert response.status_code < 500, path
    where = response.headers.get("Location", "")
    rows = (
        [row.sid for row in response.context["cl"].result_list] if response.context and "cl" in response.context else []
    )
    return response.status_code, f"{where} {secrets.sid in rows}"


def test_no_page_shows_a_key_a_verifier_or_a_value(victim: Secrets, viewer: Client) -> None:
    for page in ("", "?q={sid}", "overview/", "{sid}/change/", "{sid}/history/", "{sid}/"):
        status, _ = answer(viewer, LIST + page.format(sid=victim.sid), victim)
        assert status in (200, 302)


def test_no_parameter_tells_whether_a_guess_is_right(victim: Secrets, viewer: Client) -> None:
    """Each lookup is asked with the true verifier and with a wrong one: the answers are the same."""
    wrong, names = new_verifier(), [*FIELDS, "pk", "values", "user__password", "session_key", "session_data"]
    for name, lookup in itertools.product(names, LOOKUPS):
        asked = [f"{LIST}?{urlencode({name + lookup: guess})}" for guess in (victim.verifier, wrong)]
        right, other = (answer(viewer, url, victim) for url in asked)
        assert right == other, asked
        assert right[0] in (302, 400), asked


WAYS = (
    *("q={guess}", "q={guess}&all=", "o={guess}", "p={guess}", "after={guess}", "user={guess}", "kind={guess}"),
    *("e=1&verifier__startswith={guess}", "_changelist_filters=verifier%3D{guess}", "_popup=1&_to_field=verifier"),
    *("_to_field=previous_verifier", "_to_field=data", "_popup=1&_to_field=sid&q={guess}", "_facets=True&q={guess}"),
    *("_source_model=srvsession.session&q={guess}", "date_hierarchy={guess}", "sid__in={guess}", "_export={guess}"),
)


def test_no_parameter_of_the_list_is_a_way_around(victim: Secrets, viewer: Client) -> None:
    # Pages repeat what they were asked: a beginning is as good a guess, and is no secret by itself.
    begins, wrong = victim.verifier[:40], new_verifier()[:40]
    for way in WAYS:
        right = answer(viewer, f"{LIST}?{way.format(guess=begins)}", victim)
        assert right == answer(viewer, f"{LIST}?{way.format(guess=wrong)}", victim), way
        for page in ("change", "history"):
            answer(viewer, f"{LIST}{victim.sid}/{page}/?{way.format(guess=begins)}", victim)


def test_no_page_refers_to_a_session_by_anything_but_its_name(victim: Secrets, viewer: Client) -> None:
    for to_field in ("verifier", "previous_verifier", "data", "sid", "pk", "user_id"):
        for page, name in itertools.product(("change", "delete"), (victim.verifier[:18], victim.sid)):
            answer(viewer, f"{LIST}{name}/{page}/?_to_field={to_field}", victim)
            answer(viewer, f"{LIST}{name}/{page}/", victim, _to_field=to_field, _popup="1")
        # Not followed: the next page would repeat the name that was not found.
        response = viewer.get(f"{LIST}{victim.verifier}/change/?_to_field={to_field}")
        assert response.status_code in (302, 400)
        viewer.cookies.pop("messages", None)


def test_no_other_page_of_the_admin_tells_more(victim: Secrets, viewer: Client) -> None:
    for model in (LiveSession, Session):
        kind = ContentType.objects.get_for_model(model, for_concrete_model=False)
        name, begins = model._meta.model_name, victim.verifier[:4]
        for path in (
            f"/admin/r/{kind.pk}/{victim.sid}/",
            f"/admin/autocomplete/?app_label=srvsession&model_name={name}&field_name=user&term={begins}",
            f"/admin/srvsession/{name}/?verifier__startswith={begins}",
            f"/admin/srvsession/{name}/{victim.sid}/change/",
            "/admin/srvsession/",
            "/admin/",
        ):
            answer(viewer, path, victim)


def test_no_action_gives_rows_out(victim: Secrets, viewer: Client) -> None:
    for action, across in itertools.product(("export", "delete_selected", "end_selected"), "01"):
        fields = {"action": action, "select_across": across, "index": "0", "_selected_action": victim.sid}
        answer(viewer, LIST, victim, **fields)
    assert stored(current_store(), victim.sid)


def test_nothing_that_a_template_is_given_holds_a_secret(victim: Secrets, viewer: Client) -> None:
    response = viewer.get(LIST)
    (row,) = [row for row in response.context["cl"].result_list if row.sid == victim.sid]
    detail = viewer.get(f"{LIST}{victim.sid}/change/").context["original"]
    for shown in (row, detail):
        told = repr(vars(shown)) + repr(vars(shown)["shown"])
        for secret in victim.secrets:
            assert secret not in told
    assert not response.context["cl"].queryset.exists()
    assert not response.context["cl"].root_queryset.exists()
