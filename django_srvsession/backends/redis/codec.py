"""What the Redis store sends and receives: the arguments of scripts, and hashes and replies read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from django_srvsession.backends.redis.keys import decoded, encoded
from django_srvsession.backends.redis.scripts import END, FIELDS, FORMAT, MOST_SAVED, SAVE, WRITE, Script
from django_srvsession.records import NO_CLIENT, UNSET, Client, Delta, Loaded, SessionRecord, Tombstone
from django_srvsession.store import CorruptSessionError

Command = tuple[Any, ...]
"""A command of Redis and its arguments, as bytes, str, int or float."""

_FIELDS: Final = tuple(name.encode() for name in FIELDS)
_CREATED_BY: Final = 3  # commands
_CHECKED_FIELDS: Final = (*FIELDS, "m", "x")

# Sending.


def evalsha(script: Script, key: bytes | str, *arguments: Any) -> Command:
    """Make the command that runs a script on one key."""
    return ("EVALSHA", script.sha, 1, key, *arguments)


def create_commands(key: bytes, new_key: bytes, new: Loaded, keep_ms: int, indexed_until_ms: int) -> list[Command]:
    """Make the transaction that stores a new session if its key is free; :func:`was_created` reads the last reply.

    No script: it would cost Redis several times as much, and there is nothing to decide but whether the key is free.
    """
    record = new.record
    fields = [
        *("m", FORMAT, "v", record.verifier, "c", record.created_ms, "l", record.last_seen_ms, "n", record.version),
        *("t", record.lifetime_ms, "e", record.expires_ms),
    ]
    if record.user_id is not None:
        fields += "u", encoded(record.user_id), "s", record.signed_in_ms, "g", indexed_until_ms
    if record.client is not NO_CLIENT:
        fields += "i", encoded(record.client.ip), "a", encoded(record.client.user_agent)
    if record.deadline_ms is not None:
        fields += "d", record.deadline_ms
    return [
        ("MULTI",),
        ("HSET", new_key, *fields, *_pairs(new.values)),
        ("PEXPIREAT", new_key, max(record.expires_ms, new.now_ms) + keep_ms),
        ("RENAMENX", new_key, key),
        ("EXEC",),
    ]


def is_only_values(delta: Delta) -> bool:
    """Tell whether :func:`save_command` can do all that a delta asks for."""
    return (
        delta.extend
        and delta.user_id is delta.lifetime_ms is delta.deadline_ms is UNSET
        and not (delta.cleared or delta.removed or delta.resealed or delta.expected)
        and len(delta.changed) < MOST_SAVED
    )


def save_command(key: bytes, base: SessionRecord, delta: Delta, keep_ms: int) -> Command:
    """Make the command that writes values, and where they come from, into the session that ``base`` tells of."""
    written = *_record_pairs(delta), *_pairs(delta.changed)
    return evalsha(SAVE, key, base.verifier, base.version, keep_ms, *written)


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
    removed = [*map(_value_field, delta.removed), *(["d"] if delta.deadline_ms is None else [])]
    return evalsha(
        WRITE,
        key,
        keep_ms,
        verifier,
        _optional(new_verifier),
        "1" if final else "0",
        indexed_until_ms,
        "" if delta.user_id is UNSET else _optional(delta.user_id),
        "" if delta.lifetime_ms is UNSET else delta.lifetime_ms,
        "" if delta.deadline_ms is UNSET else f"={'' if delta.deadline_ms is None else delta.deadline_ms}",
        "1" if delta.extend else "0",
        "1" if delta.cleared else "0",
        "" if known_version is None else known_version,
        len(delta.resealed),
        len(removed),
        len(present) // 2,
        len(absent),
        *present,
        *absent,
        *(part for name, (old, new) in delta.resealed.items() for part in (_value_field(name), old, new)),
        *removed,
        *_record_pairs(delta),
        *_pairs(delta.changed),
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
    counts = len(present) // 2, len(absent)
    return evalsha(END, key, keep_ms, reason, _optional(by), _optional(verifier), *counts, *present, *absent)


def record_command(key: bytes) -> Command:
    """Make the command that reads a session's record without its values; :func:`listed_record` reads the reply."""
    return ("HMGET", key, *_CHECKED_FIELDS)


def _optional(text: str | None) -> bytes:
    """Tell None from an empty text."""
    return b"" if text is None else b"=" + encoded(text)


def _value_field(name: str) -> bytes:
    # The "v:" keeps a hostile name off the record's fields.
    return b"v:" + encoded(name)


def _pairs(values: Mapping[str, bytes]) -> list[bytes]:
    return [part for name, value in values.items() for part in (_value_field(name), value)]


def _record_pairs(delta: Delta) -> list[Any]:
    """Return the fields of the record that a delta names, as names and values."""
    pairs: list[Any] = []
    if delta.user_id is not UNSET:
        pairs += "u", encoded(delta.user_id)
    if delta.client is not UNSET:
        pairs += "i", encoded(delta.client.ip), "a", encoded(delta.client.user_agent)
    if delta.lifetime_ms is not UNSET:
        pairs += "t", delta.lifetime_ms
    if delta.deadline_ms is not UNSET and delta.deadline_ms is not None:
        pairs += "d", delta.deadline_ms
    return pairs


def _expectations(expected: Mapping[str, bytes | None]) -> tuple[list[bytes], list[bytes]]:
    present = _pairs({name: value for name, value in expected.items() if value is not None})
    return present, [_value_field(name) for name, value in expected.items() if value is None]


