"""Measure what each trick brings: our engine with it, beside our engine without it.

A trick is whatever is not the plain way: it uses what a library does not document, or says a thing twice. One that
brings less than a twentieth goes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

from benchmarks import performance
from benchmarks.__main__ import pin
from benchmarks.measure import time_block
from benchmarks.operations import Create, Delete, Load, Operation, Save
from benchmarks.places import Place, served

Way = Callable[[], AbstractContextManager[Any]]
LEAST = 0.05
"""What a trick has to save."""


@dataclass(frozen=True)
class Trick:
    """Say what is done, where it counts most, and how to do without it; ``given`` holds for both."""

    title: str
    place: str
    operation: type[Operation]
    without: Way
    given: Way = nullcontext


def never(*args: object, **options: object) -> None:
    """Stand for a function that says no."""


# The engine.


def with_djangos_serializer() -> AbstractContextManager[Any]:
    from django.contrib.sessions.serializers import JSONSerializer

    from django_srvsession.engine import serializing

    return mock.patch.object(serializing, "_JSON", JSONSerializer())


# Databases.


def unprepared() -> AbstractContextManager[Any]:
    from django_srvsession.backends.db.prepared import Prepared

    return mock.patch.object(Prepared, "execute", never)


def on_djangos_cursor() -> AbstractContextManager[Any]:
    from django_srvsession.backends.db import cursors

    return mock.patch.object(cursors, "_nobody_listens", never)


@contextmanager
def asking_for_the_time() -> Iterator[None]:
    from django_srvsession.store.clock import ServerClock

    with mock.patch.object(ServerClock, "needs_asking", True):
        yield


# Redis.


@contextmanager
def every_connection_from_the_pool() -> Iterator[None]:
    from django_srvsession.backends.redis.transport import threads

    with (
        mock.patch.object(threads.Connections, "take_kept", never),
        mock.patch.object(threads, "is_worth_keeping", never),
    ):
        yield


def as_any_verb() -> AbstractContextManager[Any]:
    from django_srvsession.backends.redis import RedisStore
    from django_srvsession.store.face import run_blocking

    def load(store: Any, sid: str) -> Any:
        return run_blocking(store._tenant().sessions.load(store.transport, sid))

    return mock.patch.object(RedisStore, "load", load)


def by_the_long_script() -> AbstractContextManager[Any]:
    from django_srvsession.backends.redis import sessions

    return mock.patch.object(sessions, "_is_only_values", never)


def ended_by_the_long_script() -> AbstractContextManager[Any]:
    from django_srvsession.backends.redis import sessions

    return mock.patch.object(sessions, "_holds_of", never)


def without_room() -> AbstractContextManager[Any]:
    from django_srvsession.backends.redis import format as redis_format

    return mock.patch.object(redis_format, "room", return_value=0)


@contextmanager
def not_knowing_whose_session_it_is() -> Iterator[None]:
    from django_srvsession.backends.redis.sessions import Sessions

    end = Sessions.end
    with mock.patch.object(
        Sessions, "end", lambda self, to, sid, ending: end(self, to, sid, ending._replace(base=None))
    ):
        yield


TRICKS = (
    *(
        Trick("a few connections are kept at hand", "redis", operation, every_connection_from_the_pool)
        for operation in (Load, Save, Create)
    ),
    Trick("a load is no coroutine, and does not ask first whether it is connected", "redis", Load, as_any_verb),
    Trick("a save of values only is a short script", "redis", Save, by_the_long_script),
    Trick("an end of what is as it was loaded is a short script", "redis", Delete, ended_by_the_long_script),
    Trick("a save writes into the room of the string", "redis", Save, without_room),
    Trick("who has loaded a session says whose it is at its end", "redis", Delete, not_knowing_whose_session_it_is),
    Trick("JSON's encoder and decoder are made once", "redis", Load, with_djangos_serializer),
    Trick("JSON's encoder and decoder are made once", "redis", Create, with_djangos_serializer),
    *(
        Trick("statements are prepared, each on a cursor that stays", "postgresql", operation, unprepared)
        for operation in (Load, Save, Create)
    ),
    Trick("no cursor of Django's where nobody listens", "sqlite", Load, on_djangos_cursor),
    Trick("the database's clock is known for a minute", "postgresql", Create, asking_for_the_time),
)


def brings(trick: Trick, place: Place, blocks: int, times: int) -> float:
    """Return which part of the time the trick saves: the median over neighbouring blocks."""
    place.use()
    engine, _ = place.engines()
    operation = trick.operation(1_000)
    saved = []
    with trick.given():
        for way in (nullcontext, trick.without):
            with way():
                time_block(operation, engine, times)
        for number in range(blocks):
            took = {}
            for way in (nullcontext, trick.without) if number % 2 else (trick.without, nullcontext):
                with way():
                    took[way] = statistics.median(time_block(operation, engine, times))
            saved.append(1 - took[nullcontext] / took[trick.without])
    return statistics.median(saved)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tricks", description=__doc__)
    parser.add_argument("--pin", action="store_true", help="run client and servers on one core: steadier ratios")
    parser.add_argument("--write", action="store_true", help=f"put the result into {performance.PAGE.name}")
    options = parser.parse_args(arguments)
    if options.pin:
        pin()
    rows = []
    with served(sorted({trick.place for trick in TRICKS})) as places:
        found = {place.name: place for place in places}
        for trick in TRICKS:
            part = brings(trick, found[trick.place], 30, 30)
            verdict = "stays" if part >= LEAST else "GOES"
            rows.append([trick.title, trick.place, trick.operation.title, f"{part:.0%}", verdict])
            print("{:60}{:12}{:8}{:>6}   {}".format(*rows[-1]), flush=True)
    if options.write:
        performance.write("tricks", performance.table(["what", "where", "of", "saves", ""], rows))


if __name__ == "__main__":
    main(sys.argv[1:])
