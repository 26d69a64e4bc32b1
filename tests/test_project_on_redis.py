"""A project whose sessions are in Redis: Django's own commands work, though the app's tables stay empty."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client, override_settings

from django_srvsession import services
from django_srvsession.backends.redis import RedisStore
from django_srvsession.engine import current_store

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def redis_engine(redis_alias: str, settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"


@pytest.fixture
def client_of_ann() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    return client


def test_dumpdata_and_loaddata_take_the_whole_project(client_of_ann: Client, tmp_path: Any) -> None:
    out = io.StringIO()
    call_command("dumpdata", stdout=out)
    dumped = json.loads(out.getvalue())
    assert "ann" in json.dumps(dumped)
    assert not any(entry["model"].startswith("srvsession.") for entry in dumped)
    fixture = tmp_path / "all.json"
    fixture.write_text(out.getvalue())
    call_command("loaddata", str(fixture), verbosity=0)


def test_migrate_makes_the_permissions_of_live_sessions_and_nothing_else() -> None:
    call_command("migrate", verbosity=0)
    ours = Permission.objects.filter(content_type__app_label="srvsession")
    assert set(ours.values_list("codename", flat=True)) == {"view_livesession", "delete_livesession"}


def test_no_content_type_of_ours_is_stale() -> None:
    before = ContentType.objects.filter(app_label="srvsession").count()
    call_command("remove_stale_contenttypes", interactive=False, verbosity=0)
    assert ContentType.objects.filter(app_label="srvsession").count() == before > 0


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_override_settings_moves_the_sessions_elsewhere_and_back(client_of_ann: Client) -> None:
    assert isinstance(current_store(), RedisStore)
    assert len(services.live_sessions()) == 1
    with override_settings(SRVSESSION_REDIS_PREFIX="elsewhere:test:"):
        assert len(services.live_sessions()) == 0
    with override_settings(SESSION_ENGINE="django_srvsession.backends.db"):
        assert list(services.live_sessions()) == []
    assert len(services.live_sessions()) == 1
