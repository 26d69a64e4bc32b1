"""Kill writers of session files at random moments, and look at what they left; prints what was found, as JSON.

Run as a program: ``python -m tests.backends.kill_writers <directory> <kills>``. Writers are forked from one process
that has imported everything, so that a kill costs milliseconds. Each notes in shared memory what it is about to do and
what the store has acknowledged.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django

SESSIONS = 4


class Notes:
    """Counters that outlive the process that wrote them: what was tried last, and what was acknowledged last.

    Each is stored in one step: a kill must not tear it. (``struct.pack_into`` zeroes its place first, and a kill in
    between looked like a loss, once in ten thousand.)
    """

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16 * SESSIONS)).cast("Q")

    def write(self, number: int, tried: int, acknowledged: int) -> None:
        self._numbers[2 * number] = tried
        self._numbers[2 * number + 1] = acknowledged

    def read(self, number: int) -> tuple[int, int]:
        return self._numbers[2 * number], self._numbers[2 * number + 1]


@contextmanager
def forked_writer(work: Callable[[], object]) -> Iterator[int]:
    """Fork a process that calls ``work``; kill it at the end."""
    process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os._exit(3)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def main(directory: str, kills: int) -> None:
    """Kill that many writers; the counters of each session must lie between acknowledged and tried."""
    from django.conf import settings

    settings.configure(SESSION_FILE_PATH=directory, USE_TZ=True)
    django.setup()
    from django_srvsession.backends.file import FileStore
    from django_srvsession.records import Delta, Ending, Loaded
    from django_srvsession.store import CorruptSessionError
    from django_srvsession.testing.sessions import create, new_user

    store, notes = FileStore(), Notes()
    user_id = new_user()
    kept = [
        create(store, user_id=user_id, changed={"n": b"0", "filler": bytes(20_000)}).record for _ in range(SESSIONS)
    ]

    def work() -> None:
        """Count up in all sessions, and sign others in and out beside it."""
        random.seed(os.getpid())
        while True:
            number = random.randrange(SESSIONS)
            count = notes.read(number)[1]
            notes.write(number, count + 1, count)
            store.update(kept[number].sid, kept[number].verifier, Delta(changed={"n": b"%d" % (count + 1)}))
            notes.write(number, count + 1, count + 1)
            other = create(store, user_id=user_id if random.random() < 0.5 else new_user()).record
            if random.random() < 0.5:
                store.end(other.sid, Ending("logout"))

    lost, leftovers = [], 0
    for _ in range(kills):
        with forked_writer(work):
            time.sleep(random.uniform(0.001, 0.02))
        leftovers = max(leftovers, len(temporary_files(directory)))
        for number, record in enumerate(kept):
            found = store.load(record.sid)
            tried, acknowledged = notes.read(number)
            count = int(found.values["n"]) if isinstance(found, Loaded) else -1
            if not acknowledged <= count <= tried:
                lost.append((acknowledged, count, tried))
            notes.write(number, count, count)  # What a killed writer did without being able to say so stands.

    def is_corrupt(sid: str) -> bool:
        try:
            store.load(sid)
        except CorruptSessionError:
            return True
        return False

    store.clear_expired()
    sids = [path.stem for path in Path(directory).glob("??/*.json")]
    live = {record.sid for record in store.records()}
    marked = {path.name for path in Path(directory).glob("users/??/*/*")}
    report = {
        "counted": sum(notes.read(number)[1] for number in range(SESSIONS)),
        "lost": lost,
        "corrupt": sum(map(is_corrupt, sids)),
        "leftovers while killing": leftovers,
        "leftovers after clearing": len(temporary_files(directory)),
        "live but not listed": len(live - marked),
        "listed but not live": len(marked - live),
    }
    print(json.dumps(report))  # noqa: T201 - a program's output


def temporary_files(directory: str) -> list[Path]:
    """Return what killed writers left."""
    return list(Path(directory).rglob("*.tmp"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
