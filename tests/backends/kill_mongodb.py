"""Kill writers of sessions in MongoDB, and their server, in turn; prints what was lost, as JSON.

Run as a program: ``python -m tests.backends.kill_mongodb <SRVSESSION_MONGODB as JSON> <kills> <every>``. One kill in so
many is one of the server, too. It cannot kill that: it says "kill" and waits for a line, after which the server must be
there again. Writers are forked from one
process that has imported everything, and note in shared memory what they try and what the store has acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import random
import sys
import time

import django

from tests.backends.kill_writers import SESSIONS, Notes, forked_writer

BEGUN, ENDED = 0, 1


class Lives:
    """Count the sessions that were begun and ended, in this order; outlives the process that wrote it."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16)).cast("Q")

    def __getitem__(self, which: int) -> int:
        return self._numbers[which]

    def __setitem__(self, which: int, number: int) -> None:
        self._numbers[which] = number


def main(entry: str, kills: int, every: int) -> None:
    """Kill that often; the counters of each session must lie between acknowledged and tried."""
    from django.conf import settings

    settings.configure(SRVSESSION_MONGODB=json.loads(entry), USE_TZ=True)
    django.setup()
    from django_srvsession.backends.mongodb import MongoStore
    from django_srvsession.records import Delta, Ending, Loaded, Tombstone
    from django_srvsession.store import ConflictError, CreateError, StoreUnavailableError
    from django_srvsession.testing.sessions import create, new_delta

    store, notes, lives = MongoStore(), Notes(), Lives()
    kept = [create(store, changed={"n": b"0", "filler": bytes(2000)}).record for _ in range(SESSIONS)]
    verifier = "0" * 64

    def count_up(number: int) -> None:
        """Add one to a session's number; what was sent before may still arrive, so only if it stands as it was."""
        count = notes.read(number)[1]
        notes.write(number, count + 1, count)
        delta = Delta(changed={"n": b"%d" % (count + 1)}, expected={"n": b"%d" % count})
        try:
            store.update(kept[number].sid, kept[number].verifier, delta)
            notes.write(number, count + 1, count + 1)
        except ConflictError as error:
            stands = int(error.current["n"] or b"-1")
            notes.write(number, max(stands, count + 1), stands)

    def live_and_end() -> None:
        """Begin a session, and end it."""
        sid = f"{lives[BEGUN]:018x}"
        with contextlib.suppress(CreateError):  # A killed writer ended it and could not say so.
            store.create(sid, verifier, new_delta())
        lives[BEGUN] += 1
        store.end(sid, Ending("logout"))
        lives[ENDED] = lives[BEGUN]

    def work() -> None:
        random.seed(time.time_ns())
        while True:
            try:
                count_up(random.randrange(SESSIONS))
                live_and_end()
            except StoreUnavailableError:
                time.sleep(0.01)

    lost: list[object] = []
    acknowledged = 0
    for kill in range(kills):
        before = lives[ENDED]
        with forked_writer(work):
            give_up = time.monotonic() + 30
            while lives[ENDED] < before + random.randint(1, 5) and time.monotonic() < give_up:
                time.sleep(0.002)
            if kill % every == every - 1:
                print("kill", flush=True)  # noqa: T201 - the other end waits for it
                sys.stdin.readline()
        for number, record in enumerate(kept):
            found = store.load(record.sid)
            tried, acknowledged = notes.read(number)
            count = int(found.values["n"]) if isinstance(found, Loaded) else -1
            if not acknowledged <= count <= tried:
                lost.append([acknowledged, count, tried])
            notes.write(number, tried, count)
    revived = [n for n in range(lives[ENDED]) if not isinstance(store.load(f"{n:018x}"), Tombstone)]
    counted = sum(notes.read(number)[1] for number in range(SESSIONS))
    report = {"counted": counted, "ended": lives[ENDED], "lost": lost, "revived": revived}
    print(json.dumps(report), flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
