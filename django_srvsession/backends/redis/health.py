"""What an operator should know of the Redis that sessions are in; of a cluster, of each of its primary nodes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from django_srvsession.backends.redis.commands import as_pairs
from django_srvsession.backends.redis.transport import Ask, BlockingTransport
from django_srvsession.backends.redis.transport.replies import checked_index, parse_info
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.health import Finding, Level, StorageInfo, clock_finding

_OLDEST: Final = (6, 2)
_SAMPLES: Final = 5
_SLOW_MS: Final = 20
_FULL: Final = 0.9
_MOST_LAG_S: Final = 10
_COSTS: Final = {"always": "nothing", "everysec": "up to a second"}


def findings(to: BlockingTransport) -> Iterator[Finding]:
    """Yield what there is to say of a server, or of all primary nodes; raises ``StoreUnavailableError``."""
    if not to.is_one_server:
        yield from _of_nodes({name: _of_node(ask) for name, ask in to.primaries().items()})
    else:
        for ask in to.primaries().values():
            yield from RedisExam(ask).findings()


def storage_info(to: BlockingTransport, alias: str) -> StorageInfo:
    """Return which server it is, and its memory, where it may be asked for that; of a cluster the name alone."""
    if not to.is_one_server:
        return StorageInfo("Redis Cluster", alias)
    (reply,) = to.exchange([("INFO", "memory")])
    if isinstance(reply, ResponseError):
        return StorageInfo("Redis", alias)
    info = parse_info(reply)
    return StorageInfo("Redis", alias, int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)) or None)


def _of_node(ask: Ask) -> list[Finding]:
    try:
        return list(RedisExam(ask).findings())
    except StoreUnavailableError as error:
        advice = "Sessions in its slots get 503 until it answers, or a replica takes over."
        return [Finding(Level.ERROR, "reachable", f"The node does not answer: {error}", advice)]


def _of_nodes(found: Mapping[str, Sequence[Finding]]) -> Iterator[Finding]:
    """Say of which nodes each finding is; what is so of all of them, once."""
    nodes: dict[Finding, list[str]] = {}
    for name, of_node in found.items():
        for finding in of_node:
            nodes.setdefault(finding, []).append(name)
    for finding, names in nodes.items():
        where = f"All {len(names)} nodes" if len(names) == len(found) else ", ".join(names)
        yield finding._replace(text=f"{where}: {finding.text}")


def config(ask: Ask, name: str) -> str | None:
    """Return a setting of a server, or None where it must not be asked, as with many hosted ones."""
    reply = ask(("CONFIG", "GET", name))
    if isinstance(reply, ResponseError):
        return None
    for value in (reply if isinstance(reply, dict) else as_pairs(reply)).values():
        return value.decode() if isinstance(value, bytes) else str(value)
    return None


class RedisExam:
    """Ask a server about itself, by INFO, CONFIG GET and TIME; changes nothing."""

    def __init__(self, ask: Ask) -> None:
        self._ask_server = ask

    def findings(self) -> Iterator[Finding]:
        """Yield what there is to say; raises ``StoreUnavailableError``."""
        yield from self.distance()
        reply = self._ask("INFO")
        if isinstance(reply, ResponseError):
            advice = "Look up its version, maxmemory-policy, persistence and replicas where it is managed."
            yield Finding(Level.NOTE, "info", "The server does not tell of itself: it refuses INFO.", advice)
            return
        info = parse_info(reply)
        yield version(info)
        yield from self._eviction(info)
        yield from memory(info)
        yield from self._persistence(info)
        yield from replication(info)

    def _ask(self, *command: str) -> Any:
        return self._ask_server(command)

    def distance(self) -> Iterator[Finding]:
        """Yield how long Redis takes to answer, and how far its clock is from ours, by the quickest of five answers."""
        took_ms, ahead_ms = min(self._clock_sample() for _ in range(_SAMPLES))
        text = f"Redis answers, in {took_ms:.1f} ms."
        if took_ms > _SLOW_MS:
            advice = "Every request that has a session waits for it. Put Redis nearer to the site."
            yield Finding(Level.WARNING, "reachable", text, advice)
        else:
            yield Finding(Level.OK, "reachable", text)
        yield clock_finding(ahead_ms, "Redis'")

    def _clock_sample(self) -> tuple[float, float]:
        before_ns = time.time_ns()
        seconds, micros = map(int, checked_index(self._ask("TIME")))
        after_ns = time.time_ns()
        return (after_ns - before_ns) / 1e6, seconds * 1000 + micros / 1000 - (before_ns + after_ns) / 2e6

    def _eviction(self, info: Mapping[str, str]) -> Iterator[Finding]:
        policy = info.get("maxmemory_policy") or config(self._ask_server, "maxmemory-policy")
        if policy is None:
            advice = "Look it up where the server is managed, and make sure that it is noeviction."
            yield Finding(Level.NOTE, "maxmemory-policy", "The server does not tell its maxmemory-policy.", advice)
        elif policy == "noeviction":
            yield Finding(Level.OK, "maxmemory-policy", "maxmemory-policy is noeviction: Redis drops no session.")
        else:
            drops_lists = policy.startswith("allkeys")
            text = f"maxmemory-policy is {policy}: a full Redis drops sessions{' and the lists of them' * drops_lists}."
            level = Level.ERROR if drops_lists else Level.WARNING
            yield Finding(level, "maxmemory-policy", text, "Set maxmemory-policy noeviction, and watch the memory.")

    def _persistence(self, info: Mapping[str, str]) -> Iterator[Finding]:
        if info.get("aof_enabled") == "1":
            cost = _COSTS.get(config(self._ask_server, "appendfsync") or "", "an unknown stretch")
            text = f"Redis keeps an append-only file: a crash costs {cost} of changes, ends of sessions included."
            yield Finding(Level.OK, "persistence", text)
        else:
            text = (
                "Redis keeps no append-only file: after a crash, sessions that ended since its last snapshot live "
                "again, and newer ones are gone."
            )
            yield Finding(
                Level.WARNING, "persistence", text, "Set appendonly yes, with appendfsync everysec or always."
            )
        for name in ("rdb_last_bgsave_status", "aof_last_write_status"):
            if info.get(name, "ok") != "ok":
                advice = "See the server's log: the disk may be full."
                yield Finding(Level.ERROR, "persistence", f"Redis could not write to its disk ({name}).", advice)


def version(info: Mapping[str, str]) -> Finding:
    """Say whether the server is new enough."""
    text = info.get("redis_version", "unknown")
    if tuple(int(number) for number in re.findall(r"\d+", text)[:2]) >= _OLDEST:
        return Finding(Level.OK, "version", f"Redis {text}.")
    return Finding(Level.ERROR, "version", f"Redis {text} is too old.", "Use Redis 6.2 or newer, or Valkey.")


def memory(info: Mapping[str, str]) -> Iterator[Finding]:
    """Say whether the server's memory is nearly full."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > _FULL * most:
        advice = "When it is full nobody can sign in. Raise maxmemory, or move other data elsewhere."
        yield Finding(Level.WARNING, "memory", f"{used / most:.0%} of maxmemory is in use.", advice)


def replication(info: Mapping[str, str]) -> Iterator[Finding]:
    """Say whether this is the primary, and how its replicas are."""
    if info.get("role", "master") != "master":
        advice = "Point CACHES at the primary: a replica refuses writes, or loses them."
        yield Finding(Level.ERROR, "replication", "This server is a replica.", advice)
    replicas = [text for name, text in info.items() if re.fullmatch(r"slave\d+", name)]
    for text in replicas:
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        lag_s = int(fields.get("lag", "0"))
        if fields.get("state") != "online" or lag_s > _MOST_LAG_S:
            text = f"A replica is {fields.get('state')} and {lag_s} s behind."
            advice = "If it took over now, sessions that ended since then would live again. See its log."
            yield Finding(Level.WARNING, "replication", text, advice)
    if replicas:
        text = f"Replicas: {len(replicas)}. A fail-over may lose the last moments, ends of sessions included."
        # INFO counts the good replicas only where the server wants some.
        is_bound = "min_slaves_good_slaves" in info
        advice = "" if is_bound else "Set min-replicas-to-write 1: a primary that was replaced takes no writes then."
        yield Finding(Level.NOTE, "replication", text, advice)
