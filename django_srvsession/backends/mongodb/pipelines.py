"""The rules of sessions as queries and pipelines: what must hold of a document, and what becomes of it, in one command.

``records.updated``, ``records.rotated`` and ``rules.tombstone`` are the rules; ``tests/backends/test_mongodb_rules.py``
holds what is said here against them. Whatever comes from outside stands in a ``$literal``: a user agent
``$verifier`` would be read as a field otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bson import Int64

from django_srvsession.backends.mongodb.format import FORMAT, check_user_id, field, fields_of, storable
from django_srvsession.backends.mongodb.transport import Document, Pipeline
from django_srvsession.records import (
    LATEST_MS,
    MOST,
    NO_CLIENT,
    ROTATION_GRACE_MS,
    UNSET,
    Client,
    Delta,
    Ending,
    Loaded,
    checked_details,
    given,
)
from django_srvsession.store import rules

NOW: Final[Mapping[str, Any]] = {"$toLong": "$$NOW"}
"""The server's clock in milliseconds: one instant for a whole command."""

INSTANT: Final = {"$type": ["int", "long"], "$gte": 0, "$lte": Int64(LATEST_MS)}
_COUNT: Final = {**INSTANT, "$lte": Int64(MOST)}

STORED: Final[Mapping[str, Any]] = {"expires": {"$gt": 0}}
"""What holds of every session, and of no tombstone: the condition of the partial indexes."""
LIVE: Final[Mapping[str, Any]] = {**STORED, "$expr": {"$gt": ["$expires", NOW]}}
DUE: Final[Mapping[str, Any]] = {**STORED, "$expr": {"$lte": ["$expires", NOW]}}
LISTED: Final[Mapping[str, Any]] = {**LIVE, "seen": INSTANT}
"""Live, and at a place in the order of last uses."""
COMPUTABLE: Final[Mapping[str, Any]] = {
    "format": {"$type": ["int", "long"], "$gte": FORMAT},
    "expires": INSTANT,
    "seen": INSTANT,
    "lifetime": _COUNT,
    "version": _COUNT,
    "values": {"$type": "object"},
}
"""What an update computes with: a damaged session is not written."""

_EXPIRY_REASON: Final = {
    "$cond": [
        {"$and": [{"$ne": ["$deadline", None]}, {"$gte": ["$expires", "$deadline"]}]},
        "expired_lifetime",
        "expired_idle",
    ]
}


def literal(value: Any) -> Any:
    """Say a value that is not to be read as anything else; whole numbers are stored with 64 bits."""
    return {"$literal": Int64(value) if type(value) is int else value}


def accepting(verifier: str) -> Document:
    """Return the condition that a key with this verifier opens the session (``SessionRecord.accepts``)."""
    in_grace = {"$lt": [{"$subtract": [NOW, "$rotated"]}, ROTATION_GRACE_MS]}
    before = {"previous": verifier, "final": False, "rotated": {"$type": "number"}, "$expr": in_grace}
    return {"$or": [{"verifier": verifier}, before]}


def standing(expected: Mapping[str, bytes | None]) -> Document:
    """Return the condition that these bytes stand (None: nothing stands)."""
    stands = {name: {"$exists": False} if value is None else value for name, value in expected.items()}
    return {f"values.{field(name)}": value for name, value in stands.items()}


def changeable(sid: str, verifier: str, delta: Delta) -> Document:
    """Return the query for a session that takes this delta from the holder of this verifier."""
    changes_key = {"verifier": {"$eq": verifier, "$ne": delta.new_verifier}}
    whose = accepting(verifier) if delta.new_verifier is None else changes_key
    users = {} if delta.user_id is UNSET else {"user_id": {"$in": [None, delta.user_id]}}
    return {"_id": sid, **LIVE, **COMPUTABLE, **whose, **users, **standing(delta.expected)}


def endable(sid: str, ending: Ending) -> Document:
    """Return the query for a session that this ending ends."""
    whose = {} if ending.verifier is None else accepting(ending.verifier)
    which = {} if ending.version is None else {"version": Int64(ending.version)}
    return {"_id": sid, **(DUE if ending.reason is None else LIVE), **whose, **which, **standing(ending.expected or {})}


def created(verifier: str, delta: Delta, nonce: bytes) -> Pipeline:
    """Return what makes a new session of a document that has just been made, and leaves any other as it is."""
    if delta.lifetime_ms is UNSET:
        raise ValueError("A new session needs a lifetime: Delta(lifetime_ms=...).")
    user_id, deadline_ms = given(delta.user_id, None), given(delta.deadline_ms, None)
    fixed = {
        "format": FORMAT,
        "nonce": nonce,
        "verifier": verifier,
        "previous": None,
        "rotated": None,
        "final": True,
        "user_id": None if user_id is None else check_user_id(user_id),
        "lifetime": Int64(delta.lifetime_ms),
        "deadline": None if deadline_ms is None else Int64(deadline_ms),
        **_client_fields(given(delta.client, NO_CLIENT)),
        "details": checked_details(given(delta.details, b"")),
        "version": Int64(1),
        "values": fields_of(delta.changed),
    }
    timed = {
        "created": NOW,
        "seen": NOW,
        "signed_in": None if user_id is None else NOW,
        "expires": _expiry(literal(delta.lifetime_ms), literal(deadline_ms)),
    }
    return _made_of(fixed, timed)


