"""Ending sessions by their sid, and saying so by signal: what services, commands and stores call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from django_srvsession import conf
from django_srvsession.engine import ending, signalling
from django_srvsession.engine.session import SessionStore
from django_srvsession.records import Ending, SessionRecord
from django_srvsession.store import Store
from django_srvsession.store.face import BlockingFace, Face, run_blocking


def end(store: Store, sid: str, how: Ending) -> SessionRecord | None:
    """End a session; the record to the one caller that ended it, None to others and where there was none to end."""
    return run_blocking(ending.end(BlockingFace(store), SessionStore, sid, how))


async def aend(store: Store, sid: str, how: Ending) -> SessionRecord | None:
    """Do as :func:`end`."""
    return await ending.end(store.face(), SessionStore, sid, how)


def end_many(store: Store, sids: Sequence[str], how: Ending) -> Sequence[SessionRecord]:
    """End as many sessions as the store ends in one step; return the records of those that this call has ended."""
    return run_blocking(ending.end_many(BlockingFace(store), SessionStore, sids, how))


async def aend_many(store: Store, sids: Sequence[str], how: Ending) -> Sequence[SessionRecord]:
    """Do as :func:`end_many`."""
    return await ending.end_many(store.face(), SessionStore, sids, how)


def end_all_of(store: Store, user_id: str, keep: Collection[str], how: Ending) -> list[SessionRecord]:
    """End all live sessions of a user but those to keep, and what waits of them while the site moves; as ``ending``."""
    waited = run_blocking(_end_waiting(user_id, keep, how, BlockingFace))
    return waited + run_blocking(ending.end_all_of(BlockingFace(store), SessionStore, user_id, keep, how))


async def aend_all_of(store: Store, user_id: str, keep: Collection[str], how: Ending) -> list[SessionRecord]:
    """Do as :func:`end_all_of`."""
    waited = await _end_waiting(user_id, keep, how, lambda store: store.face())
    return waited + await ending.end_all_of(store.face(), SessionStore, user_id, keep, how)


def end_waiting(user_id: str, keep: Collection[str], how: Ending) -> list[SessionRecord]:
    """End all that a user has, and that waits, while the site moves; else nothing."""
    return run_blocking(_end_waiting(user_id, keep, how, BlockingFace))


async def _end_waiting(
    user_id: str, keep: Collection[str], how: Ending, face_of: Callable[[Store], Face]
) -> list[SessionRecord]:
    if not conf.is_moving():
        return []
    from django_srvsession.engine import waiting  # Most sites do not move.

    return await waiting.end_all_of(user_id, keep, how, face_of)


def clear_expired(store: Store, **options: Any) -> int:
    """End all sessions whose time is up, each with its signal; options and result as ``Store.clear_expired``."""
    return ending.clear_expired(store, SessionStore, **options)


def tell_ended(store: Store, record: SessionRecord, reason: str) -> None:
    """Say that a store has ended a session by itself."""
    run_blocking(signalling.tell_ended(BlockingFace(store), SessionStore, [record], reason))


async def atell_ended(face: Face, record: SessionRecord, reason: str) -> None:
    """Do as :func:`tell_ended`."""
    await signalling.tell_ended(face, SessionStore, [record], reason)
