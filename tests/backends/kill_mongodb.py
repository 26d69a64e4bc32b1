"""Kill writers of sessions in MongoDB, and their server, in turn; prints what was lost, as JSON.

Run as a program: ``python -m tests.backends.kill_mongodb <SRVSESSION_MONGODB as JSON> <kills> <every>``. One kill in so
many is one of the server, too. It cannot kill that: it says "kill" and waits for a line, after which the server must be
there again. Writers are forked from one
process that has imported everything, and note in shared memory what they try and what the store has acknowledged.
"""

from __future__ import annotations

import json
import mmap
import random
import sys
import time

import django

from tests.backends.kill_writers import SESSIONS, Notes, forked_writer

MOST_LIVES = 1 << 20
BEGUN, ENDED = 1, 2


class Lives:
    """What the store has acknowledged of many short sessions, by number; outlives the process that wrote it."""

    def __init__(self) -> None:
        self._acknowledged = mmap.mmap(-1, MOST_LIVES)
        self._count = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def next(self) -> int:
        """Return a number that no session had."""
        self._count[0] += 1
        return self._count[0] - 1

    def note(self, number: int, what: int) -> None:
        """Take note that it was begun, or ended."""
        self._acknowledged[number] = what

    def those(self, what: int) -> list[int]:
        """Return the numbers of those of which this was acknowledged, and nothing after it."""
        return [number for number in range(self._count[0]) if self._acknowledged[number] == what]


def sid_of(number: int) -> str:
    """Return the sid of a short session."""
    return f"{number:018x}"


def main(entry: str, kills: int, every: int) -> None:
    """Kill that often; the counters of each session must lie between acknowledged and tried."""
    from django.conf import settings

    settings.configure(SRVSESSION_MONGODB=json.loads(entry), USE_TZ=True)
    django.setup()
    from django_srvsession.backends.mongodb import MongoStore
    from django_srvsession.records import Delta, Ending, Loaded, Tombstone
    from django_srvsession.store import ConflictError, StoreUnavailableError
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
        number = lives.next()
        store.create(sid_of(number), verifier, new_delta())
        lives.note(number, BEGUN)
        store.end(sid_of(number), Ending("logout"))
        lives.note(number, ENDED)

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
        before = len(lives.those(ENDED))
        with forked_writer(work):
            give_up = time.monotonic() + 30
            while len(lives.those(ENDED)) < before + random.randint(1, 5) and time.monotonic() < give_up:
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
    ended, begun = lives.those(ENDED), lives.those(BEGUN)
    lost += [number for number in begun if store.load(sid_of(number)) is None]
    revived = [number for number in ended if not isinstance(store.load(sid_of(number)), Tombstone)]
    counted = sum(notes.read(number)[1] for number in range(SESSIONS))
    report = {"counted": counted, "ended": len(ended), "cut off": len(begun), "lost": lost, "revived": revived}
    print(json.dumps(report), flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
