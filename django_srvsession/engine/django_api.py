"""Django's ``SessionBase``, sync and async, over a state and its procedures.

What a method does is a procedure (``reading``, ``writing``, ``ending``, ``saving``), written once. Here it gets its
sync and its async form. An outage of the store is remembered, because a template or a broad ``except`` may swallow the
exception and the middleware must still answer 503.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import SessionBase

from django_srvsession import conf
from django_srvsession.engine import ending, lifetimes, reading, saving
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.registry import store_of
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.turns import Turns
from django_srvsession.engine.values import SealedValues
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.store.face import BlockingFace, Face, run_blocking

P = ParamSpec("P")
T = TypeVar("T")

Procedure = Callable[Concatenate[SessionState, Face, P], Coroutine[Any, Any, T]]


class DjangoAPI(SessionBase):
    """Hold a request's session as a dict-like object: Django's documented API, and the names that others use.

    What goes beyond it is in :class:`~django_srvsession.engine.session.SessionStore`, the one subclass.
    """

    store_class: ClassVar[type[Store]]
    """What keeps the sessions of this engine."""
    sender: ClassVar[Any]
    """The sender of the signals."""

    def __init__(self, session_key: str | None = None) -> None:
        # What Django's own does, but without importing the serializer for each request.
        self.serializer = conf.serializer()
        self.accessed = False
        is_valid: bool = self._validate_session_key(session_key)  # type: ignore[attr-defined]
        self._state = SessionState(self, self.sender, session_key if is_valid else None)
        self._turns = Turns()

    @classmethod
    def store(cls) -> Store:
        """Return the store that all sessions of this engine are kept in."""
        return store_of(cls.store_class)

    # Running procedures.

    def _run(self, procedure: Procedure[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a procedure to its end; what it writes in a transaction of the site's is to be confirmed after that."""
        state = self._state
        try:
            return self._do(procedure, *args, **kwargs)
        finally:
            if state.needs_cookie or state.was_ended_here:
                state.doubt(self.store().in_transaction)

    def _do(self, procedure: Procedure[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a procedure to its end, in its turn; remember an outage."""
        begun = self._turns.begin()
        try:
            return run_blocking(procedure(self._state, BlockingFace(self.store()), *args, **kwargs))
        except StoreUnavailableError as error:
            self._state.note_outage(error)
            raise
        finally:
            if begun:
                self._turns.end()

    async def _arun(self, procedure: Procedure[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do as :meth:`_do`; an event loop is in no transaction."""
        begun = await self._turns.abegin()
        try:
            return await procedure(self._state, self.store().face(), *args, **kwargs)
        except StoreUnavailableError as error:
            self._state.note_outage(error)
            raise
        finally:
            if begun:
                self._turns.end()

    # What is known without I/O.

    @property
    def modified(self) -> bool:
        """Tell whether there is something to save: the flag, or a list or dict that was changed in place."""
        return self._state.has_changes

    @modified.setter
    def modified(self, value: bool) -> None:
        self._state.note_change(value)

    def is_empty(self) -> bool:
        """Tell whether there is neither a key nor anything in the contents."""
        return self._state.is_empty

    def __bool__(self) -> bool:
        return not self.is_empty()

    def __repr__(self) -> str:
        key = self._state.key
        return f"<{type(self).__name__} {'without a key' if key is None else key.sid}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> DjangoAPI:
        """Return a session object of the same key, with contents of its own; no I/O."""
        other = type(self)()
        memo[id(self)] = other
        other.__dict__.update(self.__dict__, _turns=Turns(), _state=self._state.copy(other))
        other._state.hold(copy.deepcopy(self._state.contents, memo))
        return other

    def __copy__(self) -> DjangoAPI:
        return copy.deepcopy(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("A session cannot be pickled: it would carry its key. Pickle what you need of its contents.")

    # Names that Django and others use.

    def _get_session_key(self) -> str | None:
        return self._state.key_text

    def _set_session_key(self, value: str | None) -> None:
        is_valid: bool = self._validate_session_key(value)  # type: ignore[attr-defined]
        self._state.take_key(value if is_valid else None)

    session_key = property(_get_session_key)
    _session_key = property(_get_session_key, _set_session_key)

    @property
    def _session_cache(self) -> Any:
        if self._state.contents is None:
            raise AttributeError("The contents were not used yet.")  # As Django's own does.
        return self._state.contents

    @_session_cache.setter
    def _session_cache(self, contents: Mapping[Any, Any]) -> None:
        self._state.hold(contents)

    @_session_cache.deleter
    def _session_cache(self) -> None:
        self._state.hold(None)

    def _get_new_session_key(self) -> str:
        return SessionKey.generate().text

    # The contents.

    def _get_session(self, no_load: bool = False) -> SealedValues:
        self.accessed = True
        values = self._state.contents
        return values if type(values) is SealedValues else self._use_first(no_load)

    def _use_first(self, no_load: bool) -> SealedValues:
        begun = self._turns.begin()
        try:
            state = self._state
            if state.contents is None:
                values = SealedValues() if no_load or state.key_text is None else self._load()
                if state.contents is None:
                    state.hold(values)
                if state.is_about_to_end:
                    self._do(reading.renew)
            return reading.wrapped(state)  # What was assigned while the load was under way counts.
        finally:
            if begun:
                self._turns.end()

    async def _aget_session(self, no_load: bool = False) -> SealedValues:
        self.accessed = True
        values = self._state.contents
        return values if isinstance(values, SealedValues) else await self._arun(reading.contents, no_load)

    _session = property(_get_session)

    def clear(self) -> None:
        """Empty the session without reading it; a save then drops every stored key."""
        self._state.clear()
        self.accessed = True

    async def adelete_test_cookie(self) -> None:
        """Remove the test cookie's value (Django's own does not mark the session as modified)."""
        await self.apop(self.TEST_COOKIE_NAME)

    def load(self) -> SealedValues:  # type: ignore[override]
        """Read the session from the store, dropping what this object had; empty when the key opens no live session."""
        values = self._load()
        self._state.hold(values)
        return values

    def _load(self) -> SealedValues:
        try:
            return run_blocking(reading.load(self._state, BlockingFace(self.store())))
        except StoreUnavailableError as error:
            self._state.note_outage(error)
            raise

    async def aload(self) -> SealedValues:  # type: ignore[override]
        """Do as :meth:`load`."""
        values = await self._arun(reading.load)
        self._state.hold(values)
        return values

    def exists(self, session_key: str | None) -> bool:
        """Tell whether a key opens a live session."""
        return self._run(reading.exists, session_key)

    async def aexists(self, session_key: str | None) -> bool:
        """Do as :meth:`exists`."""
        return await self._arun(reading.exists, session_key)

    def create(self) -> None:
        """Store the contents as a new session, under a new key."""
        self._run(saving.create_anew)

    async def acreate(self) -> None:
        """Do as :meth:`create`."""
        await self._arun(saving.create_anew)

    def save(self, must_create: bool = False) -> None:
        """Store what changed since the load, and nothing else.

        Raises ``UpdateError`` when the session was ended meanwhile, ``CreateError`` when ``must_create`` finds the key
        taken, and what ``SESSION_SERIALIZER`` raises for a value that it does not take. Nothing was stored then.
        """
        self._run(saving.save, must_create)

    async def asave(self, must_create: bool = False) -> None:
        """Do as :meth:`save`."""
        await self._arun(saving.save, must_create)

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, by default this object's own."""
        self._run(ending.delete, session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        """Do as :meth:`delete`."""
        await self._arun(ending.delete, session_key)

    def flush(self) -> None:
        """End the session, then empty this object and drop its key.

        When ending fails this object is unchanged: a logout never says "done" and was not.
        """
        self._run(ending.flush)
        self.accessed = True

    async def aflush(self) -> None:
        """Do as :meth:`flush`."""
        await self._arun(ending.flush)
        self.accessed = True

    def cycle_key(self, final: bool = True) -> None:
        """Give the session a new key at once, keeping sid and contents, with what is not saved yet.

        A ``final`` rotation (login, password change; ASVS 7.2.4) kills the old key at once; one that is not keeps it
        valid for a minute, for requests under way. Never raises ``UpdateError``: who loses a race to another request
        learns it at save.
        """
        self._run(saving.cycle_key, final)

    async def acycle_key(self, final: bool = True) -> None:
        """Do as :meth:`cycle_key`."""
        await self._arun(saving.cycle_key, final)

    @classmethod
    def clear_expired(cls) -> None:
        """End all sessions whose time is up; what ``manage.py clearsessions`` calls."""
        ending.clear_expired(cls.store(), cls.sender)

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do as :meth:`clear_expired`."""
        await sync_to_async(ending.clear_expired)(cls.store(), cls.sender)

    # Expiry: Django's, but for a datetime that does not fit USE_TZ.

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session without an expiry of its own lives, as far as is known who is signed in."""
        values = self._state.contents
        is_signed_in = values is not None and reading.USER_KEY in values
        return lifetimes.cookie_age_seconds(is_signed_in, super().get_session_cookie_age())

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Return the seconds until the session expires, counted as Django documents."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(lifetimes.EXPIRY_KEY)
        return super().get_expiry_age(**{**kwargs, "expiry": lifetimes.fit_time_zone(kwargs["expiry"])})

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """Do as :meth:`get_expiry_age`."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(lifetimes.EXPIRY_KEY)
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session expires, as Django documents."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = self.get(lifetimes.EXPIRY_KEY)
        return super().get_expiry_date(**{**kwargs, "expiry": lifetimes.fit_time_zone(kwargs["expiry"])})

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """Do as :meth:`get_expiry_date`."""
        if "expiry" not in kwargs:
            kwargs["expiry"] = await self.aget(lifetimes.EXPIRY_KEY)
        return self.get_expiry_date(**kwargs)
