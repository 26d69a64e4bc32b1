"""The file store on a hostile file system: planted and damaged files, full disks, errors at every system call."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from django_srvsession.backends.file import FileStore
from django_srvsession.backends.file import system as file_system
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import CorruptSessionError, CreateError, StoreUnavailableError, UpdateError
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
from tests.backends.faults import FaultyOS, calls_of, faulty
from tests.backends.test_file import path_of


@pytest.fixture
def store(session_directory: Path) -> FileStore:
    """Make a file store in a directory of its own."""
    return FileStore()


ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE]


def plant(kind: str, path: Path, genuine: Path) -> None:
    """Put something that is no session file of ours where one would be."""
    if kind == "symlink":
        path.symlink_to(genuine)
    elif kind == "dangling symlink":
        path.symlink_to(genuine.with_name("nowhere"))
    elif kind == "hard link":
        os.link(genuine, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    elif kind == "too large":
        path.touch()
        os.truncate(path, file_system.MAX_FILE_BYTES + 1)
    else:
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: reading it would never end.
        except PermissionError:
            pytest.skip("only root can make a device")


KINDS = ["symlink", "dangling symlink", "hard link", "fifo", "directory", "socket", "too large", "device"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_planted_is_no_session_and_hangs_nobody(store: FileStore, session_directory: Path, kind: str) -> None:
    genuine = create(store, user_id="1", changed={"a": b"a"}).record
    sid = genuine.sid[:2] + new_sid()[2:]
    path = path_of(session_directory, sid)
    plant(kind, path, path_of(session_directory, genuine.sid))
    before = path.lstat()
    with pytest.raises(CorruptSessionError):
        store.load(sid)
    with pytest.raises(UpdateError):
        store.update(sid, genuine.verifier, TOUCH)
    with pytest.raises(UpdateError):
        store.update(sid, genuine.verifier, Delta(user_id="1", new_verifier=new_verifier()))
    with pytest.raises(CreateError):
        store.create(sid, genuine.verifier, new_delta(user_id="1"))
    assert store.end(sid, Ending("logout")) is None
    assert store.end(sid, EXPIRED) is None
    store.clear_expired()
    assert path.lstat().st_ino == before.st_ino
    assert sids(store.records()) == sids(store.records("1")) == [genuine.sid]


def test_a_file_above_the_largest_size_is_no_session_and_is_not_read(store: FileStore, session_directory: Path) -> None:
    record = create(store).record
    with path_of(session_directory, record.sid).open("ab") as file:
        file.write(b" " * file_system.MAX_FILE_BYTES)
    with faulty(FaultyOS()) as fake, pytest.raises(CorruptSessionError):
        store.load(record.sid)
    assert "read" not in fake.made


def test_a_session_file_of_another_owner_is_no_session(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = create(store).record
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(CorruptSessionError):
        store.load(record.sid)


class TestDamage:
    """Files that are not what was written."""

    def test_a_file_that_was_cut_short_is_no_session(self, store: FileStore, session_directory: Path) -> None:
        record = create(store, user_id="1", changed={"a": b"a"}).record
        path = path_of(session_directory, record.sid)
        data = path.read_bytes()
        for length in range(1, len(data) - 1):
            path.write_bytes(data[:length])
            with pytest.raises(CorruptSessionError):
                store.load(record.sid)

    def test_a_file_with_one_wrong_byte_is_a_session_or_none_and_nothing_worse(
        self, store: FileStore, session_directory: Path
    ) -> None:
        record = create(store, user_id="1", changed={"a": b"a"}).record
        path = path_of(session_directory, record.sid)
        data = path.read_bytes()
        for place in range(len(data)):
            for byte in (b"\0", b"\xff", b"9", b'"', b"}", b"\n"):
                path.write_bytes(data[:place] + byte + data[place + 1 :])
                try:
                    assert isinstance(store.load(record.sid), Loaded)
                except CorruptSessionError:
                    continue

    @pytest.mark.parametrize(
        "text",
        ["{", "[]", "null", "1", '"a"', "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "record": null}',
         '{"format": 1, "tombstone": {}}', '{"format": 1, "record": {}, "values": {}}', "[" * 100_000,
         '{"format": 1, "tombstone": []}', "9" * 5000, "\xff", "{\"format\": NaN}"],
        ids=lambda text: text[:45],
    )  # fmt: skip
    def test_other_text_is_no_session(self, store: FileStore, session_directory: Path, text: str) -> None:
        record = create(store).record
        path_of(session_directory, record.sid).write_text(text)
        with pytest.raises(CorruptSessionError):
            store.load(record.sid)

    def test_what_a_later_version_has_added_is_passed_over(self, store: FileStore, session_directory: Path) -> None:
        session = create(store, user_id="1", changed={"a": b"a"})
        path = path_of(session_directory, session.record.sid)
        text = (
            path.read_text().replace('"format": 1', '"format": 2').replace('"version": 1', '"version": 1, "newer": 1')
        )
        path.write_text(text)
        found = store.load(session.record.sid)
        assert isinstance(found, Loaded)
        assert (found.record, found.values) == (session.record, session.values)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"format": 1', '"format": 0'),
            ('"format": 1', '"format": "1"'),
            ('"version": 1', '"version": "1"'),
            ('"version": 1', '"version": 1.0'),
            ('"version": 1', '"version": true'),
            ('"user_id": "1"', '"user_id": 1'),
            ('"rotation_final": true', '"rotation_final": 1'),
            ('"client": {"ip"', '"client": {"address"'),
            ('"YQ=="', '"YQ="'),
            ('"YQ=="', '"Y Q=="'),
            ('"YQ=="', "5"),
            ('"YQ=="', "null"),
            ('{"a": "YQ=="}', '["a"]'),
        ],
    )
    def test_a_field_of_another_name_or_type_is_no_session(
        self, store: FileStore, session_directory: Path, old: str, new: str
    ) -> None:
        record = create(store, user_id="1", changed={"a": b"a"}).record
        path = path_of(session_directory, record.sid)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(CorruptSessionError):
            store.load(record.sid)

    def test_the_file_of_one_session_is_not_another(self, store: FileStore, session_directory: Path) -> None:
        record, sid = create(store).record, new_sid()
        live = path_of(session_directory, record.sid).read_bytes()
        store.end(record.sid, Ending("logout"))
        for data in (live, path_of(session_directory, record.sid).read_bytes()):
            path_of(session_directory, sid).parent.mkdir(exist_ok=True)
            path_of(session_directory, sid).write_bytes(data)
            with pytest.raises(CorruptSessionError):
                store.load(sid)

    def test_an_empty_file_is_an_expiry_that_met_a_power_failure(
        self, store: FileStore, session_directory: Path
    ) -> None:
        record = create(store, user_id="1").record
        path = path_of(session_directory, record.sid)
        path.write_bytes(b"")
        assert store.load(record.sid) is None
        with pytest.raises(UpdateError):
            store.update(record.sid, record.verifier, TOUCH)
        os.utime(path, (0, 0))
        assert store.clear_expired() == 0
        assert not path.exists()

    def test_no_error_text_holds_a_verifier_or_a_value(self, store: FileStore, session_directory: Path) -> None:
        record = create(store, changed={"a": b"a"}).record
        path_of(session_directory, record.sid).write_text(record.verifier)
        with pytest.raises(CorruptSessionError) as caught:
            store.load(record.sid)
        assert record.verifier not in str(caught.value)


# Errors at each system call.


class Scenario:
    """A session of a user, and a verb that is about to act on it."""

    def __init__(self, store: FileStore) -> None:
        self.store = store
        self.user_id = new_user()
        self.session = create(store, user_id=self.user_id, changed={"a": b"old"})
        self.sid, self.verifier = self.session.record.sid, self.session.record.verifier
        self.other = new_sid()
        self.anonymous = create(store).record

    def load(self) -> object:
        return self.store.load(self.sid)

    def create(self) -> object:
        return self.store.create(self.other, self.verifier, new_delta(user_id=self.user_id, changed={"a": b"new"}))

    def update(self) -> object:
        return self.store.update(self.sid, self.verifier, Delta(changed={"a": b"new"}))

    def rotate(self) -> object:
        return self.store.update(self.sid, self.verifier, Delta(changed={"a": b"new"}, new_verifier=new_verifier()))

    def bind(self) -> object:
        return self.store.update(self.anonymous.sid, self.anonymous.verifier, Delta(user_id=self.user_id))

    def end(self) -> object:
        return self.store.end(self.sid, Ending("logout"))

    def admit(self) -> object:
        return self.store.admit(self.user_id, self.sid, 3, "end_oldest")

    def records(self) -> object:
        return list(self.store.records(self.user_id))


VERBS: list[Callable[[Scenario], object]] = [
    Scenario.load, Scenario.create, Scenario.update, Scenario.rotate, Scenario.bind, Scenario.end, Scenario.admit,
    Scenario.records,
]  # fmt: skip


def failures(
    store: FileStore, verb: Callable[[Scenario], object], error: int
) -> Iterator[tuple[Scenario, str, object]]:
    """Run a verb with the error at its first system call, then at its second, and so on; yield what came of it."""
    for number, name in enumerate(calls_of(partial(verb, Scenario(store)))):
        scenario = Scenario(store)
        descriptors = len(os.listdir("/proc/self/fd"))
        result: object
        with faulty(FaultyOS(number, error)):
            try:
                result = verb(scenario)
            except StoreUnavailableError as outage:
                result = outage
        assert len(os.listdir("/proc/self/fd")) == descriptors, f"a descriptor stays open when {name} fails"
        yield scenario, name, result


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_an_error_at_any_system_call_leaves_the_old_or_the_new_and_is_told(
    store: FileStore, session_directory: Path, verb: Callable[[Scenario], object], error: int
) -> None:
    outages = 0
    for scenario, name, result in failures(store, verb, error):
        outages += isinstance(result, StoreUnavailableError)
        failed = isinstance(result, StoreUnavailableError)
        CHECKS[verb.__name__](scenario, failed, result, name)
        listed = set(sids(store.records(scenario.user_id)))
        live = {record.sid for record in store.records() if record.user_id == scenario.user_id}
        assert listed == live, f"a session that opens is not listed after {name} failed"
        assert list(session_directory.rglob("*.tmp")) == []
    assert outages > 0


def check_load(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    assert failed or (isinstance(result, Loaded) and result.values == {"a": b"old"}), f"{name} made it gone"


def check_create(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    found = scenario.store.load(scenario.other)
    assert found is None or (isinstance(found, Loaded) and found.values == {"a": b"new"})
    assert failed or found is not None, f"{name} failed and nobody knows"
    again = scenario.create()  # Whether it had been done or not.
    assert isinstance(again, Loaded)


def check_update(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    record, values = snapshot(scenario.store, scenario.sid)
    assert values in ({"a": b"old"}, {"a": b"new"})
    if values == {"a": b"old"}:
        assert record == scenario.session.record
        assert failed, f"{name} failed and nobody knows"
    assert isinstance(scenario.update(), Loaded)


def check_rotate(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    record, values = snapshot(scenario.store, scenario.sid)
    is_old = (record, values) == (scenario.session.record, {"a": b"old"})
    is_new = (record.previous_verifier, values) == (scenario.verifier, {"a": b"new"})
    assert is_old or is_new
    assert failed or is_new, f"{name} failed and nobody knows"


def check_bind(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    record = stored(scenario.store, scenario.anonymous.sid).record
    assert record.user_id in (None, scenario.user_id)
    assert failed or record.user_id == scenario.user_id, f"{name} failed and nobody knows"


def check_end(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    found = scenario.store.load(scenario.sid)
    if failed:
        assert isinstance(found, Loaded | Tombstone)
        scenario.store.end(scenario.sid, Ending("logout"))
        found = scenario.store.load(scenario.sid)
    else:
        assert result == scenario.session.record
    assert found is None or isinstance(found, Tombstone), f"{name} failed and the session lives on"
    with pytest.raises(UpdateError):
        scenario.update()


def check_admit(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    assert failed or result == []
    assert scenario.admit() == []


def check_records(scenario: Scenario, failed: bool, result: object, name: str) -> None:
    assert failed or result == [scenario.session.record], f"{name} hid a session"


CHECKS: dict[str, Callable[[Scenario, bool, object, str], None]] = {
    "load": check_load,
    "create": check_create,
    "update": check_update,
    "rotate": check_rotate,
    "bind": check_bind,
    "end": check_end,
    "admit": check_admit,
    "records": check_records,
}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["write", "fsync", "rename"])
def test_people_can_log_out_on_a_full_disk(store: FileStore, error: int, name: str) -> None:
    scenario = Scenario(store)
    number = calls_of(Scenario(store).end).index(name)
    with faulty(FaultyOS(number, error)):
        assert scenario.end() == scenario.session.record
    assert store.load(scenario.sid) is None
    with pytest.raises(UpdateError):
        scenario.update()


def test_short_writes_are_continued(store: FileStore) -> None:
    value = os.urandom(5000)
    with faulty(FaultyOS(write_at_most=7)) as fake:
        record = create(store, user_id="1", changed={"a": value}).record
    assert fake.made.count("write") > 500
    assert stored(store, record.sid).values == {"a": value}


def test_a_file_that_takes_no_more_bytes_is_an_outage(store: FileStore) -> None:
    scenario = Scenario(store)
    with faulty(FaultyOS(write_at_most=0)), pytest.raises(StoreUnavailableError):
        scenario.update()
    assert stored(store, scenario.sid).values == {"a": b"old"}


def test_a_write_is_on_the_disk_before_it_takes_the_old_ones_place(store: FileStore) -> None:
    scenario = Scenario(store)
    for verb in (scenario.update, scenario.rotate, scenario.create):
        made = [name for name in calls_of(verb) if name in ("write", "fsync", "rename")]
        assert made[-4:] == ["write", "fsync", "rename", "fsync"], "content, then name"
    scenario = Scenario(store)
    made = [name for name in calls_of(scenario.end) if name in ("write", "fsync", "rename")]
    assert made[:4] == ["write", "fsync", "rename", "fsync"]


@pytest.fixture
def tiny_disk(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Mount a file system of 256 kB, with the session directory on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    settings.SESSION_FILE_PATH = str(disk / "sessions")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_on_a_disk_that_is_really_full_nothing_is_lost_and_people_can_log_out(tiny_disk: Path) -> None:
    store = FileStore()
    scenario = Scenario(store)
    filler = tiny_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1_000_000))
    for verb in (scenario.update, scenario.rotate, scenario.create):
        with pytest.raises(StoreUnavailableError):
            verb()
    assert snapshot(store, scenario.sid) == (scenario.session.record, {"a": b"old"})
    assert sids(store.records(scenario.user_id)) == [scenario.sid]
    assert store.end(scenario.sid, Ending("logout")) == scenario.session.record
    assert store.load(scenario.sid) is None
    filler.unlink()
    assert isinstance(scenario.create(), Loaded)
    assert list(tiny_disk.rglob("*.tmp")) == []
