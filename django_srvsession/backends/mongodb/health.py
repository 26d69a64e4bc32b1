"""What an operator should know of the MongoDB that sessions are in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django_srvsession.backends.mongodb import indexes
from django_srvsession.backends.mongodb.transport import SESSIONS, Document
from django_srvsession.backends.mongodb.transport.threads import ThreadTransport
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.face import run_blocking
from django_srvsession.store.health import Finding, Level, StorageInfo, clock_finding

_OLDEST: Final = (5, 0)
_SAMPLES: Final = 5
_SLOW_MS: Final = 20
_MOST_LAG_S: Final = 10
_LEAST_FREE: Final = 0.1
_IN_GOOD_ORDER: Final = ("PRIMARY", "SECONDARY", "ARBITER")


def findings(to: ThreadTransport) -> Iterator[Finding]:
    """Yield what there is to say; raises ``StoreUnavailableError`` where the server does not answer at all."""
    hello, *told = _distance(to)
    yield from told
    yield version(run_blocking(to.command({"buildInfo": 1}, of_server=True)))
    yield from topology(hello, _maybe(to, {"replSetGetStatus": 1}) if "setName" in hello else None)
    yield write_concern(to.write_concern)
    yield _indexes(to)
    yield from space(_maybe(to, {"dbStats": 1}, of_server=False) or {})


def storage_info(to: ThreadTransport) -> StorageInfo:
    """Return what the sessions take, where the server says so, and what is free on its disk: two commands."""
    own = _maybe(to, {"collStats": SESSIONS}, of_server=False) or {}
    used = int(own.get("storageSize", 0)) + int(own.get("totalIndexSize", 0))
    free = _free(_maybe(to, {"dbStats": 1}, of_server=False) or {})
    return StorageInfo("MongoDB", to.configuration.alias, used or None, free_bytes=None if free is None else free[0])


def prepare(to: ThreadTransport) -> Iterator[Finding]:
    """Make the indexes that are missing, and say which those were."""
    missing = run_blocking(indexes.missing(to))
    if missing:
        run_blocking(indexes.create(to, missing))
        yield Finding(Level.NOTE, "indexes", f"Made now: {', '.join(index.full_name for index in missing)}.")


def _maybe(to: ThreadTransport, command: Document, *, of_server: bool = True) -> Document | None:
    """Return what a server says, or None where it may not be asked for that, as with many hosted ones."""
    try:
        return run_blocking(to.command(command, of_server=of_server))
    except StoreUnavailableError:
        return None


def _distance(to: ThreadTransport) -> Iterator[Any]:
    """Yield the reply to ``hello``, how long MongoDB takes to answer, and how far its clock is from ours."""
    samples = [_sample(to) for _ in range(_SAMPLES)]
    took_ms, ahead_ms, hello = min(samples, key=lambda sample: sample[0])
    yield hello
    text = f"MongoDB answers, in {took_ms:.1f} ms."
    if took_ms > _SLOW_MS:
        advice = "Every request that has a session waits for it. Put MongoDB nearer to the site."
        yield Finding(Level.WARNING, "reachable", text, advice)
    else:
        yield Finding(Level.OK, "reachable", text)
    yield clock_finding(ahead_ms, "MongoDB's")


def _sample(to: ThreadTransport) -> tuple[float, float, Document]:
    before_ns = time.time_ns()
    hello = run_blocking(to.command({"hello": 1}, of_server=True))
    after_ns = time.time_ns()
    server_ms = hello["localTime"].replace(tzinfo=UTC).timestamp() * 1000
    return (after_ns - before_ns) / 1e6, server_ms - (before_ns + after_ns) / 2e6, hello


def version(build: Mapping[str, Any]) -> Finding:
    """Say whether the server is new enough."""
    text = str(build.get("version", "unknown"))
    if tuple(int(number) for number in re.findall(r"\d+", text)[:2]) >= _OLDEST:
        return Finding(Level.OK, "version", f"MongoDB {text}.")
    return Finding(Level.ERROR, "version", f"MongoDB {text} is too old.", "Use MongoDB 5.0 or newer.")


def topology(hello: Mapping[str, Any], status: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Say what stands behind the address, and how the members of a replica set are."""
    if hello.get("msg") == "isdbgrid":
        yield Finding(Level.OK, "replica set", "A sharded cluster: sessions are found by their _id on one shard.")
        return
    if "setName" not in hello:
        text = "One server alone: while it is down, requests that need a session get 503."
        yield Finding(Level.NOTE, "replica set", text, "Use a replica set where the site has to outlive a server.")
        return
    members = list(status.get("members", ())) if status else []
    name = hello["setName"]
    if not members:
        yield Finding(Level.OK, "replica set", f"The replica set {name}; the server does not tell of its members.")
        return
    yield Finding(Level.OK, "replica set", f"The replica set {name}, of {len(members)} members.")
    newest = max((moment for one in members if (moment := _written(one))), default=None)
    for member in members:
        yield from _member(member, newest)


