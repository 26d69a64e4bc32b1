"""What is done with a session before its answer goes out: save it, or note its use, and look whether that stands."""

from __future__ import annotations

import logging
from typing import Final

from django.contrib.sessions.exceptions import SessionInterrupted

from django_srvsession import conf
from django_srvsession.engine import lifetimes
from django_srvsession.engine.bookkeeping import best_effort
from django_srvsession.engine.ending import end_own, flush
from django_srvsession.engine.reading import contents, exists, standing_of
from django_srvsession.engine.saving import save
from django_srvsession.engine.state import SessionState, Standing
from django_srvsession.engine.writing import touch
from django_srvsession.store import StoreUnavailableError, UpdateError
from django_srvsession.store.face import Face

INTERRUPTED: Final = (
    "The request's session was deleted before the request completed. "
    "The user may have logged out in a concurrent request, for example."
)

log = logging.getLogger("django_srvsession")


async def settle(state: SessionState, face: Face, status: int, was_used: bool) -> bool:
    """Save what the request changed, or note that it used the session; return whether its cookie must be sent again.

    Where the view's transaction rolled back a session that was created, rotated or ended in it, an answer that claims
    success is withheld (``StoreUnavailableError``); one with a ``status`` of 4xx or 5xx promised nothing.
    """
    if was_used or state.has_changes or state.needs_cookie:
        state.resign()
    extended = False if status >= 500 else await _save(state, face)
    if not await confirm(state, face) and status < 400:
        log.error("What the view did to its session was rolled back by its transaction; its answer is withheld.")
        raise StoreUnavailableError("What the request did to its session was rolled back.")
    return extended


async def _save(state: SessionState, face: Face) -> bool:
    """Save, or record the use of, the session; return whether its cookie must be sent again."""
    try:
        if state.is_empty:
            return False
        if state.is_to_be_saved:
            return await _saved(state, face)
        return await _keep_books(state, face)
    except UpdateError:
        if conf.migrate_to is not None:
            from django_srvsession.engine import going_back  # Most sites do not move.

            if await going_back.follow(state, face):
                return state.needs_cookie
        if conf.late_save == "interrupt" and state.has_changes:
            raise SessionInterrupted(INTERRUPTED) from None
        sid = None if state.key is None else state.key.sid
        log.info("Session %s was ended meanwhile: what this request changed is not stored.", sid)
        if not state.is_unconfirmed:  # Else the next step looks whether the view's transaction undid it.
            state.withhold()
        return False


async def _saved(state: SessionState, face: Face) -> bool:
    await save(state, face)
    return state.key_text is not None


async def _keep_books(state: SessionState, face: Face) -> bool:
    """Write what nobody asked for, if the store can; return whether a cookie must be sent again."""
    renews = state.has_changes or state.needs_resealing or bool(state.pending)
    done = await best_effort(face, lambda brief: _saved(state, brief) if renews else _note_use(state, brief))
    if renews and done is None and not state.was_written:
        state.withhold()  # The key is signed anew when its values are sealed anew.
    return bool(done)


async def _note_use(state: SessionState, face: Face) -> bool:
    """Record that the session is in use, when that is due; return whether a persistent cookie must be sent again."""
    always = conf.flag("SESSION_SAVE_EVERY_REQUEST")
    if not always and not state.is_live:
        return False
    values = await contents(state, face)
    if not state.is_live or not (always or state.is_touch_due or state.was_renewed):
        return False
    expiry = values.get(lifetimes.EXPIRY_KEY)
    extend = lifetimes.slides(expiry)
    if not state.was_renewed:
        await touch(state, face, extend)
    return extend and (always or not lifetimes.ends_with_browser(expiry))


async def confirm(state: SessionState, face: Face) -> bool:
    """Check, once, that what was written inside a transaction of the view's is really stored; True if it is.

    A rotation or a creation that was rolled back leaves the browser's own key in place; an end that was rolled back is
    no end. A session that was stored, and has been ended since by somebody else, is only that.
    """
    if not state.look_again():
        return True
    was_undone = False
    if state.needs_cookie:
        standing = await standing_of(state, face, state.key_text)
        if standing is Standing.NOTHING:
            state.come_back()
            was_undone = True
        elif standing is Standing.JUST_ENDED:
            state.end()
    if state.was_ended_here and await exists(state, face, state.cookie_text):
        state.note_end_here(False)
        state.come_back()
        was_undone = True
    return not was_undone


async def refuse(state: SessionState, face: Face, reason: str) -> None:
    """End the session of a sign-in that is not admitted, unless its key has changed since, and leave nobody signed in.

    The exception that follows rolls back the view's transaction, if it has one, and the session was never stored: no
    outage.
    """
    await end_own(state, face, reason)
    await flush(state, face)
    state.note_end_here()  # Flushing found it ended; the cookie must go all the same.
    await confirm(state, face)
