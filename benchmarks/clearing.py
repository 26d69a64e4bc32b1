"""Clear many expired sessions beside live traffic, and measure the longest wait of a request: see ``--help``.

Numbers depend on the machine; what counts is the longest wait with clearing beside the one without.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import secrets
import sys
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.places import Place, served

STORES = ("postgresql", "mariadb", "sqlite", "file", "redis")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
USED = 200
SEED = 5000


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clearing", description=__doc__)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=["sqlite"], metavar="STORE", help=str(STORES))
    parser.add_argument("--expired", type=int, default=100_000, metavar="N", help="sessions whose time is up")
    parser.add_argument("--live", type=int, default=10_000, metavar="N", help="sessions that stay")
    parser.add_argument("--recent", action="store_true", help="expired an hour ago: each leaves a tombstone")
    parser.add_argument("--batch-size", type=int, metavar="N")
    parser.add_argument("--pause", type=float, metavar="PART")
    parser.add_argument("--writers", type=int, default=2, metavar="N", help="processes that use sessions meanwhile")
    parser.add_argument("--one-delete", action="store_true", help="also time one big DELETE of as many rows")
    return parser.parse_args(arguments)


# Filling.


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def records(count: int, expires_ms: int) -> Iterator[Any]:
    from django_srvsession.records import Client, SessionRecord

    for number in range(count):
        yield SessionRecord(
            sid=secrets.token_hex(9),
            verifier=secrets.token_hex(32),
            created_ms=expires_ms - DAY_MS,
            last_seen_ms=expires_ms - DAY_MS + number % 1000,
            lifetime_ms=DAY_MS,
            expires_ms=expires_ms - number % 60_000,
            client=Client("192.0.2.1", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        )


def fill(place: Place, count: int, expires_ms: int) -> None:
    values = {"cart": secrets.token_bytes(300)}
    if place.is_database:
        fill_database(place, count, expires_ms, values)
    elif place.name == "file":
        fill_files(records(count, expires_ms), values)
    else:
        fill_redis(records(count, expires_ms), values)


SIDS = {
    "postgresql": "substr(md5(random()::text || clock_timestamp()::text), 1, 18)",
    "mysql": "substr(md5(concat(rand(), uuid())), 1, 18)",
    "sqlite": "lower(hex(randomblob(9)))",
}


def fill_database(place: Place, count: int, expires_ms: int, values: dict[str, bytes]) -> None:
    """Store a few thousand sessions, and have the database copy them under other names until there are enough."""
    from django.db import connections

    from django_srvsession.backends.db.framing import frame
    from django_srvsession.models import Session

    connection, rows, data = connections[place.name], [], frame(values)
    for record in records(min(count, SEED), expires_ms):
        fields = {**record._asdict(), "ip": record.client.ip, "user_agent": record.client.user_agent, "data": data}
        del fields["client"]
        rows.append(Session(**fields))
    Session.objects.using(place.name).bulk_create(rows, batch_size=500)
    names = [field.column for field in Session._meta.concrete_fields]
    copied = ", ".join(SIDS[connection.vendor] if name == "sid" else connection.ops.quote_name(name) for name in names)
    columns = ", ".join(map(connection.ops.quote_name, names))
    copy = (
        f"INSERT INTO srvsession_session ({columns}) SELECT {copied} FROM srvsession_session"
        " WHERE expires_ms > %s AND expires_ms <= %s LIMIT %s"
    )
    stored = len(rows)
    while stored < count:
        with connection.cursor() as cursor:
            cursor.execute(copy, [expires_ms - 60_000, expires_ms, min(count - stored, 4 * SEED)])
            stored += cursor.rowcount


def fill_files(rows: Iterator[Any], values: dict[str, bytes]) -> None:
    from django_srvsession.backends.file import format as file_format
    from django_srvsession.backends.file import session_path
    from django_srvsession.records import Loaded

    for record in rows:
        shard = f"{session_path()}/{record.sid[:2]}"
        os.makedirs(shard, 0o700, exist_ok=True)
        path = f"{shard}/{record.sid}.json"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(file_format.encode(Loaded(record, values, now_ms())))
        os.utime(path, ns=(record.expires_ms * 1_000_000,) * 2)


def fill_redis(rows: Iterator[Any], values: dict[str, bytes]) -> None:
    """Make sessions that are due: Redis keeps them for as long as a tombstone would stay."""
    from django_srvsession.engine import current_store
    from django_srvsession.records import Delta

    store = current_store()
    for record in rows:
        store.create(record.sid, record.verifier, Delta(changed=values, lifetime_ms=HOUR_MS))
        if record.expires_ms < now_ms():
            store.update(record.sid, record.verifier, Delta(deadline_ms=now_ms() - 1000))


# Traffic.


def use_sessions(place: Place, used: list[tuple[str, str]], stop: Event, answers: Any) -> None:
    """Load and save sessions as requests do, about a hundred times a second; report every wait (milliseconds)."""
    from django.db import connections

    from django_srvsession.engine import current_store
    from django_srvsession.records import Delta

    connections.close_all()
    place.use()
    store, waits = current_store(), []
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        sid, verifier = random.choice(used)
        started = time.perf_counter()
        base = store.load(sid)
        store.update(sid, verifier, Delta(changed={"seen": secrets.token_bytes(100)}), base)
        waits.append((time.perf_counter() - started) * 1000)
        time.sleep(0.005)
    answers.put(waits)


class Traffic:
    """Run the writers while the block lasts; ``waits`` has all their waits afterwards, sorted."""

    def __init__(self, place: Place, used: list[tuple[str, str]], writers: int) -> None:
        self.waits: list[float] = []
        self._context = multiprocessing.get_context("fork")
        self._stop, self._answers = self._context.Event(), self._context.Queue()
        arguments = (place, used, self._stop, self._answers)
        self._writers = [self._context.Process(target=use_sessions, args=arguments) for _ in range(writers)]

    def __enter__(self) -> Traffic:
        from django.db import connections

        connections.close_all()
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self.waits = sorted(wait for _ in self._writers for wait in self._answers.get(timeout=60))
        for writer in self._writers:
            writer.join()

    def summary(self) -> dict[str, float]:
        waits = self.waits
        return {
            "requests": len(waits),
            "p50_ms": round(waits[len(waits) // 2], 1),
            "p99_ms": round(waits[len(waits) * 99 // 100], 1),
            "p999_ms": round(waits[len(waits) * 999 // 1000], 1),
            "longest_ms": round(waits[-1], 1),
        }


# Measuring.


def measure(place: Place, options: argparse.Namespace) -> dict[str, Any]:
    from django.conf import settings

    from django_srvsession.clearing import Clearing
    from django_srvsession.engine import current_store
    from django_srvsession.records import Delta

    place.use()
    settings.SESSION_ENGINE = f"django_srvsession.backends.{place.ours}"
    fill(place, options.live, now_ms() + DAY_MS)
    fill(place, options.expired, now_ms() - (HOUR_MS if options.recent else 2 * DAY_MS))
    used = [(secrets.token_hex(9), secrets.token_hex(32)) for _ in range(USED)]
    for sid, verifier in used:
        current_store().create(sid, verifier, Delta(lifetime_ms=DAY_MS))
    with Traffic(place, used, options.writers) as quiet:
        time.sleep(5)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Traffic(place, used, options.writers) as busy:
        clearing = Clearing(batch_size=options.batch_size, pause=options.pause)
        clearing.run()
    result = {
        "store": place.name,
        "expired": clearing.expired,
        "seconds": round(clearing.seconds, 1),
        "quiet": quiet.summary(),
        "clearing": busy.summary(),
        "grown_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb,
    }
    if options.one_delete and place.is_database:
        result["one_delete_seconds"] = round(one_delete(place, options), 1)
    return result


def one_delete(place: Place, options: argparse.Namespace) -> float:
    """Fill again and delete as many rows by one statement, with nobody beside it."""
    from django.db import connections

    fill(place, options.expired, now_ms() - 2 * DAY_MS)
    started = time.monotonic()
    with connections[place.name].cursor() as cursor:
        cursor.execute("DELETE FROM srvsession_session WHERE expires_ms <= %s", [now_ms()])
    return time.monotonic() - started


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    with served(options.stores) as places:
        for place in places:
            print(json.dumps(measure(place, options)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
