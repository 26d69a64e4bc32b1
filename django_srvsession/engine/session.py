"""The session engine: Django's ``SessionBase``, sync and async, on a store.

A module named by ``SESSION_ENGINE`` holds a ``SessionStore`` that names its store (see ``backends/``). The procedures
are in ``lifecycle/``; here each gets its sync and its async form, and an outage of the store is remembered, because a
template or a broad ``except`` may swallow the exception and the middleware must still answer 503.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf
from django_srvsession.engine import lifetimes, signalling
from django_srvsession.engine.changing import SessionLifecycle
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import SWITCHED, USER_KEY, Found
from django_srvsession.engine.registry import store_of
from django_srvsession.engine.signalling import ended
from django_srvsession.engine.steps import Steps, arun, run
from django_srvsession.engine.turns import Turns
from django_srvsession.engine.values import MARK_PREFIX, SealedValues, refuse_mark
from django_srvsession.records import SessionRecord
from django_srvsession.signals import session_ended
from django_srvsession.store import Store, StoreUnavailableError

T = TypeVar("T")


def current_store() -> Store:
    """Return the store of ``SESSION_ENGINE``.

    Raises ``ImproperlyConfigured`` when that engine is not one of ours: its sessions cannot be listed or ended.
    """
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if not (isinstance(engine, type) and issubclass(engine, SessionStore)):
        raise ImproperlyConfigured(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which is not an engine of django-srvsession. "
            "Set it to django_srvsession.backends.db, .redis, .file or .memory."
        )
    return engine.store()


def clear_expired(store: Store, **options: Any) -> int:
    """End all sessions whose time is up, each with its signal; options and result as ``Store.clear_expired``."""

    def tell(record: SessionRecord) -> None:
        ended(record, record.expiry_reason, None).run(store)

    # A store may be several times as fast where nobody asks for the records.
    is_heard = session_ended.has_listeners(SessionStore) or signalling.is_observed()
    return store.clear_expired(on_ended=tell if is_heard else None, **options)


class SessionStore(SessionLifecycle):
    """Be ``request.session``: a dict-like object whose contents live in a store.

    Beside Django's API: ``sid``, ``record``, ``change()``, ``incr()``, ``reload()``, ``touch()``, each verb with an
    async twin. Any method that reads or writes may raise ``StoreUnavailableError``; a write may or may not have
    been done then.
    """

    outage: StoreUnavailableError | None = None
    """The store's failure in this request, which no answer may hide."""
    _is_unconfirmed = False

    def __init__(self, session_key: str | None = None) -> None:
        # What Django's own does, but without importing the serializer for each request.
        self._session_key = self._cookie_text = session_key
        self.accessed = self._modified = False
        self._turns = Turns()
        self.serializer = conf.serializer()

    @classmethod
    def store(cls) -> Store:
        """Return the store that all sessions of this engine are kept in."""
        return store_of(cls.store_class)

    # Running steps.

    def _run(self, steps: Steps[T]) -> T:
        store, begun = self.store(), self._turns.begin()
        try:
            return run(steps, store)
        except StoreUnavailableError as error:
            self.outage = error
            raise
        finally:
            if begun:
                self._turns.end()
            if self.needs_cookie or self.was_ended_here:
                self._is_unconfirmed = self._is_unconfirmed or store.in_transaction

    async def _arun(self, steps: Steps[T]) -> T:
        begun = await self._turns.abegin()
        try:
            return await arun(steps, self.store())
        except StoreUnavailableError as error:
            self.outage = error
            raise
        finally:
            if begun:
                self._turns.end()

    def acknowledge_outage(self) -> None:
        """Say that the view has dealt with the store's outage: its answer goes out instead of the 503."""
        self.outage = None

    # What is known without I/O.

    @property
    def sid(self) -> str | None:
        """Return the session's public name, or None without a genuine key; it finds a session and opens nothing."""
        return None if self._key is None else self._key.sid

    @property
    def modified(self) -> bool:
        """Tell whether there is something to save: the flag, or a list or dict that was changed in place."""
        if self._modified:
            return True
        values = self.__dict__.get("_session_cache")
        return isinstance(values, SealedValues) and values.is_changed_in_place

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = value

    def __bool__(self) -> bool:
        return not self.is_empty()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sid or 'without a key'}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> SessionStore:
        """Return a session object of the same key, with contents of its own; no I/O."""
        other = type(self)(self._session_key)
        memo[id(self)] = other
        other.__dict__.update(self.__dict__, _turns=Turns())
        if "_session_cache" in self.__dict__:
            other._session_cache = copy.deepcopy(self._session_cache, memo)
        return other

    def __copy__(self) -> SessionStore:
        return copy.deepcopy(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("A session cannot be pickled: it would carry its key. Pickle what you need of its contents.")

    def _get_new_session_key(self) -> str:
        return SessionKey.generate().text

    # The contents.

    def _get_session(self, no_load: bool = False) -> SealedValues:
        self.accessed = True
        values = self.__dict__.get("_session_cache")
        return values if isinstance(values, SealedValues) else self._use_first(no_load)

    def _use_first(self, no_load: bool) -> SealedValues:
        begun = self._turns.begin()
        try:
            values = self.__dict__.get("_session_cache")
            if values is None:
                is_empty = no_load or self._session_key is None
                values = SealedValues() if is_empty else self._load()
                # What was assigned while the load was under way counts, as after clear().
                values = self.__dict__.setdefault("_session_cache", values)
            elif not isinstance(values, SealedValues):
                values = self._run(self.values_steps(no_load))
            return values
        finally:
            if begun:
                self._turns.end()

    async def _aget_session(self, no_load: bool = False) -> SealedValues:
        self.accessed = True
        values = self.__dict__.get("_session_cache")
        return values if isinstance(values, SealedValues) else await self._arun(self.values_steps(no_load))

    _session = property(_get_session)

    def clear(self) -> None:
        """Empty the session without reading it; a save then drops every stored key."""
        if self._key is None:
            self._session_key = None  # What is no genuine key is never adopted, and stands for no session.
        self._session_cache = SealedValues(cleared=self._session_key is not None)
        self.accessed = self.modified = True

    async def adelete_test_cookie(self) -> None:
        """Remove the test cookie's value (Django's own does not mark the session as modified)."""
        await self.apop(self.TEST_COOKIE_NAME)

    def load(self) -> SealedValues:  # type: ignore[override]
        """Read the session from the store, dropping what this object had; empty when the key opens no live session."""
        values = self._session_cache = self._load()
        return values

    def _load(self) -> SealedValues:
        try:
            return self.load_now(self.store())
        except StoreUnavailableError as error:
            self.outage = error
            raise

    async def aload(self) -> SealedValues:  # type: ignore[override]
        """Do as :meth:`load`."""
        values: SealedValues = await self._arun(self.load_steps())
        self._session_cache = values
        return values

    def exists(self, session_key: str | None) -> bool:
        """Tell whether a key opens a live session."""
        return self._run(self.exists_steps(session_key))

    async def aexists(self, session_key: str | None) -> bool:
        """Do as :meth:`exists`."""
        return await self._arun(self.exists_steps(session_key))

    def create(self) -> None:
        """Store the contents as a new session, under a new key."""
        self._run(self._create_steps())

    async def acreate(self) -> None:
        """Do as :meth:`create`."""
        await self._arun(self._create_steps())

    def _create_steps(self) -> Steps[None]:
        values = yield from self.values_steps(no_load=True)
        key, record = self._key, self.record
        if key is not None and record is not None and record.user_id is not None:
            yield from self._move_steps(key, values)  # Or it would live on in a copy after it has ended.
        else:
            yield from self.create_steps(values)

    def save(self, must_create: bool = False) -> None:
        """Store what changed since the load, and nothing else.

        Raises ``UpdateError`` when the session was ended meanwhile, ``CreateError`` when ``must_create`` finds the key
        taken, and what ``SESSION_SERIALIZER`` raises for a value that it does not take. Nothing was stored then.
        """
        self._run(self.save_steps(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """Do as :meth:`save`."""
        await self._arun(self.save_steps(must_create))

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, by default this object's own."""
        self._run(self.delete_steps(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """Do as :meth:`delete`."""
        await self._arun(self.delete_steps(session_key))

    def flush(self) -> None:
        """End the session, then empty this object and drop its key.

        When ending fails this object is unchanged: a logout never says "done" and was not.
        """
        self._run(self.flush_steps())

    async def aflush(self) -> None:
        """Do as :meth:`flush`."""
        await self._arun(self.flush_steps())

    def cycle_key(self, final: bool = True) -> None:
        """Give the session a new key at once, keeping sid and contents, with what is not saved yet.

        A ``final`` rotation (login, password change; ASVS 7.2.4) kills the old key at once; one that is not keeps it
        valid for a minute, for requests under way. Never raises ``UpdateError``: who loses a race to another request
        learns it at save.
        """
        self._run(self.cycle_key_steps(final))

    async def acycle_key(self, final: bool = True) -> None:
        """Do as :meth:`cycle_key`."""
        await self._arun(self.cycle_key_steps(final))

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
        return self._run(self.change_steps(key, function, default))

    async def achange(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Do as :meth:`change`; ``function`` is not awaited."""
        refuse_mark(key)
        return await self._arun(self.change_steps(key, function, default))

    def incr(self, key: str, delta: int = 1) -> int:
        """Add to a number (a missing one is 0), at once and atomically; return the sum. Raises as :meth:`change`."""
        return int(self.change(key, lambda number: number + delta, 0))

    async def aincr(self, key: str, delta: int = 1) -> int:
        """Do as :meth:`incr`."""
        return int(await self.achange(key, lambda number: number + delta, 0))

    def reload(self) -> None:
        """Drop what is not saved and read the session again; raises ``UpdateError`` if it is gone."""
        self._run(self.reload_steps())

    async def areload(self) -> None:
        """Do as :meth:`reload`."""
        await self._arun(self.reload_steps())

    def touch(self) -> None:
        """Start the session's lifetime anew without writing its contents; raises ``UpdateError`` if it is gone."""
        self._run(self.touch_steps())

    async def atouch(self) -> None:
        """Do as :meth:`touch`."""
        await self._arun(self.touch_steps())

    # Marks: values of this package's own, out of reach of what sites assign; names without the prefix.

    def mark(self, name: str) -> Any:
        """Return the value of a mark, or None."""
        return self._session.peek(MARK_PREFIX + name)

    @property
    def was_switched(self) -> bool:
        """Tell whether this session began when somebody who was signed in as another user became this one."""
        return bool(self._session.peek(SWITCHED))

    def set_mark(self, name: str, value: Any) -> None:
        """Set a mark; it is stored with all else that this request changes."""
        self._session.put(MARK_PREFIX + name, value)
        self.modified = True

    def drop_mark(self, name: str) -> None:
        """Drop a mark, if it is there."""
        if self.mark(name) is not None:
            self._session.discard(MARK_PREFIX + name)
            self.modified = True

    def change_mark(self, name: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Do as :meth:`change` with a mark."""
        return self._run(self.change_steps(MARK_PREFIX + name, function, default))

    def note_sign_in(self, user_id: str) -> None:
        """Take note that ``login()`` signs this user in; give the session a new key, unless this request has done so.

        Source: OWASP ASVS 5.0, 7.2.4.
        """
        self.signing_in = user_id
        key = self._key
        if key is None or self._lost_key is not None:
            return  # Saving makes a session, or one of its own, and with it a key.
        cookie_key = SessionKey.parse(self._cookie_text)
        is_old = cookie_key is not None and cookie_key.verifier == key.verifier
        if is_old or (self._loaded is not None and self._sealed.previous is not None):
            self.cycle_key()

    @property
    def now_ms(self) -> int | None:
        """Return the store's clock when it last answered this request, in milliseconds since 1970 UTC; None before."""
        return None if self._loaded is None else self._loaded.now_ms

    # Expiry: Django's, but for a datetime that does not fit USE_TZ.

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session without an expiry of its own lives, as far as is known who is signed in."""
        values = self.__dict__.get("_session_cache", {})
        return lifetimes.cookie_age_seconds(USER_KEY in values, super().get_session_cookie_age())

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

    # After a transaction.

    def confirm_steps(self) -> Steps[bool]:
        """Check, once, that what was written inside a transaction of the view's is really stored; True if it is.

        A rotation or a creation that was rolled back leaves the browser's own key in place; an end that was rolled
        back is no end. A session that was stored, and has been ended since by somebody else, is only that.
        """
        if not self._is_unconfirmed:
            return True
        self._is_unconfirmed = False
        was_undone = False
        if self.needs_cookie and (standing := (yield from self.standing_steps(self._session_key))) is not Found.LIVE:
            self._found, self.needs_cookie = standing, False
            if standing is Found.NOTHING:
                self._session_key, was_undone = self._cookie_text, True
        if self.was_ended_here and (yield from self.exists_steps(self._cookie_text)):
            self.was_ended_here, was_undone = False, True
            # The browser keeps its cookie: what began after the end is not to replace it.
            self._session_key, self.needs_cookie, self._found = self._cookie_text, False, Found.NOTHING
        return not was_undone

    @property
    def is_unconfirmed(self) -> bool:
        """Tell whether a transaction may have undone what gave the browser a new key, or ended its session."""
        return self._is_unconfirmed

    @property
    def is_reading_live(self) -> bool:
        """Tell whether this request has read a live session."""
        return self._found is Found.LIVE

    @property
    def is_touch_due(self) -> bool:
        """Tell whether this request read the session so long after its last recorded use that it records its own.

        A tenth of the lifetime at most: a short idle limit must not end a session that is in use.
        """
        if self._loaded is None or self._was_written:
            return False
        record = self._loaded.record
        interval_ms: int = min(conf.touch_interval_ms, record.lifetime_ms // 10)
        return self._loaded.now_ms - record.last_seen_ms >= interval_ms

    @property
    def was_written(self) -> bool:
        """Tell whether this request has written the session, and the store has said so."""
        return self._was_written

    @property
    def is_to_be_saved(self) -> bool:
        """Tell whether the request changed something: more than the auth hash, which a new secret makes anew."""
        values = self.__dict__.get("_session_cache")
        return self.modified and not (isinstance(values, SealedValues) and values.only_renews_hash)

    @property
    def needs_resealing(self) -> bool:
        """Tell whether a value that this request loaded is sealed under a fallback secret."""
        values = self.__dict__.get("_session_cache")
        return isinstance(values, SealedValues) and values.needs_resealing

    def cookie_age(self) -> int | None:
        """Return the cookie's Max-Age in seconds, so that it ends with the record; None: with the browser."""
        values = self.__dict__.get("_session_cache", {})
        if self._loaded is None or lifetimes.ends_with_browser(values.get(lifetimes.EXPIRY_KEY)):
            return None
        return max(-(-(self._loaded.record.expires_ms - self._loaded.now_ms) // 1000), 0)

    def forget(self) -> None:
        """Become an empty session without a key, after its session was ended by somebody else's hand."""
        self._session_cache = self._nothing()

    def stand_aside(self) -> None:
        """Be empty for this request, and store nothing unless somebody signs in: nobody knows whose session it is."""
        self._session_cache = self._nothing(Found.JUST_ENDED)

    @property
    def had_genuine_cookie(self) -> bool:
        """Tell whether the key that this object was made with was signed by this site."""
        return SessionKey.parse(self._cookie_text) is not None

    @classmethod
    def clear_expired(cls) -> None:
        """End all sessions whose time is up; what ``manage.py clearsessions`` calls."""
        clear_expired(cls.store())

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do as :meth:`clear_expired`."""
        await sync_to_async(clear_expired)(cls.store())


signalling.sender = SessionStore
