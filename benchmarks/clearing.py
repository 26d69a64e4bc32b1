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

import psutil

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
    parser.add_argument("--control", type=float, default=5, metavar="SECONDS", help="use sessions so long beforehand")
    parser.add_argument(
        "--one-delete", action="store_true", help="also time one big DELETE of as many rows, beside the same and alone"
    )
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

    from django_srvsession.models import Session
    from django_srvsession.store.framing import frame

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
    from django_srvsession.backends.file.checks import session_path
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
        waits = self.waits or [0.0]
        return {
            "requests": len(waits),
            "p50_ms": round(waits[len(waits) // 2], 1),
            "p99_ms": round(waits[len(waits) * 99 // 100], 1),
            "p999_ms": round(waits[len(waits) * 999 // 1000], 1),
            "longest_ms": round(waits[-1], 1),
            "over_100_ms": sum(wait > 100 for wait in waits),
        }


# Measuring.


def prepare(place: Place, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Fill the store, and return the sessions that the traffic uses."""
    from django_srvsession.engine import current_store
    from django_srvsession.records import Delta

    for statement in ROOM if place.name == "mariadb" else ():
        execute(place, statement)
    fill(place, options.live, now_ms() + DAY_MS)
    fill(place, options.expired, now_ms() - (HOUR_MS if options.recent else 2 * DAY_MS))
    used = [(secrets.token_hex(9), secrets.token_hex(32)) for _ in range(USED)]
    for sid, verifier in used:
        current_store().create(sid, verifier, Delta(lifetime_ms=DAY_MS))
    for statement in SETTLE.get(place.name, ()):
        execute(place, statement)
    return used


# What a server has done, or was given, by the time that so many sessions are in it.
ROOM = ("SET GLOBAL innodb_buffer_pool_size = 1 << 30", "SET GLOBAL innodb_log_file_size = 1 << 28")
SETTLE = {"postgresql": ("ANALYZE", "CHECKPOINT"), "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",)}


def execute(place: Place, sql: str, *params: Any) -> None:
    from django.db import connections

    with connections[place.name].cursor() as cursor:
        cursor.execute(sql, params)


def measure(place: Place, options: argparse.Namespace) -> dict[str, Any]:
    from django.conf import settings

    from django_srvsession.operations.clearing import PacedClearing

    place.use()
    settings.SESSION_ENGINE = f"django_srvsession.backends.{place.ours}"
    used = prepare(place, options)
    with Traffic(place, used, options.writers) as quiet:
        time.sleep(options.control)
    memory = Memory()
    with Traffic(place, used, options.writers) as busy:
        ended = EndOfExpired()
        clearing = PacedClearing(batch_size=options.batch_size, pause=options.pause, on_progress=ended.note)
        clearing.run()
    result = {
        "store": place.name,
        "expired": clearing.expired,
        "seconds": round(ended.seconds, 1),
        "all_seconds": round(clearing.seconds, 1),
        "quiet": quiet.summary(),
        "clearing": busy.summary(),
        **memory.summary(),
    }
    return result | (one_delete(place, options, ended.seconds) if options.one_delete and place.is_database else {})


class EndOfExpired:
    """Tell how long the expired sessions took: what comes after them looks for users who are gone."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, time.monotonic()

    def note(self, ended: int) -> None:
        if ended:
            self.seconds = time.monotonic() - self._began


class Memory:
    """See how much memory this process takes from now on."""

    def __init__(self) -> None:
        self._before, self._peak = psutil.Process().memory_info().rss, self._peak_kb()

    def _peak_kb(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def summary(self) -> dict[str, float]:
        after = psutil.Process().memory_info().rss
        rss = {"rss_before_mb": round(self._before / 2**20, 1), "rss_after_mb": round(after / 2**20, 1)}
        return rss | {"peak_grown_mb": round((self._peak_kb() - self._peak) / 2**10, 1)}


def one_delete(place: Place, options: argparse.Namespace, clearing_s: float) -> dict[str, Any]:
    """Delete as many rows of a table filled alike by one statement: beside the same traffic, then alone."""
    seconds, waits = [], {}
    for writers in (options.writers, 0):
        execute(place, "DELETE FROM srvsession_session" if place.name == "sqlite" else "TRUNCATE srvsession_session")
        with Traffic(place, prepare(place, options), writers) as traffic:
            began = time.monotonic()
            execute(place, "DELETE FROM srvsession_session WHERE expires_ms <= %s", now_ms())
            seconds.append(time.monotonic() - began)
        waits = waits or traffic.summary()
    return {
        "one_delete": waits,
        "one_delete_seconds": [round(one, 2) for one in seconds],
        "times_one_delete": [round(clearing_s / one, 1) for one in seconds],
    }


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    with served(options.stores) as places:
        for place in places:
            print(json.dumps(measure(place, options)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
