"""Carrying a session of ours into an engine that is not: at the next request that brings its key.

We keep no key that could be given back. The one there is a keyed hash of the one here (``SessionKey.elsewhere``), so
parallel requests make or find one session. Ours ends when that is stored; its tombstone leads on to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib.sessions.backends.base import CreateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore

from django_srvsession import migrating
from django_srvsession.engine import waiting, writing
from django_srvsession.engine.carrying import difference, there
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import contents
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.values import SealedValues, str_name
from django_srvsession.records import AUTH_KEYS, MOVED, NO_CLIENT, Client, Delta, Ending, Loaded
from django_srvsession.store import StoreUnavailableError, UpdateError, rules
from django_srvsession.store.face import Face

_TRIES: Final = 5
_MOMENT_MS: Final = 60_000


async def give_back(state: SessionState, face: Face, engine: Any, client: Callable[[], Client]) -> Any:
    """Return the other engine's session object for a live session of ours, which has ended then; None without one.

    It says by ``brings_key`` that the answer must set the cookie. ``modified`` would save it once more, and undo what
    parallel requests have saved there meanwhile.

    A change of another request while this goes on is taken along. Raises ``StoreUnavailableError`` where that happens
    again and again, and where our store does not answer.
    """
    for _ in range(_TRIES):
        values, key, loaded = await contents(state, face), state.key, state.loaded
        if key is None or loaded is None:
            return None  # Another request was faster.
        given = {**values, **await waiting.note_of(face, loaded.record.user_id)}
        session, stood = await there(face, _stored, engine, key.elsewhere(), given, client)
        if issubclass(engine, CookieStore):
            stored = await face.load(key.sid)  # Had it ended, the cookie would not know.
            if not isinstance(stored, Loaded) or not stored.record.is_live(stored.now_ms):
                return None
            await _let_run_out(state, face)
            return session
        version = loaded.record.version  # Only what has not changed since it was read ends.
        if await face.end(key.sid, Ending(MOVED, None, key.verifier, None, loaded, version)) is not None:
            if stood is not None:  # Of a request that was overtaken: the session here was the newer one until now.
                changed, removed = difference(stood, given)
                if changed or removed:
                    later = session_of(engine, key.elsewhere(), client)
                    await there(face, _changed, later, changed, frozenset(removed))
            return session
        state.hold(None)
    raise StoreUnavailableError("Others keep changing the session that is to be given back.")


def _stored(
    engine: Any, key: str, values: dict[Any, Any], client: Callable[[], Client]
) -> tuple[Any, dict[Any, Any] | None]:
    """Store these contents under a key of the other engine, unless there are any: then return which those are."""
    session, stood = session_of(engine, key, client), None
    session._session_cache = {}
    for name, value in values.items():
        session[name] = value  # By its own method: some engines learn so whose session it is.
    try:
        session.save(must_create=True)
    except CreateError:
        stood = dict(engine(key).items())
    session.modified, session.accessed, session.brings_key = False, False, True
    return session, stood


async def follow(state: SessionState, face: Face) -> bool:
    """Save what this request changed in what its session has become: another server has carried it over meanwhile.

    False where it has ended, or where the request signs somebody in: that is done anew.
    """
    engine, key, values = migrating.going_to(), SessionKey.parse(state.cookie_text), state.contents
    if engine is None or key is None or not isinstance(values, SealedValues) or values.is_assigned(AUTH_KEYS[0]):
        return False
    if not rules.has_moved(await face.load(key.sid)):
        return False
    changes = values.changes(state.sealer(key))
    changed = {name: value for name, value in dict(values).items() if str_name(name) in changes.changed}
    if migrating.is_ours(engine):
        was_changed: bool = await there(face, _changed, engine(key.text), changed, changes.removed)
        return was_changed
    session = session_of(engine, key.elsewhere(), state.client_of_request or _nobody)
    is_changed: bool = await there(face, _changed, session, changed, changes.removed)
    if is_changed:
        state.take_over_elsewhere(session.session_key)
    return is_changed


def _changed(session: Any, changed: dict[Any, Any], removed: frozenset[str]) -> bool:
    """Change a session of any engine, if there is one, and save it."""
    if not session.keys():
        return False
    session.update(changed)
    for name in removed:
        session.pop(name, None)
    session.save()
    return True


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


def _nobody() -> Client:
    return NO_CLIENT


def session_of(engine: Any, key: str | None, client: Callable[[], Client]) -> Any:
    """Return a session object of an engine; some want to know where the request comes from.

    They store it. Where it is another than the next request's, that one saves all it has read, and so undoes what a
    parallel one saves.
    """
    session = engine(key)
    if hasattr(session, "user_agent") and hasattr(session, "ip"):
        known = client()
        return engine(key, user_agent=known.user_agent, ip=known.ip or None)
    return session
