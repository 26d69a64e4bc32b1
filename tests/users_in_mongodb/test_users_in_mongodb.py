"""Sign-in, limits, pages, API and commands on a site whose users are in MongoDB."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mongodb_servers import new_database
from tests.runs import play

STORY = """
import io
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django_srvsession import services

call_command("migrate", run_syncdb=True, verbosity=0)
call_command("check")
ann = get_user_model().objects.create_user("ann", "ann@example.org", "secret")

def signed_in(password="secret"):
    client = Client()
    answer = client.post("/account/login/", {"username": "ann", "password": password})
    assert answer.status_code == 302, answer.content
    return client

def page(client):
    return client.get("/account/sessions/").status_code

first, second, third = signed_in(), signed_in(), signed_in()
assert {record.user_id for record in services.sessions_of(ann)} == {str(ann.pk)}
assert [page(client) for client in (first, second, third)] == [302, 200, 200], "a limit of two"
assert len(third.get("/api/sessions/").json()["sessions"]) == 2
assert second.post("/account/logout/").status_code in (200, 302)
assert [page(client) for client in (second, third)] == [302, 200]
ann.set_password("another")
ann.save()
assert page(third) == 302, "a new password ends the sessions"
fourth = signed_in("another")
assert fourth.get("/account/activity/").status_code == 200

for command in (["doctorsessions_srv", "--repair"], ["listsessions_srv"], ["clearsessions_srv"], ["sessionstats_srv"]):
    told = io.StringIO()
    call_command(*command, stdout=told)
    assert told.getvalue()
ann.delete()
assert page(fourth) == 302
"""


def test_users_with_keys_of_objectid_have_sessions_in_the_same_database(mongodb_uri: str, tmp_path: Path) -> None:
    pytest.importorskip("django_mongodb_backend", reason="django-mongodb-backend is not installed: optional")
    with new_database(mongodb_uri) as name:
        entry = {"HOST": mongodb_uri, "NAME": name}
        (tmp_path / "database.json").write_text(json.dumps(entry))
        play("tests.users_in_mongodb.settings", STORY, tmp_path)
