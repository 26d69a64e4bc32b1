"""``SessionStore``: what a module that ``SESSION_ENGINE`` names holds, with its store (see ``backends/``).

Beside Django's API (``django_api``), what a site can do with a session of ours, and what the middleware, the receivers
and the pages of this package say of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.engine import changing, ending, lifetimes, reading, settling, writing
from django_srvsession.engine.details import Change, Details
from django_srvsession.engine.django_api import DjangoAPI
from django_srvsession.engine.keys import key_of
from django_srvsession.engine.knowledge import Guard, Standing
from django_srvsession.engine.reading import USER_KEY
from django_srvsession.engine.values import refuse_mark
from django_srvsession.records import AUTH_KEYS, Client, Ended, SessionRecord
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.users import key_in


class SessionStore(DjangoAPI):
    """Be ``request.session``: a dict-like object whose contents live in a store.

    Beside Django's API: ``sid``, ``record``, ``change()``, ``incr()``, ``reload()``, ``touch()``, each verb with an
    async twin. Any method that reads or writes may raise ``StoreUnavailableError``; a write may or may not have
    been done then.
    """

    # What is known without I/O.

    @property
    def sid(self) -> str | None:
        """Return the session's public name, or None without a genuine key; it finds a session and opens nothing."""
        key = self._state.key
        return None if key is None else key.sid

    @property
    def record(self) -> SessionRecord | None:
        """Return the record as last loaded or written by this request; no I/O, None before."""
        return self._state.record

    @property
    def signed_in_ms(self) -> int | None:
        """Return when the user signed in, as it is sealed, in milliseconds since 1970 UTC; no I/O, None before."""
        return None if self._state.loaded is None else self._state.sealed.signed_in_ms

    @property
    def now_ms(self) -> int | None:
        """Return the store's clock when it last answered this request, in milliseconds since 1970 UTC; None before."""
        return None if self._state.loaded is None else self._state.loaded.now_ms

    @property
    def ended(self) -> Ended | None:
        """Return what became of the browser's signed-in session, if it has ended; known once the session was read."""
        return self._state.ended

    @property
    def outage(self) -> StoreUnavailableError | None:
        """Return the store's failure in this request, which no answer may hide."""
        return self._state.outage

    # Beyond Django.

    def change(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace one value by ``function(value)``, at once and atomically, and return the new value.

        ``function`` may be called several times, and must not change its argument's meaning elsewhere. What else this
        request changed stays pending; an error status of the answer does not undo it. Starts a session if there
        is none.

        Raises ``UpdateError`` when the session is gone and ``ConflictError`` when others kept changing the value (the
        value is not stored then).
        """
        refuse_mark(key)
        return self._run(changing.change, key, function, default)

    async def achange(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Do as :meth:`change`; ``function`` is not awaited."""
        refuse_mark(key)
        return await self._arun(changing.change, key, function, default)

    def incr(self, key: str, delta: int = 1) -> int:
        """Add to a number (a missing one is 0), at once and atomically; return the sum. Raises as :meth:`change`."""
        return int(self.change(key, lambda number: number + delta, 0))

    async def aincr(self, key: str, delta: int = 1) -> int:
        """Do as :meth:`incr`."""
        return int(await self.achange(key, lambda number: number + delta, 0))

    def reload(self) -> None:
        """Drop what is not saved and read the session again; raises ``UpdateError`` if it is gone."""
        self._run(changing.reload)

    async def areload(self) -> None:
        """Do as :meth:`reload`."""
        await self._arun(changing.reload)

    def touch(self) -> None:
        """Start the session's lifetime anew without writing its contents; raises ``UpdateError`` if it is gone."""
        self._run(writing.touch)

    async def atouch(self) -> None:
        """Do as :meth:`touch`."""
        await self._arun(writing.touch)

    def acknowledge_outage(self) -> None:
        """Say that the view has dealt with the store's outage: its answer goes out instead of the 503."""
        self._state.note_outage(None)

    # What the middleware, the receivers and our pages say.

    def read_early(self) -> None:
        """Read the session before the view, whose transaction might undo what that stores while the site moves.

        Whether the request uses the session does not show by it.
        """
        self._do(reading.contents)

    async def aread_early(self) -> None:
        """Do as :meth:`read_early`."""
        await self._arun(reading.contents)

    def give_back(self, engine: Any, client: Callable[[], Client]) -> Any:
        """Carry the session into another engine, and return that one's session object; None if there is none to carry.

        Raises ``StoreUnavailableError``.
        """
        from django_srvsession.engine import going_back  # Most sites do not move.

        return self._do(going_back.give_back, engine, client)

    async def agive_back(self, engine: Any, client: Callable[[], Client]) -> Any:
        """Do as :meth:`give_back`."""
        from django_srvsession.engine import going_back

        return await self._arun(going_back.give_back, engine, client)

    def bring_key(self) -> None:
        """Take note that the browser has another engine's key, and must learn this one."""
        self._state.tell_of_key()

    def note_client(self, client_of_request: Callable[[], Client]) -> None:
        """Take note of how to learn where the request comes from."""
        self._state.note_client(client_of_request)

    def note_guard(self, guard: Guard) -> None:
        """Take note of who judges whether this request may open a session that its key opens."""
        self._state.note_guard(guard)

    @property
    def guard(self) -> Guard | None:
        """Return who judges that, if anybody does."""
        return self._state.guard

    def note_authenticated(self, user_id: str) -> None:
        """Take note that this user's credentials were checked: a sign-in that follows is no mere switch of users."""
        self._state.note_authenticated(user_id)

    @property
    def user_id(self) -> str | None:
        """Return the id of who is signed in, as records hold it, or None; reads the session if need be."""
        self.get(USER_KEY)
        return reading.user_id_in(self._state, reading.wrapped(self._state))

    def has_taken(self, user_id: str) -> bool:
        """Tell whether this user is who the session names: also one of another kind, who has just been assigned."""
        own_id, values = self.user_id, reading.wrapped(self._state)
        return own_id == user_id or (
            own_id is not None and key_in(own_id) == key_in(user_id) and values.is_assigned(USER_KEY)
        )

    def note_sign_in(self, user_id: str) -> None:
        """Take note that ``login()`` signs this user in; give the session a new key, unless this request has done so.

        Where the session was that of a user of another kind, whose key is equal, ``login()`` has taken the two for one.
        Then it is flushed here.
        Source: OWASP ASVS 5.0, 7.2.4.
        """
        state = self._state
        if state.record is not None and state.record.user_id not in (None, user_id) and self.has_taken(user_id):
            assigned = {name: self[name] for name in AUTH_KEYS if name in self}
            self.flush()
            self.update(assigned)
        state.note_sign_in(user_id)
        key = state.key
        if key is None or state.lost_key is not None:
            return  # Saving makes a session, or one of its own, and with it a key.
        cookie_key = key_of(state.cookie_text)
        is_old = cookie_key is not None and cookie_key.verifier == key.verifier
        if is_old or (state.loaded is not None and state.sealed.previous is not None):
            self.cycle_key()

    def note_sign_out(self) -> None:
        """Take note that the flush which follows is a logout: it ends the session whatever its key has become."""
        self._state.note_sign_out()

    def note_outage(self, outage: StoreUnavailableError) -> None:
        """Take note that the store did not answer this request, which no answer may hide."""
        self._state.note_outage(outage)

    def settle(self, status: int) -> bool:
        """Save what the request changed, or note its use, before an answer of this status goes out.

        Returns whether the session's cookie must be sent again. Raises as :func:`settling.settle`.
        """
        return self._do(settling.settle, status, self.accessed)

    async def asettle(self, status: int) -> bool:
        """Do as :meth:`settle`."""
        return await self._arun(settling.settle, status, self.accessed)

    def end(self, reason: str) -> SessionRecord | None:
        """End the session for good, unless its key has changed since; return its record if this call ended it.

        What this request has in its hands stays: say what becomes of that by :meth:`stand_aside` or :meth:`forget`.
        """
        return self._run(ending.end_own, reason)

    def refuse_sign_in(self, reason: str) -> None:
        """End the session because its user may not sign in, and leave nobody signed in; the cookie goes."""
        self._do(settling.refuse, reason)
        self.accessed = True

    def withhold(self, reason: str) -> None:
        """Let nobody use a session that was not admitted: its key reaches no browser, and if possible it is ended."""
        self._state.withhold()
        with contextlib.suppress(StoreUnavailableError):
            self.end(reason)

    def forget(self) -> None:
        """Become an empty session without a key, after this request has ended it by somebody else's hand."""
        self._state.forget()

    def stand_aside(self) -> None:
        """Be empty for this request, and store nothing unless somebody signs in: nobody knows whose session it is."""
        self._state.stand_aside()

    @property
    def is_live(self) -> bool:
        """Tell whether this request has read, or written, a live session."""
        return self._state.is_live

    @property
    def must_send_cookie(self) -> bool:
        """Tell whether the browser must learn the key, because it is a new one that the store has."""
        return self._state.needs_cookie and self._state.is_live and self.session_key is not None

    @property
    def must_delete_cookie(self) -> bool:
        """Tell whether the browser's cookie is to go: this request ended its session, or it is no key of this site.

        An answer never deletes a cookie that another answer may just have set.
        """
        return self.is_empty() and (self._state.was_ended_here or not self._state.came_with_genuine_key)

    @property
    def must_drop_token(self) -> bool:
        """Tell whether an app's token is to go: what it opened has ended, or it is no key of this site.

        Not while another answer may have brought the app a newer one.
        """
        return self.must_delete_cookie or (self.is_empty() and self._state.standing is Standing.NOTHING)

    def cookie_age(self) -> int | None:
        """Return the cookie's Max-Age in seconds, so that it ends with the record; None: with the browser."""
        loaded, values = self._state.loaded, self._state.contents
        expiry = None if values is None else values.get(lifetimes.EXPIRY_KEY)
        if loaded is None or lifetimes.ends_with_browser(expiry):
            return None
        return max(-(-(loaded.record.expires_ms - loaded.now_ms) // 1000), 0)

    # Details: what is kept beside the contents, sealed, out of reach of what sites assign.

    @property
    def details(self) -> Details:
        """Return the session's details as last loaded or written by this request; none before, no I/O."""
        return self._state.details

    def change_details(self, change: Change) -> None:
        """Make this of the session's details, at once and atomically; what else is pending stays pending.

        ``change`` gets those that stand, and the store's clock (ms); it may be called several times. Raises as
        :meth:`change`, and ``ValueError`` for details that are out of range.
        """
        self._run(writing.change_details, change)

    async def achange_details(self, change: Change) -> None:
        """Do as :meth:`change_details`."""
        await self._arun(writing.change_details, change)

    def change_details_with_bookkeeping(self, change: Change) -> None:
        """Make this of the session's details when it is written, or when the store can; no answer depends on it."""
        self._state.change_with_bookkeeping(change)

    def change_details_later(self, change: Change) -> None:
        """Make this of the session's details when the request is saved, in the same step."""
        self._state.change_later(change)

    def note_proof(self, means: str = "", level: int = 0) -> None:
        """Take note that the person has just proved who they are; stored with all else that this request changes."""
        noted_ms = self.now_ms or 0

        def prove(details: Details, now_ms: int) -> Details:
            # Not before a sign-in that the same step may store.
            return details._replace(proved_ms=max(noted_ms, now_ms), means=means, level=level, wrong=0)

        self._state.change_later(prove)

    def note_app(self, app: str) -> None:
        """Take note of what an app calls the device that it runs on; stored with all else that this request changes."""
        self._state.change_later(lambda details, now_ms: details._replace(app=app))


SessionStore.sender = SessionStore


def current_store() -> Store:
    """Return the store of ``SESSION_ENGINE``, or of the engine of ours that the site moves to, or from.

    Raises ``ImproperlyConfigured`` when there is no engine of ours: sessions of others cannot be listed or ended.
    """
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if not (isinstance(engine, type) and issubclass(engine, SessionStore)):
        from django_srvsession import migrating  # Most sites do not move.

        engine = migrating.our_engine()
    if engine is None:
        raise ImproperlyConfigured(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which is not an engine of django-srvsession. "
            "Set it to django_srvsession.backends.db, .redis, .cached_db, .mongodb, .file or .memory."
        )
    store: Store = engine.store()
    return store
