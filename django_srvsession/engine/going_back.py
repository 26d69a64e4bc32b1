"""Carrying a session of ours into an engine that is not: at the next request that brings its key.

We keep no key that could be given back. The one there is a keyed hash of the one here (``SessionKey.elsewhere``), so
parallel requests make or find one session. Ours ends when that is stored; its tombstone leads on to it.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.sessions.backends.base import CreateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from django_srvsession.engine import writing
from django_srvsession.engine.carrying import there
from django_srvsession.engine.reading import contents
from django_srvsession.engine.state import SessionState
from django_srvsession.records import MOVED, Client, Delta, Ending
from django_srvsession.store import StoreUnavailableError, UpdateError
from django_srvsession.store.face import Face

_TRIES: Final = 5
_MOMENT_MS: Final = 60_000


async def give_back(state: SessionState, face: Face, engine: Any, client: Client) -> Any:
    """Return the other engine's session object for a live session of ours, which has ended then; None without one.

    A change of another request while this goes on is taken along. Raises ``StoreUnavailableError`` where that happens
    again and again, and where our store does not answer.
    """
    for _ in range(_TRIES):
        values, key, loaded = await contents(state, face), state.key, state.loaded
        if key is None or loaded is None:
            return None  # Another request was faster.
        session = await there(face, _stored, engine, key.elsewhere(), dict(values), client)
        if issubclass(engine, CookieStore):
            await _let_run_out(state, face)
            return session
        # Only what has not changed since it was read ends.
        if await face.end(key.sid, Ending(MOVED, None, key.verifier, dict(loaded.values), loaded)) is not None:
            return session
        state.hold(None)
    raise StoreUnavailableError("Others keep changing the session that is to be given back.")


def _stored(engine: Any, key: str, values: dict[Any, Any], client: Client) -> Any:
    """Store these contents under a key of the other engine; if a request was faster, what it stored is replaced."""
    session = session_of(engine, key, client)
    session._session_cache = {}
    for name, value in values.items():
        session[name] = value  # By its own method: some engines learn so whose session it is.
    try:
        session.save(must_create=True)
    except CreateError:
        session.save()
    session.modified = True  # The answer must bring the key.
    return session


async def _let_run_out(state: SessionState, face: Face) -> None:
    """Leave a session for a minute more: cookies have no place where parallel requests would find what one has made."""
    key, loaded = state.key, state.loaded
    if key is None or loaded is None:
        return
    ends_ms = loaded.now_ms + _MOMENT_MS
    if loaded.record.expires_ms > ends_ms:
        try:
            delta = Delta(deadline_ms=ends_ms, extend=False)
            await writing.write(state, face, key, delta, loaded, loaded.now_ms)
        except UpdateError:
            return


def session_of(engine: Any, key: str | None, client: Client) -> Any:
    """Return a session object of an engine; some want to know where the request comes from."""
    session = engine(key)
    if hasattr(session, "user_agent") and hasattr(session, "ip"):
        return engine(key, user_agent=client.user_agent, ip=client.ip or None)
    return session
