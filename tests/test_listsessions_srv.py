"""``manage.py listsessions_srv``, on every store."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.engine import current_store
from django_srvsession.engine.registry import using_store
from django_srvsession.records import Client
from django_srvsession.testing.sessions import create, in_threads, make_due, new_user, touch_later
from tests.databases import lent
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import later_fixture, memory_store_fixture  # noqa: F401 - used as fixtures
from tests.patience import patient
from tests.runs import ROOT

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def run(*arguments: str) -> str:
    stdout = io.StringIO()
    call_command("listsessions_srv", *arguments, stdout=stdout)
    return stdout.getvalue()


def listed(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("--json", *arguments).splitlines()]


def sids_of(*arguments: str) -> list[str]:
    return [line["sid"] for line in listed(*arguments)]


def new_person(name: str) -> Any:
    return get_user_model().objects.create_user(name, f"{name}@example.com", "secret")


def test_people_devices_and_addresses_are_shown_on_every_store_and_no_verifier(every_store: str) -> None:
    store, ann = current_store(), new_person("ann")
    session = create(store, user_id=str(ann.pk), client=Client("192.0.2.7", FIREFOX))
    text, (line,) = run(), listed()
    head, row = text.splitlines()
    assert re.split(r"  +", head) == ["SID", "USER", "DEVICE", "ADDRESS", "STARTED", "LAST ACTIVE", "EXPIRES"]
    assert re.split(r"  +", row)[:4] == [session.record.sid, "ann", "Firefox on Linux", "192.0.2.7"]
    assert (line["sid"], line["user"], line["user_id"]) == (session.record.sid, "ann", str(ann.pk))
    assert line["last_seen_at"] == session.record.last_seen_at.isoformat()
    assert session.record.verifier not in text + json.dumps(line)


def test_conditions_choose_and_newest_activity_comes_first(every_store: str) -> None:
    store, ann = current_store(), new_person("ann")
    of_ann = create(store, user_id=str(ann.pk)).record.sid
    foreign_id = new_user()
    foreign = create(store, user_id=foreign_id).record.sid
    anonymous = create(store)
    make_due(store, create(store))
    touch_later(store, anonymous)
    assert sids_of()[0] == anonymous.record.sid
    assert set(sids_of()) == {of_ann, foreign, anonymous.record.sid}
    assert sids_of("--user", "ann") == sids_of("--user", "ann@example.com") == [of_ann]
    assert sids_of("--user-id", foreign_id) == [foreign]
    assert sids_of("--anonymous") == [anonymous.record.sid]
    assert set(sids_of("--signed-in")) == {of_ann, foreign}
    assert set(sids_of("--active", "5m")) == {of_ann, foreign, anonymous.record.sid}
    assert sids_of("--inactive", "5m") == []
    assert sids_of("--limit", "1") == [anonymous.record.sid]


def test_inactive_ones_are_those_unseen_for_so_long(store: Any, later: list[int]) -> None:
    old = create(store).record.sid
    later[0] = 600_000
    new = create(store).record.sid
    assert sids_of("--inactive", "5m") == [old]
    assert sids_of("--active", "5m") == [new]
    assert set(sids_of("--active", "11m")) == {old, new}


def test_a_cut_list_says_so_and_an_empty_one_too(store: Any) -> None:
    assert run() == "There is no such session.\n"
    assert run("--json") == ""
    for _ in range(3):
        create(store)
    assert run("--limit", "2").endswith("There are more than these 2: --limit 0 lists all.\n")
    assert len(run("--limit", "3").splitlines()) == 4


def test_portions_make_one_table(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_srvsession.management.commands.listsessions_srv._PORTION", 2)
    for _ in range(5):
        create(store)
    lines = run("--limit", "0").splitlines()
    assert [line.startswith("SID") for line in lines] == [True, *[False] * 5]


def test_what_a_browser_sends_cannot_command_the_terminal(store: Any) -> None:
    create(store, client=Client("\x1b[2J", "\x1b]0;x\x07" + FIREFOX))
    assert not set(run()) & set("\x1b\x07")
    assert r"\x1b[2J" in run()


@pytest.mark.django_db
def test_a_user_who_does_not_exist_is_named(store: Any) -> None:
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        run("--user", "nobody")


@pytest.mark.django_db
def test_an_address_that_several_users_have_is_refused(store: Any) -> None:
    for name in ("ann", "bob"):
        get_user_model().objects.create_user(name, "same@example.com")
    with pytest.raises(CommandError, match=r"Several users have the email 'same@example\.com'"):
        run("--user", "same@example.com")


@pytest.mark.parametrize("age", ["5", "m", "5 minutes", "-5m", "1.5h", ""])
def test_what_is_no_duration_is_refused_with_an_example(store: Any, age: str) -> None:
    with pytest.raises(CommandError, match="such as 90s, 5m or 30d"):
        run(f"--active={age}")


def test_an_engine_that_is_not_ours_is_named(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    with pytest.raises(CommandError, match=r"SESSION_ENGINE is 'django\.contrib"):
        run()


def elsewhere(function: Callable[[], Any]) -> Any:
    """Call a function in another thread, as a request beside a command."""
    (outcome,) = in_threads([function], connections.close_all)
    return outcome


@pytest.mark.parametrize("every_store", ["sqlite"], indirect=True)
def test_another_database_may_be_named_and_no_other_thread_sees_it(
    every_store: str, request: pytest.FixtureRequest
) -> None:
    store = current_store()
    here = create(store).record.sid
    with lent("postgresql", request) as alias:
        there = create(DatabaseStore(alias)).record.sid
        assert sids_of() == [here]
        assert sids_of("--database", alias) == [there]
        assert sids_of() == [here]
        with using_store(DatabaseStore(alias)):
            assert elsewhere(sids_of) == [here]
        with pytest.raises(CommandError, match="no database 'nowhere'"):
            run("--database", "nowhere")


def test_a_database_is_named_for_the_database_engine_only(store: Any) -> None:
    with pytest.raises(CommandError, match="--database is for the database engine"):
        run("--database", "default")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    script = (
        "import sys; from django_srvsession.management.commands.listsessions_srv import Command\n"
        "Command.work = lambda self, **options: [self.stdout.write('x' * 1000) for _ in range(10_000)]\n"
        "from django.core.management import execute_from_command_line as run; run(['manage.py', 'listsessions_srv'])"
    )
    env = {**os.environ, "SRVSESSION_DEMO_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "example_project.settings"}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env, stdout=pipe, stderr=pipe)
    assert process.stdout and process.stderr
    process.stdout.read(1)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(patient(60))) == (b"", 141)
