"""The baseline of ``test_admin_secrets.py``: a stock admin of Django's own sessions tells its viewer a whole key."""

from __future__ import annotations

import string
from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import path

from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

LIST = "/stock/sessions/session/"
ALPHABET = string.digits + string.ascii_lowercase  # Of Django's keys, in order.


class CautiousAdmin(ModelAdmin):  # type: ignore[type-arg]
    """Show when sessions expire, and nothing else."""

    list_display = ("expire_date",)
    list_display_links = None


site = AdminSite(name="stock")
site.register(Session, CautiousAdmin)
urlpatterns = [path("stock/", site.urls)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("store")]


@pytest.fixture
def viewer() -> Client:
    user = get_user_model().objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_session"))
    client = Client()
    client.force_login(user)
    return client


def is_before(viewer: Client, guess: str) -> bool:
    """Ask the list, as anybody may who views it, whether the key of the one session there is sorts before a guess."""
    response: Any = viewer.get(LIST, {"session_key__lt": guess})
    assert response.status_code == 200
    return bool(response.context["cl"].result_count)


def test_a_viewer_of_the_stock_admin_learns_a_key_by_asking_yes_or_no(viewer: Client) -> None:
    victim = SessionStore()
    victim.create()
    key, known, asked = str(victim.session_key), "", 0
    while len(known) < len(key):
        low, high = 0, len(ALPHABET)
        while high - low > 1:
            middle, asked = (low + high) // 2, asked + 1
            low, high = (low, middle) if is_before(viewer, known + ALPHABET[middle]) else (middle, high)
        known += ALPHABET[low]
    assert known == key
    assert asked < 702
