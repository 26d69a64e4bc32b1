"""The API on sites that are not like ours: another user model, and django-axes. Each in a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.runs import play

BEGIN = """
import django
django.setup()
from django.conf import settings
settings.ROOT_URLCONF = "tests.api.client"
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django_srvsession import services
from tests.api.client import Api, make_user, problem, refusal_in
call_command("migrate", verbosity=0, run_syncdb=True)
"""

BY_ADDRESS = """
alice = get_user_model().objects.create_user(email="alice@example.com", password="pass-alice")
api = Api()
assert refusal_in(api.sign_in("alice@example.com", "wrong")) == {"#": "invalid_login"}
answer = api.sign_in("alice@example.com", "pass-alice")
assert answer.json()["user"] == {"id": str(alice.pk), "username": "alice@example.com"}
assert refusal_in(api.post("confirm_password", {"password": "wrong"})) == {"#/password": "wrong_password"}
assert api.post("confirm_password", {"password": "pass-alice"}).status_code == 204
assert api.get("sessions").json()["sessions"][0]["current"]
"""

LOCKED_OUT = """
ann = make_user("ann")
bystander, guesser = Api("ann"), Api()
answers = [guesser.sign_in("ann", f"guess {number}") for number in range(3)]
assert [answer.status_code for answer in answers] == [403, 403, 429]
problem(guesser.sign_in("ann"), 429)
assert guesser.key is None
assert (guesser.user(), bystander.user()) == (None, "ann")
assert len(services.sessions_of(ann)) == 1
"""

CONFIRMED_WRONGLY = """
ann = make_user("ann")
api = Api("ann")
key = api.key
answers = [api.post("confirm_password", {"password": f"guess {number}"}) for number in range(3)]
assert [answer.status_code for answer in answers] == [403, 403, 429]
problem(api.post("confirm_password", {"password": "pass-ann"}), 429)
assert api.key == key
"""


def test_people_of_another_user_model_sign_in_by_its_own_name(tmp_path: Path) -> None:
    play("tests.custom_user.settings", BEGIN + BY_ADDRESS, tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("axes") is None, reason="no django-axes for this Django")
@pytest.mark.parametrize("story", [LOCKED_OUT, CONFIRMED_WRONGLY], ids=["sign in", "confirm"])
def test_django_axes_locks_out_who_guesses_and_nobody_else(tmp_path: Path, story: str) -> None:
    play("tests.api.axes_settings", BEGIN + story, tmp_path)
