"""``migratesessions_srv``: all sessions at once, there; between our stores; and who has not come back yet."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from django_srvsession import services
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import Loaded
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_user
from tests.engine.other_engine import OtherEngine, other
from tests.engine.pages import STOCK, make_user, put, read
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.patience import patient
from tests.runs import ROOT

__all__ = ["other"]

OURS, THEIRS, ELSEWHERE = "django_srvsession.backends.memory", f"{STOCK}.backends.db", "django_srvsession.backends.db"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.engine.pages"


def run(*arguments: str) -> dict[str, Any]:
    stdout = io.StringIO()
    call_command("migratesessions_srv", *arguments, "--json", stdout=stdout)
    told: dict[str, Any] = json.loads(stdout.getvalue())
    del told["seconds"]
    return told


def say(*arguments: str) -> str:
    stdout = io.StringIO()
    call_command("migratesessions_srv", *arguments, stdout=stdout)
    return stdout.getvalue()


@pytest.mark.parametrize("other", ["db", "cached_db", "file"], indirect=True)
def test_all_sessions_are_moved_and_each_is_the_one_that_its_visitor_finds(other: OtherEngine, store: Any) -> None:
    people = [make_user(f"user{number}") for number in range(3)]
    browsers = [other.browser(put(name=user.username), user=user) for user in people]
    anonymous = other.browser(put(basket=[1]))
    assert run("--from", other.path, "--dry-run") == {"dry_run": True, "have_not_come_yet": 4}
    assert not services.live_sessions()
    assert run("--from", other.path) == {"dry_run": False, "moved": 4}
    assert not any(other.has(browser.cookie or "") for browser in browsers)
    for user, browser in zip(people, browsers, strict=True):
        (record,) = services.sessions_of(user)
        assert browser.user() == user.username
        assert browser.show(read)["name"] == user.username
        assert [known.sid for known in services.sessions_of(user)] == [record.sid]
    assert anonymous.show(read) == {"basket": [1]}
    assert run("--from", other.path) == {"dry_run": False}


def test_it_goes_on_where_it_stopped(other: OtherEngine, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        other.browser(put(number=number))
    restore, calls = store.restore, []

    def fail(session: Loaded) -> Loaded:
        calls.append(session)
        if len(calls) == 3:
            raise StoreUnavailableError("gone away")
        return restore(session)  # type: ignore[no-any-return]

    monkeypatch.setattr(store, "restore", fail)
    with pytest.raises(CommandError, match=r"Moved 2 sessions to .*safe to run this again"):
        run("--from", other.path)
    assert run("--from", other.path) == {"dry_run": False, "moved": 2}
    assert len(services.live_sessions()) == 4


def test_what_a_visitor_has_carried_over_is_moved_before(other: OtherEngine, store: Any) -> None:
    browser = other.browser(put(a=1))
    row = Session.objects.get()
    assert browser.show(read) == {"a": 1}
    row.save(force_insert=True)  # Its end has failed.
    assert run("--from", other.path) == {"dry_run": False, "moved_before": 1}
    assert not Session.objects.exists()
    assert browser.show(read) == {"a": 1}


def test_what_has_expired_is_not_moved(other: OtherEngine, store: Any) -> None:
    other.browser(put(a=1))
    Session.objects.update(expire_date=timezone.now())
    assert run("--from", other.path) == {"dry_run": False}


def test_in_the_first_step_sessions_may_be_moved_ahead(other: OtherEngine, store: Any) -> None:
    browser = other.browser(put(a=1), user=make_user())
    with override_settings(SESSION_ENGINE=other.path, SRVSESSION_MIGRATE_FROM=None, SRVSESSION_MIGRATE_TO=OURS):
        assert run("--from", other.path) == {"dry_run": False, "moved": 1}
        visitor = browser.copy()
        assert visitor.user() == "ann"
        assert visitor.show(read)["a"] == 1


@pytest.mark.parametrize("other", ["signed_cookies", "cache"], indirect=True)
def test_what_nobody_can_go_through_is_said(other: OtherEngine, store: Any) -> None:
    with pytest.raises(CommandError, match="at the next request"):
        run("--from", other.path)


@pytest.mark.parametrize(
    ("changed", "arguments"),
    [
        ({"SRVSESSION_MIGRATE_FROM": None}, ["--from", THEIRS]),
        ({"SRVSESSION_MIGRATE_UNTIL": "2020-01-01"}, ["--from", THEIRS]),
        ({}, ["--from", "no.such.engine"]),
        ({}, ["--from", f"{STOCK}.backends.cache"]),
        ({}, ["--from", OURS]),
        ({}, ["--from", THEIRS, "--to", f"{STOCK}.backends.cache"]),
        ({}, ["--from", ELSEWHERE, "--to", "django_srvsession.backends.file"]),
    ],
)
def test_settings_that_do_not_lead_there_are_said(
    other: OtherEngine, store: Any, settings: Any, changed: dict[str, Any], arguments: list[str]
) -> None:
    browser = other.browser(put(a=1))
    for name, value in changed.items():
        setattr(settings, name, value)
    with pytest.raises(CommandError):
        run(*arguments)
    with other.in_charge():
        assert browser.copy().show(read) == {"a": 1}


def test_between_our_stores_records_and_seals_stay(store: Any, settings: Any, transactional_db: None) -> None:
    settings.SESSION_ENGINE = ELSEWHERE
    sessions = [create(store, user_id=new_user(), changed={"a": b"sealed"}) for _ in range(25)]
    assert say("--from", OURS, "--dry-run").startswith("25 sessions would be moved.")
    assert run("--from", OURS) == {"dry_run": False, "moved": 25}
    target = DatabaseStore()
    for session in sessions:
        moved = target.load(session.record.sid)
        assert isinstance(moved, Loaded)
        assert (moved.record, moved.values) == (session.record, session.values)
    assert not store.records()


def test_on_the_way_back_it_says_who_has_not_come_yet(other: OtherEngine, store: Any) -> None:
    browser = other.browser(user=make_user())
    other.browser(put(a=1)).show(read)
    assert browser.user() == "ann"
    with override_settings(SESSION_ENGINE=other.path, SRVSESSION_MIGRATE_FROM=OURS):
        assert run("--from", OURS) == {"dry_run": False, "have_not_come_yet": 2, "signed_in": 1, "anonymous": 1}
        assert browser.copy().user() == "ann"
        assert say("--from", OURS).startswith("1 session has not come back yet.")


# Sessions come in batches of ten. After the second one the old store takes its time, until somebody presses Enter.
IN_BATCHES = """
import sys
import django
django.setup()
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command, execute_from_command_line
from django_srvsession.migrating import kinds

