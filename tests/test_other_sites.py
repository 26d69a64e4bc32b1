"""Sites that are not like ours: another user model, and django-axes. Each in a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.runs import play

BEGIN = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django_srvsession import services
from django_srvsession.engine import SessionStore
call_command("migrate", verbosity=0, run_syncdb=True)
def sign_in(client, name, password):
    return client.post("/account/login/", {"username": name, "password": password})
"""

BY_ADDRESS = """
get_user_model().objects.create_user(email="alice@example.com", password="pass-alice")
client = Client()
assert ">Email:</label>" in client.get("/account/login/").content.decode()
assert sign_in(client, "alice@example.com", "wrong").status_code == 200
assert sign_in(client, "alice@example.com", "pass-alice").status_code == 302
page = client.get("/account/sessions/").content.decode()
assert "Signed in as alice@example.com" in page
assert page.count('id="session-') == 1
assert client.post("/account/confirm/", {"password": "wrong"}).status_code == 200
assert client.post("/account/confirm/", {"password": "pass-alice"}).status_code == 302
assert client.post("/account/logout/").status_code == 302
"""

LOCKED_OUT = """
alice = get_user_model().objects.create_user("alice", password="pass-alice")
bystander, guesser = Client(), Client()
assert sign_in(bystander, "alice", "pass-alice").status_code == 302
assert [sign_in(guesser, "alice", f"guess {number}").status_code for number in range(3)] == [200, 200, 429]
assert sign_in(guesser, "alice", "pass-alice").status_code == 429
assert "sessionid" not in guesser.cookies
assert "Your devices" in bystander.get("/account/sessions/").content.decode()
assert len(services.sessions_of(alice)) == 1
"""

CONFIRMED_WRONGLY = """
alice = get_user_model().objects.create_user("alice", password="pass-alice")
client, other = Client(), Client()
assert sign_in(client, "alice", "pass-alice").status_code == 302
assert sign_in(other, "alice", "pass-alice").status_code == 302
now_ms = SessionStore.now_ms
SessionStore.now_ms = property(lambda session: (now_ms.fget(session) or 0) + 3_600_000)
others = "/account/sessions/end-others/"
shown = {"shown": client.get(others).content.decode().split('name="shown" value="')[1].split('"')[0]}
answers = [client.post(others, {**shown, "password": f"guess {number}"}) for number in range(3)]
assert [answer.status_code for answer in answers] == [200, 200, 429]
assert client.post(others, {**shown, "password": "pass-alice"}).status_code == 429
assert len(services.sessions_of(alice)) == 2
assert client.post(others, {**shown, "password": "guess 4"}).status_code == 429
assert len(services.sessions_of(alice)) == 1
"""


def test_people_of_another_user_model_sign_in_by_its_own_name(tmp_path: Path) -> None:
    play("tests.custom_user.settings", BEGIN + BY_ADDRESS, tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("axes") is None, reason="no django-axes for this Django")
@pytest.mark.parametrize("story", [LOCKED_OUT, CONFIRMED_WRONGLY], ids=["sign in", "confirm"])
def test_django_axes_locks_out_who_guesses_and_nobody_else(tmp_path: Path, story: str) -> None:
    play("tests.axes_site.settings", BEGIN + story, tmp_path)
