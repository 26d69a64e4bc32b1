"""See and end sessions, on whatever store ``SESSION_ENGINE`` names: what every front end calls.

All of it takes effect at the next request in every process. Each function raises ``ImproperlyConfigured`` when the
engine is not one of ours, and ``StoreUnavailableError`` when the store does not answer: then nothing is known about
the sessions that were to be ended.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_srvsession import engine
from django_srvsession.engine import current_store
from django_srvsession.lifecycle import end_steps
from django_srvsession.records import SessionRecord
from django_srvsession.steps import arun, run


def user_id_of(user: Any) -> str:
    """Return a user's id as records hold it, from a user object or from its primary key."""
    meta = getattr(user, "_meta", None)
    return str(user) if meta is None else str(meta.pk.value_to_string(user))


def sessions_of(user: Any) -> Sequence[SessionRecord]:
    """Return a user's live sessions, newest activity first, as a lazy sequence."""
    return current_store().records(user_id_of(user))


def session_of(user: Any, sid: str) -> SessionRecord | None:
    """Return one live session of a user; None when it is somebody else's, has ended, or never was.

    The three are one answer, so that nobody learns which it was.
    """
    return next((record for record in sessions_of(user) if record.sid == sid), None)


def live_sessions() -> Sequence[SessionRecord]:
    """Return all live sessions, newest activity first, as a lazy sequence whose ``len()`` may be approximate."""
    return current_store().records()


def revoke(sid: str, *, by: Any = None, reason: str = "revoked") -> SessionRecord | None:
    """End one session for good; return its record, or None if there was none to end.

    ``by`` is who did it: a user, or text such as a command's name.
    """
    return run(end_steps(sid, reason, _actor(by)), current_store())


async def arevoke(sid: str, *, by: Any = None, reason: str = "revoked") -> SessionRecord | None:
    """Do as :func:`revoke`."""
    return await arun(end_steps(sid, reason, _actor(by)), current_store())


def revoke_all(user: Any, *, keep: str | None = None, by: Any = None, reason: str = "revoked") -> list[SessionRecord]:
    """End all sessions of a user, except the one with the sid ``keep``, and return the ended records.

    A sign-in that is still under way is ended, or is listed afterwards: no session works without being listed.
    """
    sids = [record.sid for record in sessions_of(user) if record.sid != keep]
    ended = (revoke(sid, by=by, reason=reason) for sid in sids)
    return [record for record in ended if record is not None]


def clear_expired(
    *, batch_size: int = 1000, dry_run: bool = False, on_progress: Callable[[int], object] | None = None
) -> int:
    """End the sessions whose time is up, each with its signal, in batches; return how many (to be) ended."""
    store = current_store()
    return engine.clear_expired(store, batch_size=batch_size, dry_run=dry_run, on_progress=on_progress)


def end_if_user_is_gone(record: SessionRecord) -> SessionRecord | None:
    """End a session whose user was deleted or deactivated; return its record if this call ended it."""
    for reason in _why_gone({record.user_id} if record.user_id is not None else ()).values():
        return revoke(record.sid, reason=reason)
    return None


def end_sessions_of_missing_users(*, batch_size: int = 1000, dry_run: bool = False) -> int:
    """End the live sessions of users who were deleted or deactivated behind Django's signals; return how many.

    ``QuerySet.update()`` and SQL send no signal: such sessions end at their next request, or here. Reads all live
    sessions, and asks for their users, in batches.
    """
    signed_in = (record for record in live_sessions() if record.user_id is not None)
    ended = 0
    while batch := list(itertools.islice(signed_in, batch_size)):
        reasons = _why_gone({record.user_id for record in batch if record.user_id is not None})
        for record in batch:
            reason = reasons.get(record.user_id or "")
            ended += reason is not None and (dry_run or revoke(record.sid, reason=reason) is not None)
    return ended


def _why_gone(user_ids: Collection[str]) -> dict[str, str]:
    """Return, for those of these users who are deleted or deactivated, the reason to end their sessions."""
    pk = get_user_model()._meta.pk
    known: dict[str, Any] = {}
    for user_id in user_ids:
        # An id of another user model than today's says nothing of that user.
        with contextlib.suppress(ValueError, ValidationError):
            known[user_id] = pk.to_python(user_id)
    users = {user.pk: user for user in get_user_model()._base_manager.filter(pk__in=list(known.values()))}
    reasons = {user_id: _why_ended(users.get(value)) for user_id, value in known.items()}
    return {user_id: reason for user_id, reason in reasons.items() if reason is not None}


def _why_ended(user: Any) -> str | None:
    if user is None:
        return "user_deleted"
    return None if getattr(user, "is_active", True) else "user_deactivated"


def _actor(by: Any) -> str | None:
    return None if by is None else user_id_of(by)
