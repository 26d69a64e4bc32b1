"""What a session is in MongoDB: one document, which at its end becomes the tombstone under the same ``_id``.

A session::

    {_id: sid, format: 1, verifier, previous, rotated, final, user_id, created, seen, lifetime, expires, signed_in,
     deadline, ip, agent, details, version, nonce, values: {name: bytes, ...}}

A tombstone::

    {_id: sid, format: 1, ended, reason, by, user_id, verifiers: [current, previous], gone, nonce}

Instants are whole milliseconds (``long``). ``gone`` is the only date, and the only field with a TTL index: MongoDB
deletes old tombstones by itself, and never a session. ``nonce`` tells who made the document.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bson import Int64

from django_srvsession.backends.mongodb.transport import Document
from django_srvsession.records import Client, Loaded, SessionRecord, Tombstone, is_sound, is_storable
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.listings import note_damaged

FORMAT: Final = 1
"""Which one this is. A version that adds a field raises the number; this one reads such a document without it."""

RECORD_ONLY: Final = {"values": 0}
"""The projection that leaves a session's contents where they are."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_DAMAGED: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def field(name: str) -> str:
    """Return a field's name for any name of a value: without dot, dollar and NUL, and never empty.

    MongoDB would read the first two as paths and operators, and BSON cannot write NUL or half a surrogate pair.
    """
    if _PLAIN.fullmatch(name):
        return f"={name}"
    return "~" + base64.urlsafe_b64encode(name.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def name_of(field: str) -> str:
    """Return the name that :func:`field` was given; raises ``ValueError`` for a field of another make."""
    kind, text = field[:1], field[1:]
    if kind == "=":
        return text
    if kind != "~":
        raise ValueError("This is no field of a value.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")


def fields_of(values: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the values as they are stored."""
    return {field(name): value for name, value in values.items()}


def new_nonce() -> bytes:
    """Make what tells a document of this call from those of all others."""
    return os.urandom(8)


def storable(text: str) -> str:
    """Return a text without halves of surrogate pairs, which BSON cannot write."""
    return text.encode("utf-8", "replace").decode()


def check_user_id(user_id: str) -> str:
    """Return a user's id; raises ``ValueError`` where it cannot be stored as it is: changed, it would be another's."""
    if not is_storable(user_id):
        raise ValueError("A user's id may have no NUL and no halves of characters in MongoDB.")
    return user_id


def read(document: Document | None, now_ms: Any) -> Loaded | Tombstone | None:
    """Return what a document holds; a tombstone whose time is over is none.

    Raises :class:`CorruptSessionError` for a document that is not ours.
    """
    if document is None:
        return None
    return _tombstone(document, _whole(now_ms)) if "ended" in document else session_of(document, now_ms)


def session_of(document: Document, now_ms: Any) -> Loaded:
    """Return the session of a document; raises :class:`CorruptSessionError` where it is none."""
    try:
        values = document["values"]
        if not all(type(value) is bytes for value in values.values()):
            raise ValueError("A value is not bytes.")
        return Loaded(record_of(document), {name_of(key): value for key, value in values.items()}, _whole(now_ms))
    except _DAMAGED as error:
        raise CorruptSessionError("What stands there is no session.") from error


def _tombstone(document: Document, now_ms: int) -> Tombstone | None:
    try:
        tombstone, gone_ms = _tombstone_and_its_end(document, now_ms)
    except _DAMAGED as error:
        raise CorruptSessionError("What stands there is no tombstone.") from error
    return tombstone if now_ms < gone_ms else None


def _tombstone_and_its_end(document: Document, now_ms: int) -> tuple[Tombstone, float]:
    _check_format(document)
    verifiers, by, user_id = tuple(document["verifiers"]), document["by"], document["user_id"]
    tombstone = Tombstone(
        document["_id"], verifiers, document["reason"], by, _whole(document["ended"]), now_ms, user_id
    )
    gone: datetime = document["gone"]
    if not tombstone.is_sound:
        raise ValueError("The tombstone is damaged.")
    return tombstone, gone.replace(tzinfo=UTC).timestamp() * 1000


def record_of(document: Document) -> SessionRecord:
    """Return the record of a session; raises one of several errors where it is damaged: see :func:`read`."""
    _check_format(document)
    record = SessionRecord(
        document["_id"],
        document["verifier"],
        _whole(document["created"]),
        _whole(document["seen"]),
        _whole(document["lifetime"]),
        _whole(document["expires"]),
        document["user_id"],
        Client(document["ip"], document["agent"]),
        _whole(document["signed_in"]),
        _whole(document["deadline"]),
        document["previous"],
        _whole(document["rotated"]),
        document["final"] is True,
        _whole(document["version"]),
        document["details"],
    )
    if not is_sound(record):
        raise ValueError("The record is damaged.")
    return record


def records_of(documents: Sequence[Document]) -> list[SessionRecord]:
    """Return the records of those that are sound; the others are logged and left out."""
    found = ((document, sound_record(document)) for document in documents)
    return [record for _, record in found if record is not None]


def sound_record(document: Document) -> SessionRecord | None:
    """Return the record of a session, or None where it is damaged, which is logged."""
    try:
        return record_of(document)
    except _DAMAGED:
        note_damaged(document.get("_id"))
        return None


def _check_format(document: Document) -> None:
    if not _whole(document["format"]) >= FORMAT:
        raise ValueError("This is no number of a format.")


def _whole(number: Any) -> Any:
    """Return a number of 64 bits as Python's own; anything else as it is, for who looks at it."""
    return int(number) if type(number) is Int64 else number
