"""The verbs on sessions: one command each; where it matched nothing, one load says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from django_srvsession.backends.mongodb import pipelines
from django_srvsession.backends.mongodb.format import RECORD_ONLY, new_nonce, read, records_of, session_of, sound_record
from django_srvsession.backends.mongodb.transport import SESSIONS, Document, OvertakenError, Pipeline, Query, Transport
from django_srvsession.records import MOVED, Delta, Ending, Loaded, SessionRecord, Tombstone, is_sid, updated_values
from django_srvsession.store import (
    GONE,
    TAKEN,
    CorruptSessionError,
    CreateError,
    StoreUnavailableError,
    UpdateError,
    rules,
)

_TRIES: Final = 5


async def create(to: Transport, sid: str, verifier: str, delta: Delta) -> Loaded:
    """Do as ``Store.create``."""
    nonce = new_nonce()
    return await _stored(to, sid, verifier, nonce, pipelines.created(verifier, delta, nonce))


async def restore(to: Transport, session: Loaded) -> Loaded:
    """Do as ``Store.restore``."""
    nonce, record = new_nonce(), session.record
    await to.delete(SESSIONS, {"_id": record.sid, "ended": {"$exists": True}, "reason": MOVED})
    stored = await _stored(to, record.sid, record.verifier, nonce, pipelines.restored(session, nonce))
    return stored._replace(now_ms=max(session.now_ms, stored.now_ms))


async def _stored(to: Transport, sid: str, verifier: str, nonce: bytes, pipeline: Pipeline) -> Loaded:
    document = await _made(to, sid, pipeline)
    if document.get("nonce") == nonce:
        return session_of(document, document["created"])
    try:
        found = await load(to, sid)
    except CorruptSessionError as error:
        raise CreateError(TAKEN) from error
    existing = rules.already_created(found, verifier, found.now_ms) if found else None
    if existing is None:
        raise CreateError(TAKEN)
    return existing


async def _made(to: Transport, sid: str, pipeline: Pipeline) -> Document:
    """Return the document that this has made, or that was there."""
    for _ in range(_TRIES):
        try:
            document = await to.find_and_change(SESSIONS, {"_id": sid}, pipeline, upsert=True)
        except OvertakenError:  # Two upserts of one sid met: the next try finds the other's.
            continue
        if document is not None:
            return document
    raise StoreUnavailableError("Others make and delete this session all the time.")


async def load(to: Transport, sid: str) -> Loaded | Tombstone | None:
    """Do as ``Store.load``; a sid of any other form than ours is unknown, without a command."""
    if not is_sid(sid):
        return None
    found = await to.aggregate(SESSIONS, [{"$match": {"_id": sid}}, {"$set": {"now": pipelines.NOW}}], 1)
    return read(found[0], found[0]["now"]) if found else None


async def update(to: Transport, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
    """Do as ``Store.update``; with a ``base`` the contents stay where they are."""
    if not is_sid(sid):
        raise UpdateError(GONE)
    query, pipeline = pipelines.changeable(sid, verifier, delta), pipelines.changed(delta)
    projection = None if base is None else RECORD_ONLY
    for _ in range(_TRIES):
        document = await to.find_and_change(SESSIONS, query, pipeline, projection=projection)
        if document is not None:
            return _after(document, delta, base)
        current = await load(to, sid)
        after = rules.changed(current, verifier, delta, current.now_ms if current else 0)
        if after is current:  # Its key is changed already.
            return after
    raise StoreUnavailableError("The session changes all the time.")


def _after(document: Document, delta: Delta, base: Loaded | None) -> Loaded:
    if base is None:
        return session_of(document, document["seen"])
    after = session_of({**document, "values": {}}, document["seen"])
    return after._replace(values=updated_values(base.values, delta))


async def end(to: Transport, sid: str, ending: Ending) -> SessionRecord | None:
    """Do as ``Store.end``; of one that is damaged nobody gets the record."""
    if not is_sid(sid):
        return None
    query, pipeline = pipelines.endable(sid, ending), pipelines.ended(ending)
    before = await to.find_and_change(SESSIONS, query, pipeline, projection=RECORD_ONLY, returns_new=False)
    return None if before is None else sound_record(before)


async def end_many(to: Transport, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
    """Do as ``Store.end_many``: by one command that reads, and one that ends what has not changed since."""
    left, ended = list(filter(is_sid, sids)), list[SessionRecord]()
    for _ in range(_TRIES):
        found = await _matching(to, left, pipelines.DUE if ending.reason is None else pipelines.LIVE)
        if not found:
            return ended
        ended += await end_these(to, found, ending)
        gone = {record.sid for record in ended}
        left = [document["_id"] for document in found if document["_id"] not in gone]
    one_by_one = [await end(to, sid, ending) for sid in left]
    return ended + [record for record in one_by_one if record is not None]


async def end_these(to: Transport, found: Sequence[Document], ending: Ending) -> list[SessionRecord]:
    """End those of these sessions that have not changed since they were read; return the records of those."""
    nonce = new_nonce()
    condition, pipeline = pipelines.DUE if ending.reason is None else pipelines.LIVE, pipelines.ended(ending, nonce)
    changes = [({**condition, "_id": one["_id"], "version": one.get("version")}, pipeline) for one in found]
    count = await to.change_each(SESSIONS, changes)
    if count < len(found):
        ours = await _matching(to, [one["_id"] for one in found], {"nonce": nonce})
        ended = {one["_id"] for one in ours}
        found = [one for one in found if one["_id"] in ended]
    return records_of(found)


async def _matching(to: Transport, sids: Sequence[str], condition: Query, *steps: Document) -> list[Document]:
    if not sids:
        return []
    query = {**condition, "_id": {"$in": list(sids)}}
    return await to.aggregate(SESSIONS, [{"$match": query}, {"$project": RECORD_ONLY}, *steps], len(sids))


async def alive(to: Transport, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Do as ``Store.alive``, in one command."""
    found = await _matching(to, list(filter(is_sid, sids)), pipelines.LIVE, {"$set": {"now": pipelines.NOW}})
    now_ms = {document["_id"]: document["now"] for document in found}
    return {record.sid: record.openers(now_ms[record.sid]) for record in records_of(found)}
