"""See and end sessions, on whatever store ``SESSION_ENGINE`` names: what every front end calls.

All of it takes effect at the next request in every process. Each function raises ``ImproperlyConfigured`` when the
engine is not one of ours, and ``StoreUnavailableError`` when the store does not answer: then nothing is known about
the sessions that were to be ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    reason = _why_gone(record.user_id)
    return None if reason is None else revoke(record.sid, reason=reason)


def _why_gone(user_id: Any) -> str | None:
    """Return the reason to end the sessions of a user id: deleted, deactivated, or None to keep them."""
    model = get_user_model()
    try:
        user = model._base_manager.filter(pk=user_id).first()
    except (ValueError, ValidationError):
        return None  # An id of another user model than today's: no word on that user.
    if user is None:
        return "user_deleted"
    return None if getattr(user, "is_active", True) else "user_deactivated"


def _actor(by: Any) -> str | None:
    return None if by is None else user_id_of(by)
