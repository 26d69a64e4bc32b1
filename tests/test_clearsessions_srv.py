"""``manage.py clearsessions_srv``, and Django's own ``clearsessions``."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

from django_srvsession import services
from django_srvsession.management.commands.clearsessions_srv import Command
from django_srvsession.records import Tombstone
from django_srvsession.signals import session_ended
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.testing.sessions import create, make_due, sids
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.patience import patient
from tests.runs import ROOT
from tests.servers import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


class Terminal(io.StringIO):
    """What somebody watches."""

    def isatty(self) -> bool:
        return True


def expired(store: Store, count: int) -> list[str]:
    return [make_due(store, create(store)).record.sid for _ in range(count)]


def run(*arguments: str, **options: Any) -> str:
    stdout = io.StringIO()
    call_command("clearsessions_srv", *arguments, stdout=stdout, **options)
    return stdout.getvalue()


def test_expired_sessions_end_and_live_ones_stay(store: Store) -> None:
    live, due = create(store), expired(store, 3)
    assert re.fullmatch(r"Ended 3 expired sessions\. \(\d+\.\d\d s\)\n", run())
    assert sids(services.live_sessions()) == [live.record.sid]
    assert all(isinstance(store.load(sid), Tombstone) for sid in due)
    assert run().startswith("Ended 0 expired sessions. ")


def test_one_session_is_counted_as_one(store: Store) -> None:
    expired(store, 1)
    assert run().startswith("Ended 1 expired session. ")


def test_each_ended_session_is_told_once(store: Store) -> None:
    due, told = expired(store, 3), []

    def hear(*, record: Any, reason: str, by: Any, **kwargs: Any) -> None:
        told.append((record.sid, reason, by))

    session_ended.connect(hear)
    try:
        run("--batch-size=2")
        run()
    finally:
        session_ended.disconnect(hear)
    assert sorted(told) == sorted((sid, "expired_lifetime", None) for sid in due)


def test_a_dry_run_counts_and_changes_nothing(store: Store) -> None:
    due = expired(store, 3)
    assert run("--dry-run").startswith("3 expired sessions would be ended. ")
    assert not any(isinstance(store.load(sid), Tombstone) for sid in due)
    assert run().startswith("Ended 3 expired sessions. ")


def test_the_batch_size_reaches_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def clear_expired(self: Store, **options: Any) -> int:
        seen.update(options)
        return 0

    monkeypatch.setattr(type(store), "clear_expired", clear_expired)
    run("--batch-size=7", "--dry-run")
    assert (seen["batch_size"], seen["dry_run"]) == (7, True)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_no_sessions_is_refused(store: Store, size: int) -> None:
    due = expired(store, 1)
    with pytest.raises(CommandError, match=f"--batch-size is {size}; it must be 1 or more"):
        run(batch_size=size)
    assert not isinstance(store.load(due[0]), Tombstone)


@pytest.mark.parametrize("size", ["many", "1.5", ""])
def test_a_batch_size_that_is_no_number_is_refused(size: str) -> None:
    with pytest.raises(CommandError, match="--batch-size"):
        run(f"--batch-size={size}")


def test_a_terminal_shows_progress_and_keeps_nothing_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expired(store, 5)
    monkeypatch.setattr("sys.stderr", watched := Terminal())
    assert re.fullmatch(r"Ended 5 expired sessions\. \(\d+\.\d\d s\)\n", run("--batch-size=2"))
    assert "0 sessions" in watched.getvalue()
    assert "\n" not in watched.getvalue()
    assert watched.getvalue().endswith(" \r")


def test_a_log_file_gets_no_progress(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expired(store, 5)
    monkeypatch.setattr("sys.stderr", logged := io.StringIO())
    run("--batch-size=2")
    assert logged.getvalue() == ""


def test_verbosity_zero_says_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expired(store, 1)
    monkeypatch.setattr("sys.stderr", watched := Terminal())
    assert run("--verbosity=0") + watched.getvalue() == ""


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "django.contrib.sessions.backends.file"])
def test_an_engine_that_is_not_ours_is_named(settings: Any, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    with pytest.raises(CommandError, match=re.escape(f"SESSION_ENGINE is '{engine}'")):
        run()


def test_a_store_that_stops_answering_is_an_error_that_says_what_was_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store), "clear_expired", broken_after(2, StoreUnavailableError("gone fishing")))
    with pytest.raises(CommandError, match=r"did not answer: gone fishing Ended 2 expired sessions\. It is safe"):
        run()


def broken_after(count: int, error: BaseException) -> Any:
    def clear_expired(self: Store, *, on_progress: Any, **options: Any) -> int:
        on_progress(count)
        raise error

    return clear_expired


def test_an_interruption_says_what_was_done_and_exits_as_shells_expect(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store), "clear_expired", broken_after(2, KeyboardInterrupt()))
    stderr = io.StringIO()
    with pytest.raises(SystemExit) as ending:
        run(stderr=stderr)
    assert ending.value.code == 130
    assert "Interrupted. Ended 2 expired sessions.\n" in stderr.getvalue()


def test_djangos_own_command_ends_them_too(store: Store) -> None:
    live, due = create(store), expired(store, 3)
    call_command("clearsessions")
    assert sids(services.live_sessions()) == [live.record.sid]
    assert all(isinstance(store.load(sid), Tombstone) for sid in due)


def test_the_help_says_when_to_run_it_and_what_the_exit_status_means() -> None:
    text = Command().create_parser("manage.py", "clearsessions_srv").format_help()
    assert "Run it regularly" in text
    assert "Exit status: 0" in text
    assert "--dry-run" in text
    assert "--batch-size" in text


# In a process, as cron and people run it.

# A store that takes its time: the command is under way until it is interrupted.
SLOW = """
import sys, time
from django_srvsession.backends.file import FileStore
def clear_expired(self, *, on_progress, **options):
    on_progress(2)
    print("under way", flush=True)
    time.sleep(60)