call_command("migrate", verbosity=0)
for number in range(45):
    session = SessionStore()
    session["number"] = number
    session.save()
kinds._KEYS_AT_ONCE = 10
walk = kinds.DatabaseSource.walk
def slowly(source):
    for number, key in enumerate(walk(source)):
        if number == 25:
            sys.stdin.readline()
        yield key
kinds.DatabaseSource.walk = slowly
execute_from_command_line(["manage.py", "migratesessions_srv", "--from", "django.contrib.sessions.backends.db"])
"""


def test_people_see_on_their_terminal_how_far_it_is_while_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    site = {
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}},
        "SESSION_ENGINE": ELSEWHERE,
        "SRVSESSION_MIGRATE_FROM": THEIRS,
        "SRVSESSION_MIGRATE_UNTIL": "2100-01-01",
        "SILENCED_SYSTEM_CHECKS": ["srvsession.W026"],
    }
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.site_settings", "SRVSESSION_TEST_SITE": json.dumps(site)}
    env |= {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1"}  # Each session is shown.
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (24, 80))  # It has no width at first, and a bar of no width shows nothing.
    pipe = subprocess.PIPE
    argv = [sys.executable, "-W", "ignore", "-c", IN_BATCHES]
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=its_end, text=True) as process:
        os.close(its_end)
        shown = ""
        while "25 sessions [" not in shown:  # A rate may be "203.25 sessions/s".
            assert select.select([terminal], [], [], patient(60))[0], shown
            shown += os.read(terminal, 4096).decode()
        counts = [int(number) for number in re.findall(r"(\d+) sessions \[", shown)]
        assert counts == sorted(counts) and len(set(counts)) > 5, shown
        assert min(counts) < 10 < 20 < max(counts), "of the first batch and of the third"
        assert process.poll() is None
        stdout, _ = process.communicate("\n", timeout=patient(60))
    os.close(terminal)
    assert process.returncode == 0
    assert stdout.startswith(f"Moved 45 sessions to {ELSEWHERE}. (")
