"""What the Redis store sends and receives: commands, the arguments of scripts, and replies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django_srvsession.backends.redis.format import (
    RECORD_BYTES,
    is_tombstone,
    new_raw_verifier,
    raw_verifier,
    read_record,
    session_image,
)
from django_srvsession.backends.redis.keys import decoded, encoded
from django_srvsession.backends.redis.scripts import CREATE, END, SAVE, WRITE, Script
from django_srvsession.records import UNSET, Delta, Loaded, SessionRecord
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.framing import frame

Command = tuple[Any, ...]
"""A command of Redis and its arguments, as bytes, str, int or float."""

# Sending.


def evalsha(script: Script, key: bytes | str, *arguments: Any) -> Command:
    """Make the command that runs a script on one key."""
    return ("EVALSHA", script.sha, 1, key, *arguments)


def create_command(key: bytes, new: Loaded, keep_ms: int, indexed_until_ms: int) -> Command:
    """Make the command that stores a new session if its key is free; :func:`was_created` reads the reply."""
    image = session_image(new.record, new.values, indexed_until_ms)
    return ("SET", key, image, "NX", "PXAT", max(new.record.expires_ms, new.now_ms) + keep_ms)


def list_and_create_command(listing: Sequence[Command], storing: Command) -> Command:
    """Make the one command that does, in this order, those that list a new session and the one that stores it.

    It does nothing after what is refused. :func:`was_created` reads its reply, too.
    """
    *of_user, (_, shard, _, score, sid) = listing
    _, key, image, _, _, gone_ms = storing
    if not of_user:
        return ("EVALSHA", CREATE.sha, 2, key, shard, sid, image, gone_ms, score)
    (_, index, _, past_ms), (_, _, _, until_ms, _) = of_user
    return ("EVALSHA", CREATE.sha, 3, key, shard, index, sid, image, gone_ms, score, until_ms, past_ms)


def is_only_values(delta: Delta) -> bool:
    """Tell whether :func:`save_command` can do all that a delta asks for."""
    return (
        delta.extend
        and delta.client is delta.user_id is delta.lifetime_ms is delta.deadline_ms is UNSET
        and not (delta.cleared or delta.removed or delta.resealed or delta.expected)
    )


def save_command(key: bytes, base: SessionRecord, changed: Mapping[str, bytes], keep_ms: int) -> Command:
    """Make the command that writes values into the session that ``base`` tells of."""
    return evalsha(SAVE, key, raw_verifier(base.verifier), base.version, keep_ms, frame(changed) if changed else b"")


def write_command(
    key: bytes,
    verifier: str,
    new_verifier: str | None,
    final: bool,
    delta: Delta,
    keep_ms: int,
    indexed_until_ms: int,
    known_version: int | None,
) -> Command:
    """Make the command that updates, or rotates, a session."""
    present, absent = _expectations(delta.expected)
    ip, agent = (None, None) if delta.client is UNSET else delta.client
    return evalsha(
        WRITE,
        key,
        keep_ms,
        raw_verifier(verifier),
        b"" if new_verifier is None else b"=" + new_raw_verifier(new_verifier),
        "1" if final else "0",
        indexed_until_ms,
        _optional(None if delta.user_id is UNSET else delta.user_id),
        "" if delta.lifetime_ms is UNSET else delta.lifetime_ms,
        "" if delta.deadline_ms is UNSET else f"={'' if delta.deadline_ms is None else delta.deadline_ms}",
        _optional(ip),
        _optional(agent),
        "1" if delta.extend else "0",
        "1" if delta.cleared else "0",
        "" if known_version is None else known_version,
        frame(delta.changed) if delta.changed else b"",
        len(delta.resealed),
        len(delta.removed),
        len(present) // 2,
        len(absent),
        *present,
        *absent,
        *(part for name, (old, new) in delta.resealed.items() for part in (encoded(name), old, new)),
        *map(encoded, delta.removed),
    )


def end_command(
    key: bytes,
    reason: str,
    by: str | None,
    verifier: str | None,
    expected: Mapping[str, bytes | None] | None,
    keep_ms: int,
) -> Command:
    """Make the command that ends a session."""
    present, absent = _expectations(expected or {})
    by_whom, required = _optional(by), b"" if verifier is None else b"=" + raw_verifier(verifier)
    counts = len(present) // 2, len(absent)
    return evalsha(END, key, keep_ms, reason, by_whom, required, *counts, *present, *absent)


def record_command(key: bytes, length_bytes: int = RECORD_BYTES) -> Command:
    """Make the command that reads how a session begins; ``looks.look_at`` reads its whole record by it."""
    return ("GETRANGE", key, 0, length_bytes - 1)


def _optional(text: str | None) -> bytes:
    """Tell None from an empty text."""
    return b"" if text is None else b"=" + encoded(text)


def _expectations(expected: Mapping[str, bytes | None]) -> tuple[list[bytes], list[bytes]]:
    present = [part for name, value in expected.items() if value is not None for part in (encoded(name), value)]
    return present, [encoded(name) for name, value in expected.items() if value is None]


# Receiving.


def was_created(reply: Any) -> bool | None:
    """Tell whether :func:`create_command` stored the session; None: that is no answer to it."""
    if reply is None:
        return False
    return True if reply == b"OK" else None


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
    return {decoded(name): value for name, value in as_pairs(reply).items()}


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