# Receiving.


def was_created(replies: Any) -> bool | None:
    """Tell whether the transaction of :func:`create_commands` stored the session; None: that is no answer to it."""
    if not isinstance(replies, list) or len(replies) != _CREATED_BY:
        return None
    return bool(replies[-1])


def read_session(sid: str, reply: Any, now_ms: int) -> Loaded | Tombstone | None:
    """Read the reply of HGETALL: a session, a tombstone, or None where there was nothing.

    Raises :class:`CorruptSessionError` for a hash that is none of ours.
    """
    fields = reply if isinstance(reply, dict) else as_pairs(reply)
    if not fields:
        return None
    if fields.get(b"m") != FORMAT:
        raise CorruptSessionError(f"What is stored for session {sid} is of another format.")
    if b"x" in fields:
        return _read_tombstone(sid, fields, now_ms)
    record = read_record(sid, [*map(fields.get, _FIELDS)])
    try:
        names = map(_value_names.__getitem__, fields)
        values = {name: value for name, value in zip(names, fields.values(), strict=True) if name is not None}
    except ValueError as error:
        raise CorruptSessionError("A stored session has a value whose name is no text.") from error
    return Loaded(record, values, now_ms)


class _ValueNames(dict[bytes, str | None]):
    """Hold, for fields of the hash, the session key that each stands for; None for a field of the record."""

    def __missing__(self, field: bytes) -> str | None:
        if len(self) >= _MAX_NAMES:
            self.clear()
        name = self[field] = decoded(field[2:]) if field[:2] == b"v:" else None
        return name


_MAX_NAMES: Final = 1024
_value_names: Final = _ValueNames()


def read_record(sid: str, raw: Sequence[Any]) -> SessionRecord:
    """Build a record from its fields in the order of ``FIELDS``: bytes, or numbers where a script computed them.

    Raises :class:`CorruptSessionError` when one that every session has is missing, or one is not what it should be.
    """
    try:
        (
            verifier,
            previous,
            rotated,
            final,
            user,
            ip,
            agent,
            created,
            signed_in,
            seen,
            lifetime,
            expires,
            deadline,
            n,
        ) = raw
        return SessionRecord(
            sid,
            verifier.decode("ascii"),
            int(created),
            int(seen),
            int(lifetime),
            int(expires),
            None if user is None else decoded(user),
            NO_CLIENT if ip is None and agent is None else _client(ip, agent),
            None if signed_in is None else int(signed_in),
            None if deadline is None else int(deadline),
            None if previous is None else previous.decode("ascii"),
            None if rotated is None else int(rotated),
            final != b"0",
            int(n),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptSessionError(f"The stored record of session {sid} is damaged.") from error


@lru_cache(maxsize=1024)
def _client(ip: bytes | None, agent: bytes | None) -> Client:
    return Client("" if ip is None else decoded(ip), "" if agent is None else decoded(agent))


def listed_record(sid: str, reply: Any) -> SessionRecord | None:
    """Read the reply of :func:`record_command`: the record of a session, live or due; None for anything else.

    A damaged session is nobody's to list; whoever loads it learns of it.
    """
    if not isinstance(reply, list) or len(reply) != len(_CHECKED_FIELDS):
        return None
    *raw, form, ended = reply
    try:
        return None if form != FORMAT or ended is not None else read_record(sid, raw)
    except CorruptSessionError:
        return None


def is_tombstone(reply: Any) -> bool:
    """Tell whether the reply of :func:`record_command` is that of an ended session."""
    return isinstance(reply, list) and reply[-2] == FORMAT and reply[-1] is not None


def is_absent(reply: Any) -> bool:
    """Tell whether the reply of :func:`record_command` says that nothing is stored (an error says no such thing)."""
    return isinstance(reply, list) and not any(reply)


def read_conflicts(reply: Sequence[Any]) -> dict[str, bytes | None]:
    """Read what a script says stands under each name whose expected bytes do not."""
    return {decoded(name[2:]): value for name, value in as_pairs(reply).items()}


def _read_tombstone(sid: str, fields: Mapping[bytes, bytes], now_ms: int) -> Tombstone:
    by, user_id = fields.get(b"b"), fields.get(b"u")
    try:
        return Tombstone(
            sid=sid,
            verifiers=tuple(fields[name].decode("ascii") for name in (b"v", b"p") if name in fields),
            reason=decoded(fields[b"x"]),
            by=None if by is None else decoded(by),
            ended_ms=int(fields[b"w"]),
            now_ms=now_ms,
            user_id=None if user_id is None else decoded(user_id),
        )
    except (KeyError, ValueError) as error:
        raise CorruptSessionError(f"The tombstone of session {sid} is damaged.") from error


def as_pairs(reply: Any) -> dict[Any, Any]:
    """Read a flat list of names and values.

    Raises :class:`CorruptSessionError` for anything else: another program's key, or not Redis at all.
    """
    if not isinstance(reply, list) or len(reply) % 2:
        raise CorruptSessionError("The stored session is not a hash.")
    parts = iter(reply)
    return dict(zip(parts, parts, strict=True))


def scored(reply: Iterable[Any]) -> list[tuple[str, float]]:
    """Read members with scores, which RESP2 sends flat, and RESP3 and the client of a cluster in pairs."""
    items = list(reply)
    pairs = items if items and isinstance(items[0], list | tuple) else zip(items[::2], items[1::2], strict=True)
    return [(decoded(member), float(score)) for member, score in pairs]