FileStore.clear_expired = clear_expired
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "clearsessions_srv"])
"""


def start(directory: Path, *argv: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "SRVSESSION_DEMO_DATA": str(directory), "SRVSESSION_DEMO_ENGINE": "file", **environment}
    env["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *argv], cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)


def test_the_exit_status_is_0_when_all_are_ended(tmp_path: Path) -> None:
    start(tmp_path, "manage.py", "migrate", "--verbosity=0").communicate(timeout=patient(60))  # The demo keeps events.
    process = start(tmp_path, "manage.py", "clearsessions_srv")
    stdout, stderr = process.communicate(timeout=patient(60))
    assert (process.returncode, stderr) == (0, "")
    assert stdout.startswith("Ended 0 expired sessions. ")


def test_the_exit_status_is_1_and_the_remedy_is_named_when_the_database_was_not_migrated(tmp_path: Path) -> None:
    process = start(tmp_path, "manage.py", "clearsessions_srv", SRVSESSION_DEMO_ENGINE="db")
    stdout, stderr = process.communicate(timeout=patient(60))
    assert (process.returncode, stdout) == (1, "")
    assert stderr.startswith("CommandError: The database refused: no such table")
    assert "migrate" in stderr
    assert "Traceback" not in stderr


def test_the_exit_status_is_1_when_the_store_does_not_answer(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    process = start(
        tmp_path,
        "manage.py",
        "clearsessions_srv",
        SRVSESSION_DEMO_ENGINE="redis",
        SRVSESSION_DEMO_REDIS=nowhere,
    )
    stdout, stderr = process.communicate(timeout=patient(60))
    assert (process.returncode, stdout) == (1, "")
    assert stderr.startswith("CommandError: The session store did not answer: ")
    assert "Traceback" not in stderr


def test_control_c_leaves_with_130_and_a_count(tmp_path: Path) -> None:
    process = start(tmp_path, "-c", SLOW)
    assert process.stdout
    assert process.stdout.readline() == "under way\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=patient(60))
    assert process.returncode == 130
    assert stderr == "\nInterrupted. Ended 2 expired sessions.\n"


@pytest.mark.usefixtures("after_the_first_minute")
def test_sessions_of_users_whom_sql_deactivated_or_deleted_end_and_others_stay(store: Store) -> None:
    users = get_user_model().objects.bulk_create(get_user_model()(username=name) for name in ("ann", "bob", "cid"))
    ann, bob, cid = (create(store, user_id=str(user.pk)).record.sid for user in users)
    anonymous, foreign = create(store).record.sid, create(store, user_id="of another user model").record.sid
    get_user_model().objects.filter(username="bob").update(is_active=False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE username = 'cid'")
    assert "2 sessions of deleted or deactivated users would be ended." in run("--dry-run")
    assert set(sids(services.live_sessions())) == {ann, bob, cid, anonymous, foreign}
    assert "Ended 2 sessions of deleted or deactivated users." in run("--batch-size", "1")
    assert set(sids(services.live_sessions())) == {ann, anonymous, foreign}
    reasons = {sid: store.load(sid).reason for sid in (bob, cid)}  # type: ignore[union-attr]
    assert reasons == {bob: "user_deactivated", cid: "user_deleted"}
