"""A session, or the tombstone of one, as JSON text that people can read, and back.

``{"format": 1, "record": {...}, "values": {name: base64 of the sealed bytes}}``, or ``{"format": 1, "tombstone":
{...}}``. Instants are milliseconds since 1970 UTC; the record has ``details``, in base64, where there are any.

Two versions may share sessions while a site is deployed. So the number is raised by a version that adds something, and
this one reads what that has written without it. What must outlive a write by an older version goes into the details.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from typing import Any, Final

from django_srvsession.records import Client, Loaded, SessionRecord, Tombstone, is_sound
from django_srvsession.store import CorruptSessionError

FORMAT: Final = 1
_TEXT: Final = (str,)
_MAYBE_TEXT: Final = (str, type(None))
_NUMBER: Final = (int,)
_MAYBE_NUMBER: Final = (int, type(None))
_RECORD_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "sid": _TEXT,
    "user_id": _MAYBE_TEXT,
    "client": (dict,),
    "created_ms": _NUMBER,
    "signed_in_ms": _MAYBE_NUMBER,
    "last_seen_ms": _NUMBER,
    "expires_ms": _NUMBER,
    "lifetime_ms": _NUMBER,
    "deadline_ms": _MAYBE_NUMBER,
    "verifier": _TEXT,
    "previous_verifier": _MAYBE_TEXT,
    "rotated_ms": _MAYBE_NUMBER,
    "rotation_final": (bool,),
    "version": _NUMBER,
}
_DETAILS: Final = "details"
_CLIENT_TYPES: Final[dict[str, tuple[type, ...]]] = {"ip": _TEXT, "user_agent": _TEXT}
_TOMBSTONE_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "sid": _TEXT,
    "user_id": _MAYBE_TEXT,
    "reason": _TEXT,
    "by": _MAYBE_TEXT,
    "ended_ms": _NUMBER,
    "verifiers": (list,),
}


def encode(stored: Loaded | Tombstone) -> bytes:
    """Return what a file holds of a session or a tombstone; ASCII, a line for each part."""
    if isinstance(stored, Tombstone):
        fields = {name: getattr(stored, name) for name in _TOMBSTONE_TYPES}
        return f'{{"format": {FORMAT},\n"tombstone": {json.dumps(fields)}}}\n'.encode("ascii")
    record = stored.record
    fields = {name: getattr(record, name) for name in _RECORD_TYPES}
    fields["client"] = record.client._asdict()
    if record.details:
        fields[_DETAILS] = _text(record.details)
    values = {name: _text(value) for name, value in stored.values.items()}
    text = f'{{"format": {FORMAT},\n"record": {json.dumps(fields)},\n"values": {json.dumps(values)}}}\n'
    return text.encode("ascii")


def decode(data: bytes, sid: str, now_ms: int) -> Loaded | Tombstone:
    """Return the session or tombstone ``sid`` that :func:`encode` was given, as read at ``now_ms``.

    Raises ``CorruptSessionError`` for everything else: damaged text, another sid's file.
    """
    try:
        parts = json.loads(data)
        if type(parts["format"]) is not int or parts["format"] < FORMAT:
            raise CorruptSessionError(f"The file of session {sid} has a format that is not known here.")
        stored = _tombstone(parts["tombstone"], now_ms) if "tombstone" in parts else _session(parts, now_ms)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptSessionError(f"The file of session {sid} is damaged.") from error
    if (stored.sid if isinstance(stored, Tombstone) else stored.record.sid) != sid:
        raise CorruptSessionError(f"The file of session {sid} holds another session.")
    return stored


def _session(parts: dict[str, Any], now_ms: int) -> Loaded:
    details = _bytes(parts["record"].pop(_DETAILS, ""))
    fields = _checked(parts["record"], _RECORD_TYPES)
    fields["client"] = Client(**_checked(fields["client"], _CLIENT_TYPES))
    values = {name: _bytes(text) for name, text in parts["values"].items()}
    record = SessionRecord(**fields, details=details)
    if not is_sound(record):
        raise ValueError
    return Loaded(record, values, now_ms)


def _tombstone(part: dict[str, Any], now_ms: int) -> Tombstone:
    fields = _checked(part, _TOMBSTONE_TYPES)
    fields["verifiers"] = tuple(fields["verifiers"])
    tombstone = Tombstone(**fields, now_ms=now_ms)
    if not tombstone.is_sound:
        raise ValueError
    return tombstone


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _bytes(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)


def _checked(fields: dict[str, Any], types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return the fields that are known; raises ``TypeError`` where one is missing, or not of its type."""
    if any(type(fields[name]) not in kinds for name, kinds in types.items()):
        raise TypeError
    return {name: fields[name] for name in types}
