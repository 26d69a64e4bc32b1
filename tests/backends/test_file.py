"""The file store: the contract, and what it promises beyond it; hostile file systems are in ``test_file_faults``."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.file import FileStore
from django_srvsession.backends.file import directory as file_directory
from django_srvsession.backends.file import system as file_system
from django_srvsession.records import EXPIRED, TOUCH, Client, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import CorruptSessionError, CreateError, StoreUnavailableError, UpdateError
from django_srvsession.testing import StoreContract
from django_srvsession.testing.sessions import (
    create,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
)
from tests.patience import patient
from tests.trust import rounds


@pytest.fixture
def store(session_directory: Path) -> FileStore:
    """Make a file store in a directory of its own."""
    return FileStore()


class TestFileStore(StoreContract):
    """The contract."""


def path_of(directory: Path, sid: str) -> Path:
    return directory / sid[:2] / f"{sid}.json"


def modes_in(directory: Path) -> set[tuple[str, str]]:
    """Return the kinds and modes of all that is in a directory."""
    found = [directory, *directory.rglob("*")]
    return {("d" if path.is_dir() else "f", oct(stat.S_IMODE(path.lstat().st_mode))) for path in found}


class TestFiles:
    """What stands in the directory."""

    def test_a_session_is_readable_json(self, store: FileStore, session_directory: Path) -> None:
        client = Client("192.0.2.1", "agent")
        record = create(store, user_id="12", client=client, changed={"a": b"sealed"}).record
        content = json.loads(path_of(session_directory, record.sid).read_text())
        assert content["record"]["user_id"] == "12"
        assert content["record"]["client"] == {"ip": "192.0.2.1", "user_agent": "agent"}
        assert content["values"] == {"a": "c2VhbGVk"}

    def test_details_are_in_the_file_where_there_are_any(self, store: FileStore, session_directory: Path) -> None:
        record = create(store).record
        path = path_of(session_directory, record.sid)
        assert "details" not in path.read_text()
        store.update(record.sid, record.verifier, Delta(details=b"name"))
        assert json.loads(path.read_text())["record"]["details"] == "bmFtZQ=="

    @pytest.mark.parametrize("details", [1, None, ["bmFtZQ=="], "bmFtZQ", "%%%%", "Zm9v" * 400])
    def test_damaged_details_open_nothing(self, store: FileStore, session_directory: Path, details: Any) -> None:
        record = create(store, details=b"name").record
        path = path_of(session_directory, record.sid)
        content = json.loads(path.read_text())
        content["record"]["details"] = details
        path.write_text(json.dumps(content))
        with pytest.raises(CorruptSessionError):
            store.load(record.sid)

    def test_a_tombstone_takes_the_sessions_place(self, store: FileStore, session_directory: Path) -> None:
        record = create(store, user_id="12", changed={"a": b"sealed"}).record
        store.end(record.sid, Ending("revoked", by="admin"))
        content = json.loads(path_of(session_directory, record.sid).read_text())
        assert content["tombstone"]["reason"] == "revoked"
        assert "c2VhbGVk" not in path_of(session_directory, record.sid).read_text()
        assert list(session_directory.glob("users/??/[!.]*")) == []

    @pytest.mark.parametrize("umask", [0, 0o777], ids=oct)
    def test_modes_are_private_whatever_the_umask(self, tmp_path: Path, settings: Any, umask: int) -> None:
        settings.SESSION_FILE_PATH = str(tmp_path / "new")
        before = os.umask(umask)
        try:
            self._use(FileStore(), 3)
        finally:
            os.umask(before)
        assert modes_in(tmp_path / "new") == {("d", "0o700"), ("f", "0o600")}

    def test_modes_are_private_while_another_thread_changes_the_umask(self, tmp_path: Path, settings: Any) -> None:
        settings.SESSION_FILE_PATH = str(tmp_path / "new")
        with racing_umask():
            self._use(FileStore(), rounds(100))
        assert modes_in(tmp_path / "new") == {("d", "0o700"), ("f", "0o600")}

    def _use(self, store: FileStore, times: int) -> None:
        for _ in range(times):
            record = create(store, user_id=new_user()).record
            store.update(record.sid, record.verifier, Delta(changed={"a": b"a"}))
            assert record.user_id is not None
            store.admit(record.user_id, record.sid, 3, "end_oldest")
            store.end(create(store, user_id=record.user_id).record.sid, Ending("logout"))

    def test_no_descriptor_is_inherited_by_programs(self, store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        record, inheritable = create(store).record, []
        real = os.open

        def opened(*args: Any, **kwargs: Any) -> int:
            descriptor = real(*args, **kwargs)
            inheritable.append(bool(args[1] & os.O_CLOEXEC))
            return descriptor

        monkeypatch.setattr(os, "open", opened)
        store.update(record.sid, record.verifier, Delta(changed={"a": b"a"}))
        store.load(record.sid)
        store.end(record.sid, Ending("logout"))
        assert inheritable
        assert all(inheritable)

    def test_no_descriptor_stays_open(self, store: FileStore) -> None:
        self._use(store, 1)
        before = len(os.listdir("/proc/self/fd"))
        self._use(store, 3)
        for _ in range(3):
            with pytest.raises(UpdateError):
                store.update(new_sid(), new_verifier(), TOUCH)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_a_session_above_the_largest_size_is_refused_and_the_old_one_kept(self, store: FileStore) -> None:
        record = create(store, changed={"a": b"a"}).record
        before = snapshot(store, record.sid)
        with pytest.raises(ValueError, match="bytes"):
            store.update(record.sid, record.verifier, Delta(changed={"a": bytes(13_000_000)}))
        assert snapshot(store, record.sid) == before
        store.update(record.sid, record.verifier, Delta(changed={"a": bytes(12_000_000)}))
        assert stored(store, record.sid).values == {"a": bytes(12_000_000)}

    def test_a_lost_race_to_sign_in_leaves_no_mark(self, store: FileStore, session_directory: Path) -> None:
        record, other = create(store, user_id=new_user()).record, new_user()
        with pytest.raises(UpdateError):
            store.update(record.sid, record.verifier, Delta(user_id=other))
        assert len(list(session_directory.glob("users/??/*/*"))) == 1

    def test_a_failed_second_sign_in_leaves_the_mark_of_the_first(self, store: FileStore) -> None:
        user_id = new_user()
        record = create(store, user_id=user_id).record
        with pytest.raises(UpdateError):
            store.update(record.sid, new_verifier(), Delta(user_id=user_id))
        with pytest.raises(CreateError):
            store.create(record.sid, new_verifier(), new_delta(user_id=user_id))
        assert sids(store.records(user_id)) == [record.sid]


@contextmanager
def racing_umask() -> Iterator[None]:
    """Change the umask all the time, in another thread."""
    before, stopped = os.umask(0o022), threading.Event()

    def race() -> None:
        while not stopped.is_set():
            for umask in (0, 0o077, 0o777, 0o022):
                os.umask(umask)

    thread = threading.Thread(target=race)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        os.umask(before)


class TestDirectory:
    """Which directory will do, and what is known when it is not there."""

    def test_a_directory_must_be_named(self, settings: Any) -> None:
        settings.SESSION_FILE_PATH = None
        with pytest.raises(ImproperlyConfigured, match="SESSION_FILE_PATH"):
            FileStore()
        assert [message.id for message in FileStore.check(deploy=False)] == ["srvsession.E104"]

    @pytest.mark.parametrize("kind", ["readable by others", "a link", "a file", "somebody else's"])
    def test_a_directory_that_others_can_enter_is_refused(
        self, tmp_path: Path, settings: Any, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good, path = tmp_path / "good", tmp_path / "path"
        good.mkdir(mode=0o700)
        if kind == "readable by others":
            path.mkdir()
            path.chmod(0o750)
        elif kind == "a link":
            path.symlink_to(good)
        elif kind == "a file":
            path.write_text("")
        else:
            path.mkdir(mode=0o700)
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        settings.SESSION_FILE_PATH = str(path)
        for verb in (
            lambda: FileStore().load(new_sid()),
            lambda: create(FileStore()),
            lambda: FileStore().records("a"),
        ):
            with pytest.raises(ImproperlyConfigured, match="chmod 700"):
                verb()
        assert [message.id for message in FileStore.check(deploy=False)] == ["srvsession.E105"]
        assert list(good.iterdir()) == []

    def test_a_good_directory_passes_the_check(self, session_directory: Path, settings: Any) -> None:
        assert list(FileStore.check(deploy=False)) == list(FileStore.check(deploy=True)) == []
        settings.SESSION_FILE_PATH = session_directory / "to be made"  # A Path will do.
        assert list(FileStore.check(deploy=False)) == []

    def test_a_missing_directory_is_made_where_its_parent_is_there(self, tmp_path: Path, settings: Any) -> None:
        settings.SESSION_FILE_PATH = str(tmp_path / "sessions")
        record = create(FileStore()).record
        assert isinstance(FileStore().load(record.sid), Loaded)
        settings.SESSION_FILE_PATH = str(tmp_path / "not mounted" / "sessions")
        with pytest.raises(StoreUnavailableError):
            FileStore().load(record.sid)

    @pytest.mark.parametrize("what", ["removed", "replaced by an empty one"])
    def test_a_directory_that_goes_missing_is_an_outage_and_signs_nobody_out(
        self, store: FileStore, session_directory: Path, what: str
    ) -> None:
        record = create(store, user_id="1").record
        away = session_directory.with_name("away")
        session_directory.rename(away)
        if what == "replaced by an empty one":
            session_directory.mkdir(mode=0o700)
        for work in (
            lambda: store.load(record.sid),
            lambda: store.load(new_sid()),
            lambda: store.update(record.sid, record.verifier, TOUCH),
            lambda: store.update(record.sid, record.verifier, Delta(user_id="1")),
            lambda: store.end(record.sid, Ending("logout")),
            lambda: store.end(record.sid, EXPIRED),
            lambda: create(store),
            lambda: create(store, user_id="1"),
        ):
            with pytest.raises(StoreUnavailableError):
                work()
        if session_directory.exists():
            session_directory.rename(session_directory.with_name("empty"))
        away.rename(session_directory)
        assert stored(store, record.sid).record == record

    @pytest.mark.parametrize(
        "sid",
        ["", ".", "/", "../../../../etc/passwd", "..", "a" * 17, "a" * 19, "A" * 18, "a" * 17 + "\n", "a" * 18 + "\n",
         "a" * 17 + "\0", "0" * 16 + "/x", "\uff10" * 18, "g" * 18, "users/00/" + "0" * 18, "\ud800" * 18],
    )  # fmt: skip
    def test_what_is_no_sid_never_becomes_a_path(self, store: FileStore, session_directory: Path, sid: str) -> None:
        create(store)
        before = sorted(session_directory.rglob("*"))
        with pytest.raises(ValueError, match="hex"):
            store.create(sid, new_verifier(), new_delta(user_id="1"))
        assert store.load(sid) is None
        with pytest.raises(UpdateError):
            store.update(sid, new_verifier(), Delta(user_id="1"))
        assert store.end(sid, Ending("logout")) is None
        assert store.end(sid, EXPIRED) is None
        assert sorted(session_directory.rglob("*")) == before


class TestLocks:
    """Who waits for whom, and for how long."""

    @contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def test_a_writer_that_was_stopped_is_an_outage_for_its_neighbours_only(
        self, store: FileStore, session_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = create(store, changed={"a": b"a"}).record
        monkeypatch.setattr(FileStore, "lock_timeout_seconds", 0.05)
        impatient = FileStore()
        with self._held(session_directory / record.sid[:2] / ".lock"):
            for work in (
                lambda: impatient.update(record.sid, record.verifier, Delta(changed={"a": b"A"})),
                lambda: impatient.end(record.sid, Ending("logout")),
            ):
                with pytest.raises(StoreUnavailableError):
                    work()
            assert impatient.load(record.sid) is not None
            other = next(sid for sid in iter(new_sid, "") if sid[:2] != record.sid[:2])
            impatient.create(other, new_verifier(), new_delta())
        assert stored(store, record.sid).values == {"a": b"a"}
        assert impatient.end(record.sid, Ending("logout")) == record

    def test_ending_does_not_fail_because_the_users_lock_is_held(
        self, store: FileStore, session_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = create(store, user_id="1").record
        monkeypatch.setattr(FileStore, "lock_timeout_seconds", 0.05)
        [lock] = session_directory.glob("users/??/.lock")
        with self._held(lock):
            assert FileStore().end(record.sid, Ending("logout")) == record
            assert list(store.records("1")) == []
        assert len(list(session_directory.glob("users/??/*/*"))) == 1
        store.clear_expired()
        assert list(session_directory.glob("users/??/*/*")) == []

    def test_a_child_that_was_forked_meanwhile_holds_no_lock(self, session_directory: Path) -> None:
        path = str(session_directory / "lock")
        with file_system.locked(path, 1):
            [held] = [int(n) for n in os.listdir("/proc/self/fd") if _target(n) == path]
            copy = os.dup(held)  # What a fork would have kept open.
        try:
            with file_system.locked(path, 0.05):
                pass
        finally:
            os.close(copy)

    def test_who_waited_for_a_lock_that_was_tidied_away_locks_the_new_one(self, session_directory: Path) -> None:
        path = str(session_directory / "lock")
        is_inside, may_leave = threading.Event(), threading.Event()

        def wait_and_hold() -> None:
            with file_system.locked(path, patient(10)):
                is_inside.set()
                may_leave.wait(patient(10))

        waiting = threading.Thread(target=wait_and_hold)
        with file_system.locked(path, patient(10)):
            waiting.start()
            while [_target(n) for n in os.listdir("/proc/self/fd")].count(path) < 2:
                pass
            os.unlink(path)
        assert is_inside.wait(patient(10))
        with pytest.raises(TimeoutError), file_system.locked(path, 0.05):
            pass
        may_leave.set()
        waiting.join(patient(10))

    def test_a_session_that_is_extended_while_its_expiry_waits_for_the_lock_lives_on(
        self, store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = create(store).record
        real = file_directory.SessionDirectory.read_sound
        answers = [record._replace(expires_ms=0)]  # What stood there before the other request.

        def read(directory: Any, sid: str, now: int) -> Any:
            return Loaded(answers.pop(), {}, now) if answers else real(directory, sid, now)

        monkeypatch.setattr(file_directory.SessionDirectory, "read_sound", read)
        assert store.end(record.sid, EXPIRED) is None
        assert answers == []
        assert stored(store, record.sid).record == record


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


class TestClearing:
    """What ``clear_expired`` does beside ending sessions."""

    def test_temporary_files_of_killed_writers_are_removed(self, store: FileStore, session_directory: Path) -> None:
        record = create(store, user_id="1").record
        [marks] = session_directory.glob("users/??/[!.]*")
        left = [path_of(session_directory, record.sid).with_suffix(".json.0011223344556677.tmp"), marks / "a.1.tmp"]
        for path in left:
            path.write_text("{")
        store.clear_expired()
        assert not any(path.exists() for path in left)
        assert sids(store.records("1")) == [record.sid]

    def test_a_writer_at_work_keeps_its_temporary_file(self, store: FileStore, session_directory: Path) -> None:
        record = create(store).record
        shard = session_directory / record.sid[:2]
        temporary = shard / "x.json.0.tmp"
        with file_system.locked(str(shard / ".lock"), 1):
            temporary.write_text("{")
            clearing = threading.Thread(target=store.clear_expired)
            clearing.start()
            clearing.join(0.1)
            assert clearing.is_alive()
            assert temporary.exists()
            temporary.rename(shard / "x.json")
        clearing.join(patient(10))
        assert (shard / "x.json").exists()

    def test_marks_without_a_session_are_removed(self, store: FileStore, session_directory: Path) -> None:
        live, ended = (create(store, user_id="1").record for _ in range(2))
        gone = create(store, user_id="2").record
        marks = {path.name: path for path in session_directory.glob("users/??/*/*")}
        store.end(ended.sid, Ending("logout"))
        marks[ended.sid].touch()
        path_of(session_directory, gone.sid).unlink()
        store.clear_expired()
        assert [path.name for path in session_directory.glob("users/??/*/*")] == [live.sid]
        assert len(list(session_directory.glob("users/??/[!.]*"))) == 1

    def test_old_tombstones_leave_no_file(self, store: FileStore, session_directory: Path, settings: Any) -> None:
        settings.SRVSESSION_ENDED_KEEP = 0
        for record in (create(store).record, create(store, user_id="1").record):
            store.end(record.sid, Ending("logout"))
        create(store, lifetime_ms=0)
        assert store.clear_expired() == 1
        store.clear_expired()
        assert list(session_directory.glob("??/*.json")) == []

    def test_files_that_are_not_ours_are_left_alone(self, store: FileStore, session_directory: Path) -> None:
        record = create(store).record
        shard = session_directory / record.sid[:2]
        foreign = [
            shard / "notes.txt",
            shard / f"{new_sid()}.json",
            shard / f"{new_sid()}.json~",
            session_directory / "a",
        ]
        for path in foreign:
            path.write_text("hello")
            os.utime(path, (0, 0))
        (session_directory / "zz").mkdir()
        assert store.clear_expired() == 0
        assert store.clear_expired(dry_run=True) == 0
        assert all(path.read_text() == "hello" for path in foreign)
        assert sids(store.records()) == [record.sid]

    def test_a_session_that_vanishes_meanwhile_is_passed_over(
        self, store: FileStore, session_directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        due = [create(store, lifetime_ms=0).record.sid for _ in range(4)]
        real = file_directory.SessionDirectory.due

        def vanishing(directory: Any, shard: str, now: int) -> list[str]:
            found = real(directory, shard, now)
            for sid in found:
                if sid in due[:2]:
                    path_of(session_directory, sid).unlink()
            return found

        monkeypatch.setattr(file_directory.SessionDirectory, "due", vanishing)
        assert store.clear_expired() == 2


class TestProcesses:
    """What several processes may do to each other."""

    def test_killed_writers_lose_and_leave_nothing(self, tmp_path: Path) -> None:
        report = _run("tests.backends.kill_writers", str(tmp_path / "sessions"), str(rounds(1000)))
        assert report.pop("counted") > 0
        assert report.pop("leftovers while killing") > 0, "no kill hit a writer at work: the test proves nothing"
        assert report == {
            "lost": [],
            "corrupt": 0,
            "leftovers after clearing": 0,
            "live but not listed": 0,
            "listed but not live": 0,
        }

    def test_a_session_ended_in_one_process_is_ended_in_all(self, store: FileStore, session_directory: Path) -> None:
        code = (
            "import os, sys, django; from django.conf import settings\n"
            "settings.configure(SESSION_FILE_PATH=sys.argv[1]); django.setup()\n"
            "from django_srvsession.backends.file import FileStore; from django_srvsession.records import Delta\n"
            "from django_srvsession.store import UpdateError\n"
            "store, sid, verifier, count = FileStore(), *sys.argv[2:4], 0\n"
            "print('ready', flush=True)\n"
            "try:\n"
            "    while True:\n"
            "        count += 1\n"
            "        store.update(sid, verifier, Delta(changed={str(os.getpid()): b'%d' % count}))\n"
            "except UpdateError:\n"
            "    print(count)\n"
        )
        record = create(store, user_id="1").record
        command = [sys.executable, "-c", code, str(session_directory), record.sid, record.verifier]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        before = stored(store, record.sid).values
        while stored(store, record.sid).values == before:
            pass
        assert store.end(record.sid, Ending("logout")) is not None
        counts = [int(writer.communicate(timeout=patient(20))[0]) for writer in writers]
        assert all(count >= 1 for count in counts)
        assert isinstance(store.load(record.sid), Tombstone)
        assert list(store.records("1")) == []


def _run(module: str, *arguments: str) -> dict[str, Any]:
    """Run a program of the tests, and return what it reports."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