def _member(member: Mapping[str, Any], newest: datetime | None) -> Iterator[Finding]:
    name, state = member.get("name"), str(member.get("stateStr"))
    written = _written(member)
    lag_s = (newest - written).total_seconds() if newest and written else 0
    if member.get("health") == 0 or state not in _IN_GOOD_ORDER:
        advice = "Writes wait for a majority of the members: one more, and there may be none. See its log."
        yield Finding(Level.WARNING, "replica set", f"The member {name} is {state}.", advice)
    elif lag_s > _MOST_LAG_S:
        advice = "Where a majority is slow, each write waits for it, and times out. See its log."
        yield Finding(Level.WARNING, "replica set", f"The member {name} is {lag_s:.0f} s behind.", advice)


def _written(member: Mapping[str, Any]) -> datetime | None:
    moment = member.get("optimeDate")
    return moment if isinstance(moment, datetime) and member.get("stateStr") in ("PRIMARY", "SECONDARY") else None


def write_concern(concern: Mapping[str, Any]) -> Finding:
    """Say what is known of a write that was acknowledged."""
    if concern.get("w") == "majority" and concern.get("j") is not False:
        text = "Writes are acknowledged by a majority of the members, and are in their journals then."
        return Finding(Level.OK, "write concern", text)
    text = f"Writes are acknowledged with {dict(concern)}: a fail-over may undo them, and ended sessions live again."
    return Finding(Level.WARNING, "write concern", text, 'Use w="majority" and journal, which are the defaults here.')


def _indexes(to: ThreadTransport) -> Finding:
    missing = run_blocking(indexes.missing(to))
    if not missing:
        return Finding(Level.OK, "indexes", "Lists and clearing have their indexes.")
    names = ", ".join(index.full_name for index in missing)
    advice = "Run doctorsessions_srv --repair, which makes them. Until then lists and clearing look at all sessions."
    return Finding(Level.ERROR, "indexes", f"Indexes are missing: {names}.", advice)


def space(stats: Mapping[str, Any]) -> Iterator[Finding]:
    """Say how much room the server has, where it tells."""
    free = _free(stats)
    if free is None:
        return
    bytes_free, part = free
    text = f"{bytes_free / 1e9:.1f} GB are free on the disk of MongoDB."
    if part < _LEAST_FREE:
        advice = "When it is full nobody can sign in, or out. Make room."
        yield Finding(Level.WARNING, "disk", text, advice)
    else:
        yield Finding(Level.OK, "disk", text)


def _free(stats: Mapping[str, Any]) -> tuple[int, float] | None:
    """Return what is free on the server's disk, in bytes and as a part of the whole."""
    total, used = stats.get("fsTotalSize"), stats.get("fsUsedSize")
    if not isinstance(total, int | float) or not isinstance(used, int | float) or total <= 0:
        return None
    return int(total - used), (total - used) / total
