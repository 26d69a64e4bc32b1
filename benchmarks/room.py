"""Measure how many bytes a session takes: of a user, with five keys, all indexes and lists included.

PostgreSQL: ``pg_total_relation_size`` of the table. Redis: what ``used_memory`` has grown by.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import performance
from benchmarks.contents import AUTH
from benchmarks.places import Place, served

STORES = ("redis", "postgresql")
GOALS = {"redis": 1250, "postgresql": 1000}
AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
CART = {f"title {number}": {"quantity": 2, "cents": 1995} for number in range(4)}


def fill(engine: Any, count: int) -> None:
    """Store sessions of users who have two each."""
    from django_srvsession.records import Client

    client = Client("192.0.2.1", AGENT)
    for number in range(count):
        session = engine()
        session.note_client(lambda: client)
        session.update({**AUTH, "_auth_user_id": str(number // 2), "_csrftoken": "a" * 32, "cart": CART})
        session.note_sign_in(session["_auth_user_id"])
        session.save()


def used_bytes(place: Place) -> int:
    """Return what all sessions take by now."""
    if place.name == "redis":
        from django_redis import get_redis_connection

        return int(get_redis_connection("default").info("memory")["used_memory"])
    from django.db import connections

    with connections[place.name].cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('srvsession_session')")
        return int(cursor.fetchone()[0])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.room", description=__doc__)
    parser.add_argument("--sessions", type=int, default=200_000, metavar="N")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES), metavar="STORE", help=str(STORES))
    parser.add_argument("--write", action="store_true", help=f"put the result into {performance.PAGE.name}")
    options = parser.parse_args(arguments)
    rows = []
    with served(options.stores) as places:
        for place in places:
            place.use()
            engine, _ = place.engines()
            fill(engine, 10)  # Connections, scripts, buffers.
            before = used_bytes(place)
            fill(engine, options.sessions)
            took, goal = round((used_bytes(place) - before) / options.sessions), GOALS[place.name]
            rows.append([place.name, str(took), str(goal), "met" if took <= goal else "MISSED"])
            print("{:12}{:>6} bytes   goal {}: {}".format(*rows[-1]), flush=True)
    if options.write:
        heading = ["store", "bytes for each session", "goal", ""]
        performance.write("room", [f"Of {options.sessions:,} sessions:", "", *performance.table(heading, rows)])


if __name__ == "__main__":
    main(sys.argv[1:])
