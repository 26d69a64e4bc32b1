"""What the error replies and the failures of Redis mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ChildDeadlockedError,
    ClusterCrossSlotError,
    ClusterDownError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from django_srvsession.store import CorruptSessionError, StoreUnavailableError

FAILURES: Final = (RedisError, RedisClusterException, ChildDeadlockedError, OSError)
"""What redis-py raises when there is no reply."""

_SAID_BY_NODES: Final = (AskError, ClusterCrossSlotError)  # MOVED is a kind of ASK to redis-py.
_ELSEWHERE: Final = ("READONLY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")


def unavailable(error: Exception) -> StoreUnavailableError:
    """Make the error that says Redis did not answer, or not with what was asked."""
    text = f"Redis did not do what it was asked: {type(error).__name__}."
    if isinstance(error, _SAID_BY_NODES):
        text += " It is a node of a Redis Cluster; the cache alias needs a CONNECTION_FACTORY for clusters."
    return StoreUnavailableError(text)


def senseless() -> StoreUnavailableError:
    """Make the error that says that a reply is none to what was asked."""
    return StoreUnavailableError("Redis gave no answer to what it was asked.")


def parse_info(reply: bytes) -> dict[str, str]:
    """Read the reply to INFO."""
    lines = (line for line in reply.decode().splitlines() if ":" in line and not line.startswith("#"))
    return dict(line.split(":", 1) for line in lines)


def run_in(info: Mapping[str, str]) -> str | None:
    """Return a word for the process that runs and the history of its data; None where INFO does not tell both.

    A restart, a snapshot that is read again and a fail-over each make it another.
    """
    run, history = info.get("run_id"), info.get("master_replid")
    return f"{run}:{history}" if run and history else None


def is_from_the_primary(error: ResponseError) -> bool:
    """Tell whether who refused can still be the primary; else its connection is to be given up.

    The next one leads to where Sentinel, or the server's name, leads then.
    """
    if isinstance(error, (ReadOnlyError, ClusterDownError)):  # redis-py has taken the codes off.
        return False
    return not any(code in str(error) for code in _ELSEWHERE)


def checked(reply: Any) -> Any:
    """Return a reply, or raise what its being an error means.

    Raises :class:`CorruptSessionError` when the key holds another type, else :class:`StoreUnavailableError` (a replica,
    a full memory, a server that is loading, a missing permission, ...): the command was refused and did nothing.
    """
    if not isinstance(reply, Exception):
        return reply
    if _is_of_another_type(reply):
        raise CorruptSessionError("A key of the store holds a type that is not ours.") from reply
    raise unavailable(reply) from reply


def checked_look(reply: Any) -> Any:
    """Return what was read of a session, or the error that says that its key holds another type.

    Raises :class:`StoreUnavailableError` for any other error: a node that is down, a missing permission.
    """
    return reply if _is_of_another_type(reply) else checked_index(reply)


def checked_index(reply: Any) -> Any:
    """Return an index's reply; an index that is no ZSET says nothing about any one session, so it is an outage."""
    if isinstance(reply, Exception):
        raise unavailable(reply) from reply
    return reply


def _is_of_another_type(reply: Any) -> bool:
    return isinstance(reply, Exception) and "WRONGTYPE" in str(reply)
