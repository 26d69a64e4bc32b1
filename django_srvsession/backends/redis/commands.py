"""What the Redis store sends and receives: commands, the arguments of scripts, and what replies hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django_srvsession.backends.redis.format import (
    RECORD_BYTES,
    is_tombstone,
    new_raw_verifier,
    raw_text,
    raw_verifier,
    read_record,
)
from django_srvsession.backends.redis.keys import Keys, decoded
from django_srvsession.backends.redis.scripts import ADMITTED_MARK, CONDEMNED_MARK, END, LIST, WRITE, Script
from django_srvsession.backends.redis.transport import Command
from django_srvsession.records import UNSET, Delta, Ending, SessionRecord, checked_details
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.framing import frame, name_bytes, name_of

# Sending.


def evalsha(script: Script, keys: Sequence[bytes | str], *arguments: Any) -> Command:
    """Make the command that runs a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *arguments)


def write_command(
    key: bytes, verifier: str, delta: Delta, keep_ms: int, listed_until_ms: int, known_version: int | None
) -> Command:
    """Make the command that changes a session in any way; see ``lua/write.lua`` for its arguments."""
    present, absent = _expectations(delta.expected)
    ip, agent = (None, None) if delta.client is UNSET else delta.client
    return evalsha(
        WRITE,
        [key],
        keep_ms,
        raw_verifier(verifier),
        b"" if delta.new_verifier is None else b"=" + new_raw_verifier(delta.new_verifier),
        "1" if delta.final else "0",
        listed_until_ms,
        _optional(None if delta.user_id is UNSET else delta.user_id),
        "" if delta.lifetime_ms is UNSET else delta.lifetime_ms,
        "" if delta.deadline_ms is UNSET else f"={'' if delta.deadline_ms is None else delta.deadline_ms}",
        _optional(ip),
        _optional(agent),
        b"" if delta.details is UNSET else b"=" + checked_details(delta.details),
        "1" if delta.extend else "0",
        "1" if delta.cleared else "0",
        "" if known_version is None else known_version,
        frame(delta.changed) if delta.changed else b"",
        len(delta.resealed),
        len(present) // 2,
        len(absent),
        *present,
        *absent,
        *(part for name, (old, new) in delta.resealed.items() for part in (name_bytes(name), old, new)),
        *map(name_bytes, delta.removed),
    )


def end_command(
    keys: Sequence[bytes | str],
    sid: str,
    ending: Ending,
    index_of: str | None,
    keep_ms: int,
) -> Command:
    """Make the command that ends a session and takes it out of the lists among the keys.

    The last key is the index of the user ``index_of``, if there is one.
    """
    present, absent = _expectations(ending.expected or {})
    return evalsha(
        END,
        keys,
        sid,
        keep_ms,
        ending.reason or "",
        _optional(ending.by),
        b"" if ending.verifier is None else b"=" + raw_verifier(ending.verifier),
        _optional(index_of),
        "" if ending.version is None else ending.version,
        len(present) // 2,
        len(absent),
        *present,
        *absent,
    )


def list_command(user_key: str, sid: str, until_ms: int) -> Command:
    """Make the command that lists a session among its user's, until a moment."""
    return evalsha(LIST, [user_key], sid, until_ms)


def forget_commands(keys: Keys, sid: str, kinds: Iterable[str], user_id: str | None) -> list[Command]:
    """Make the commands that take an ended session, and what is marked of it, out of the indexes."""
    listed: list[Command] = [("ZREM", keys.live_of(kind, sid), sid) for kind in kinds]
    if user_id is None:
        return listed
    return [*listed, ("ZREM", keys.user(user_id), sid, ADMITTED_MARK + sid, CONDEMNED_MARK + sid)]


def record_command(key: bytes, length_bytes: int = RECORD_BYTES) -> Command:
    """Make the command that reads how a session begins; ``record_reading`` reads its whole record by it."""
    return ("GETRANGE", key, 0, length_bytes - 1)


def _optional(text: str | None) -> bytes:
    """Tell None from an empty text."""
    return b"" if text is None else b"=" + raw_text(text)


def _expectations(expected: Mapping[str, bytes | None]) -> tuple[list[bytes], list[bytes]]:
    present = [part for name, value in expected.items() if value is not None for part in (name_bytes(name), value)]
    return present, [name_bytes(name) for name, value in expected.items() if value is None]


# Receiving.


def listed_record(sid: str, reply: Any) -> SessionRecord | None:
    """Read the reply of :func:`record_command`: the record of a session, live or due; None for anything else.

    A damaged session is nobody's to list; whoever loads it learns of it.
    """
    if not reply or is_tombstone(reply):
        return None
    try:
        return read_record(sid, reply)
    except CorruptSessionError:
        return None


def is_absent(reply: Any) -> bool:
    """Tell whether the reply of :func:`record_command` says that nothing is stored (an error says no such thing)."""
    return isinstance(reply, bytes) and not reply


def read_conflicts(reply: Sequence[Any]) -> dict[str, bytes | None]:
    """Read what a script says stands under each name whose expected bytes do not."""
    return {name_of(name): value for name, value in as_pairs(reply).items()}


def as_pairs(reply: Any) -> dict[Any, Any]:
    """Read a flat list of names and values.

    Raises :class:`CorruptSessionError` for anything else: another program's key, or not Redis at all.
    """
    if not isinstance(reply, list) or len(reply) % 2:
        raise CorruptSessionError("Redis gave no pairs.")
    parts = iter(reply)
    return dict(zip(parts, parts, strict=True))


def scored(reply: Iterable[Any]) -> list[tuple[str, float]]:
    """Read members with scores, which RESP2 sends flat and RESP3 in pairs."""
    items = list(reply)
    pairs = items if items and isinstance(items[0], list | tuple) else zip(items[::2], items[1::2], strict=True)
    return [(decoded(member), float(score)) for member, score in pairs]
