"""The sessions that wait in another engine when all sessions of their user end: no list has them.

Nobody can go through the other engine and find whose sessions are there. So "sign out everywhere" leaves a mark of the
user, and who comes with a session from there that began before the mark is signed out instead of carried over. Those
engines do not know when a session began. So marks are numbered, and who signs in there, or goes back there, notes in
the session how many stood then. A session without a note began before all of them.

A mark is a tombstone in our store: every store keeps it until the date of the move. Its sid is a keyed hash of the user
and the number, so it says nothing of whose it is, and is found without an index.

It is begun before the user's sessions are listed, and asked for before and after a session is carried over: one of the
two sees the other. It is complete, a tombstone, when all that were listed have ended. A session that goes back notes
only complete ones: it still lives, so it began after them. A sign-in notes all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from hmac import compare_digest
from typing import Any, Final

from asgiref.sync import sync_to_async

from django_srvsession import migrating, users
from django_srvsession.engine import ending
from django_srvsession.engine.details import Details
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.session import SessionStore
from django_srvsession.engine.values import MARK_PREFIX
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import CreateError, Store
from django_srvsession.store.face import BlockingFace, Face, run_blocking

NOTE: Final = f"{MARK_PREFIX}after"
"""What a session of the other engine notes under this name: how many marks its user had, and a digest of the two."""

_LONGEST_MS: Final = 600_000
"""How long it may take to end all sessions of a user."""


async def ended_by(face: Face, contents: Mapping[Any, Any]) -> Ending | None:
    """Return how a session with these contents has ended while it waited; None for one that goes on.

    One load of our store, where somebody is signed in.
    """
    return await of_user_ended_by(face, await named_in(face, contents), contents)


async def of_user_ended_by(face: Face, user_id: str | None, contents: Mapping[Any, Any]) -> Ending | None:
    """Do as :func:`ended_by` for contents that are known to be this user's: a backend may name nobody by now."""
    return None if user_id is None else await _mark(face, user_id, _noted(contents, user_id))


async def named_in(face: Face, contents: Mapping[Any, Any]) -> str | None:
    """Return the id of the user whom the contents of a session of the other engine name."""
    if not face.blocks and users.only_backend_knows(contents):
        return await sync_to_async(users.named_in)(contents)
    return users.named_in(contents)


async def end_all_of(
    user_id: str, keep: Collection[str], how: Ending, face_of: Callable[[Store], Face]
) -> list[SessionRecord]:
    """End what waits of a user while the site moves; return the records of what is known of it.

    The user's sessions in stores of ours end with them, on both sides, since requests move them meanwhile. In other
    engines there is a mark afterwards, and whom it meets shows later.
    """
    engines = migrating.engines() or ()
    faces = [face_of(engine.store()) for engine in engines if migrating.is_ours(engine)]
    marks = {face: await _begin_mark(face, user_id) for face in faces if len(faces) < len(engines)}
    ended = [record for face in faces for record in await ending.end_all_of(face, SessionStore, user_id, keep, how)]
    for face, key in marks.items():
        if face.store.in_transaction:  # Nobody sees the mark until it is committed, and carries over meanwhile.
            _end_again_on_commit(face.store, user_id, keep, how)
        await face.end(key.sid, Ending(how.reason, how.by))
    return ended


def note(session: Any, user_id: str) -> None:
    """Note in a session of the other engine that it begins after the marks that there are; blocking."""
    for engine in migrating.engines() or ():
        if migrating.is_ours(engine):
            session.pop(NOTE, None)
            session.update(_as_note(user_id, run_blocking(_count(BlockingFace(engine.store()), user_id))))


def keep(session: Any, user_id: str) -> None:
    """Note in a session of the other engine that it stays: its own request has just ended all others of its user.

    It notes one mark more, and no others: what somebody else has ended meanwhile stays ended.
    """
    if users.named_in(session) == user_id:
        session.update(_as_note(user_id, _noted(session, user_id) + 1))


async def note_of(face: Face, user_id: str | None) -> dict[str, Any]:
    """Return what a session of this user that goes to the other engine must hold there: nothing without marks."""
    return {} if user_id is None else _as_note(user_id, await _complete(face, user_id))


def _as_note(user_id: str, number: int) -> dict[str, Any]:
    return {NOTE: [number, SessionKey.marking(user_id, number)[0].verifier]} if number else {}


def _noted(contents: Mapping[Any, Any], user_id: str) -> int:
    """Return how many marks a session notes; none where the note is another user's, or was made by somebody else."""
    match contents.get(NOTE):
        case [int(number), str(digest)] if digest.isascii():
            is_genuine = any(compare_digest(digest, key.verifier) for key in SessionKey.marking(user_id, number))
            return number if is_genuine else 0
    return 0


async def _begin_mark(face: Face, user_id: str) -> SessionKey:
    """Store the next mark, which is to be ended once all else has, and return its key."""
    key = SessionKey.marking(user_id, await _count(face, user_id))[0]
    with contextlib.suppress(CreateError):  # Another one has left it meanwhile.
        await face.create(key.sid, key.verifier, Delta(lifetime_ms=_LONGEST_MS))
    return key


async def _complete(face: Face, user_id: str) -> int:
    """Return how many marks are complete: all that came before one count as such, and one that nobody has ended."""
    number = await _count(face, user_id)
    while number and _is_begun(await _look(face, user_id, number - 1)):
        number -= 1
    return number


def _is_begun(stored: Loaded | Tombstone | None) -> bool:
    return isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms)


async def _count(face: Face, user_id: str) -> int:
    """Return how many marks a user has: the number of the next one, found in steps that double, then halve."""
    number, step = 0, 1
    while await _mark(face, user_id, number + step - 1) is not None:
        number, step = number + step, step * 2
    most = number + step - 1
    while number < most:
        middle = (number + most) // 2
        if await _mark(face, user_id, middle) is None:
            most = middle
        else:
            number = middle + 1
    return number


async def _mark(face: Face, user_id: str, number: int) -> Ending | None:
    """Return how a mark, complete or not, says that sessions ended; None where there is no such mark."""
    stored = await _look(face, user_id, number)
    if stored is None:
        return None
    return Ending(stored.reason, stored.by) if isinstance(stored, Tombstone) else Ending("revoked")


async def _look(face: Face, user_id: str, number: int) -> Loaded | Tombstone | None:
    """Return what stands for a mark, under whichever secret."""
    for key in SessionKey.marking(user_id, number):
        if (stored := await face.load(key.sid)) is not None:
            return stored
    return None


def _end_again_on_commit(store: Store, user_id: str, keep: Collection[str], how: Ending) -> None:
    """End what was carried over until the caller's transaction was committed, and not who has signed in since."""
    now_ms = store.clock_ms

    def end() -> None:
        since = {record.sid for record in store.records(user_id) if _has_signed_in(record, now_ms)}
        run_blocking(ending.end_all_of(BlockingFace(store), SessionStore, user_id, {*keep, *since}, how))

    store.on_commit(end)


def _has_signed_in(record: SessionRecord, since_ms: int) -> bool:
    """Tell whether a session began by ``login()`` since then: of what was carried over nobody knows when it began."""
    try:
        was_carried_over = Details.decode(record.details).was_switched
    except SealError:
        return False
    return not was_carried_over and (record.signed_in_ms or 0) >= since_ms