def restored(session: Loaded, nonce: bytes) -> Pipeline:
    """Do as :func:`created` with a session as it stood elsewhere."""
    record = session.record
    numbers = {
        "created": record.created_ms,
        "seen": record.last_seen_ms,
        "signed_in": record.signed_in_ms,
        "expires": record.expires_ms,
        "lifetime": record.lifetime_ms,
        "deadline": record.deadline_ms,
        "rotated": record.rotated_ms,
        "version": record.version,
    }
    fixed = {
        "format": FORMAT,
        "nonce": nonce,
        "verifier": record.verifier,
        "previous": record.previous_verifier,
        "final": record.rotation_final,
        "user_id": None if record.user_id is None else check_user_id(record.user_id),
        **_client_fields(record.client),
        "details": checked_details(record.details),
        "values": fields_of(session.values),
        **{name: None if number is None else Int64(number) for name, number in numbers.items()},
    }
    return _made_of(fixed, {})


def _made_of(fixed: Document, timed: Document) -> Pipeline:
    whole = {"$mergeObjects": [{"_id": "$_id"}, {"$literal": fixed}, timed]}
    return [{"$replaceWith": {"$cond": [{"$eq": ["$$ROOT", {"_id": "$_id"}]}, whole, "$$ROOT"]}}]


def _expiry(lifetime: Any, deadline: Any) -> Document:
    """Say ``records.expiry``."""
    return {"$min": [{"$add": [NOW, lifetime]}, _or_never(deadline)]}


def _or_never(deadline: Any) -> Document:
    return {"$ifNull": [deadline, literal(LATEST_MS)]}


def changed(delta: Delta) -> Pipeline:
    """Return what applies a delta: ``records.updated``, and ``records.rotated`` after it."""
    lifetime = "$lifetime" if delta.lifetime_ms is UNSET else literal(delta.lifetime_ms)
    deadline = "$deadline" if delta.deadline_ms is UNSET else literal(delta.deadline_ms)
    fields: Document = {
        "seen": {"$max": ["$seen", NOW]},
        "expires": _expiry(lifetime, deadline) if delta.extend else {"$min": ["$expires", _or_never(deadline)]},
        "version": {"$add": ["$version", 1]},
    }
    if delta.lifetime_ms is not UNSET:
        fields["lifetime"] = lifetime
    if delta.deadline_ms is not UNSET:
        fields["deadline"] = deadline
    if delta.user_id is not UNSET:
        fields |= {"user_id": literal(check_user_id(delta.user_id)), "signed_in": NOW}
    if delta.client is not UNSET:
        fields |= {name: literal(text) for name, text in _client_fields(delta.client).items()}
    if delta.details is not UNSET:
        fields["details"] = literal(checked_details(delta.details))
    if delta.new_verifier is not None:
        fields |= _rotation(delta.new_verifier, delta)
    return [*_values_before(delta), {"$set": fields | _values(delta)}]


def _rotation(new_verifier: str, delta: Delta) -> Document:
    later = {"$max": [NOW, {"$add": [{"$ifNull": ["$signed_in", 0]}, 1]}]}
    is_older = {"$eq": ["$signed_in", None]}
    return {
        "verifier": literal(new_verifier),
        "previous": "$verifier",
        "final": literal(delta.final),
        "rotated": NOW if delta.user_id is not UNSET else {"$cond": [is_older, NOW, later]},
    }


def _values(delta: Delta) -> Document:
    """Return the fields of values that are set, after :func:`_values_before`."""
    stored = fields_of(delta.changed)
    if delta.cleared:
        return {"values": {"$literal": stored}}
    return {f"values.{key}": {"$literal": value} for key, value in stored.items()}


def _values_before(delta: Delta) -> Pipeline:
    """Return the stages that take out what is removed, and then write anew what is resealed."""
    if delta.cleared:
        return []
    stages: list[Document] = []
    if delta.removed:
        stages.append({"$unset": [f"values.{field(name)}" for name in delta.removed]})
    if delta.resealed:
        pairs = {f"values.{field(name)}": pair for name, pair in delta.resealed.items()}
        stages.append({"$set": {path: _resealed(f"${path}", *pair) for path, pair in pairs.items()}})
    return stages


def _resealed(stands: str, old: bytes, new: bytes) -> Document:
    return {"$cond": [{"$eq": [stands, literal(old)]}, literal(new), stands]}


def ended(ending: Ending, nonce: bytes | None = None) -> Pipeline:
    """Return what makes the tombstone of a session: ``rules.tombstone``."""
    tombstone = {
        "_id": "$_id",
        "format": literal(FORMAT),
        "ended": NOW,
        "reason": _EXPIRY_REASON if ending.reason is None else literal(storable(ending.reason)),
        "by": literal(None if ending.by is None else storable(ending.by)),
        "user_id": "$user_id",
        "verifiers": {"$cond": [{"$eq": ["$previous", None]}, ["$verifier"], ["$verifier", "$previous"]]},
        "gone": {"$add": ["$$NOW", rules.keep_ms()]},
        "nonce": literal(nonce),
    }
    return [{"$replaceWith": tombstone}]


def _client_fields(client: Client) -> Document:
    return {"ip": storable(client.ip), "agent": storable(client.user_agent)}
