"""Which engine's session a request gets while a site moves: the one that has it, whichever servers have moved it.

The site keeps sessions in ``SESSION_ENGINE``. With ``SRVSESSION_MIGRATE_FROM`` it carries over who comes with a key of
that engine. With ``SRVSESSION_MIGRATE_TO`` it carries nobody: who comes with a key of either is served where the
session is, since other servers may have carried it over, and the next request may come to any of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError

from django_srvsession import conf, migrating
from django_srvsession.engine import carrying, waiting
from django_srvsession.engine.going_back import session_of
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.knowledge import Guard
from django_srvsession.engine.reading import look
from django_srvsession.engine.session import SessionStore
from django_srvsession.records import Client, Loaded, Tombstone
from django_srvsession.store import rules
from django_srvsession.store.face import BlockingFace, Face, run_blocking


def choose(session: Any, client: Callable[[], Client], guard: Guard | None) -> Any:
    """Return the session object for a request, in place of that of ``SESSION_ENGINE``, which nobody has used yet.

    ``client`` tells where the request comes from, ``guard`` which sessions of ours it may open.

    Raises ``StoreUnavailableError`` where a store does not say whether it has the session.
    """
    return run_blocking(_choose(session, client, guard, blocks=True))


async def achoose(session: Any, client: Callable[[], Client], guard: Guard | None) -> Any:
    """Do as :func:`choose`."""
    return await _choose(session, client, guard, blocks=False)


async def _choose(session: Any, client: Callable[[], Client], guard: Guard | None, *, blocks: bool) -> Any:
    key_text = session.session_key  # As the request brought it.
    other = migrating.coming_from() or migrating.going_to()
    if other is None:
        return session
    mine = type(session)
    if not migrating.is_ours(mine):
        session = session_of(mine, key_text, client)
    if not key_text:
        return session
    if migrating.is_ours(mine) and migrating.is_ours(other):
        return await _of_ours(session, other, key_text, guard, blocks)
    if migrating.is_ours(mine) and conf.migrate_from is not None:
        if SessionKey.parse(key_text) is None:
            await _read(session, blocks)  # It is carried over.
        return session
    if not (migrating.is_ours(mine) or migrating.is_ours(other)):
        return session
    bridge = _Bridge(session, other, client, guard, blocks)
    key = SessionKey.parse(key_text)
    return await (bridge.of_their_key(key_text) if key is None else bridge.of_our_key(key))


async def _of_ours(session: SessionStore, other: Any, key_text: str, guard: Guard | None, blocks: bool) -> SessionStore:
    """Carry a session over from the other store of ours, or serve it there."""
    await _read(session, blocks)
    if session.is_live or conf.migrate_from is not None:
        return session
    there: SessionStore = _guarded(other(key_text), guard)
    await _read(there, blocks)
    return there if there.is_live else session


def _guarded(session: SessionStore, guard: Guard | None) -> SessionStore:
    """Return a session that is opened only to who may use it: said before it is read."""
    if guard is not None:
        session.note_guard(guard)
    return session


async def _read(session: SessionStore, blocks: bool) -> None:
    """Read a session now; whether the request uses it does not show by that."""
    if blocks:
        session.read_early()
    else:
        await session.aread_early()


class _Bridge:
    """Find the session of a request in an engine of ours and in one that is not."""

    def __init__(
        self, session: Any, other: Any, client: Callable[[], Client], guard: Guard | None, blocks: bool
    ) -> None:
        mine, path = type(session), conf.migrate_from or conf.migrate_to
        self.keeps_ours = migrating.is_ours(mine)
        self.ours: Any
        self.theirs: Any
        self.ours, self.theirs = (mine, other) if self.keeps_ours else (other, mine)
        self.session, self.client, self.guard, self.blocks = session, client, guard, blocks
        store = self.ours.store()
        self.face: Face = BlockingFace(store) if blocks else store.face()
        self.source = migrating.source(path if self.keeps_ours else settings.SESSION_ENGINE)

    async def of_our_key(self, key: SessionKey) -> Any:
        """Return the session of a key of ours, or what it has become in the other engine."""
        session: SessionStore = self.session if self.keeps_ours else _guarded(self.ours(key.text), self.guard)
        await _read(session, self.blocks)
        if session.is_live and (conf.migrate_from is None or self.keeps_ours):
            return session
        if session.is_live and (given := await self._give_back(session)) is not None:
            return given
        elsewhere = key.elsewhere()
        if self.source is None or self._has_ended(await look(self.face, key)):
            return self.session
        found = await carrying.there(self.face, self.source.read, elsewhere)
        if found is None or await waiting.ended_by(self.face, found.contents) is not None:
            return self.session
        session_there = session_of(self.theirs, elsewhere, self.client)
        session_there.brings_key = True  # The answer that brought it was lost.
        return session_there

    @staticmethod
    def _has_ended(stored: Loaded | Tombstone | None) -> bool:
        """Tell whether a session has ended here, rather than gone to the other engine."""
        return isinstance(stored, Tombstone) and not rules.has_moved(stored)

    async def _give_back(self, session: SessionStore) -> Any:
        if self.blocks:
            return session.give_back(self.theirs, self.client)
        return await session.agive_back(self.theirs, self.client)

    async def of_their_key(self, key_text: str) -> Any:
        """Return the session of a key of the other engine, or what it has become in ours."""
        if self.source is None or not self.source.is_key(key_text):
            return self.session
        if (session := await self._made_of(key_text)) is not None:
            return session
        theirs = session_of(_beside(self.theirs, self.ours, self.source), key_text, self.client)
        if await carrying.there(self.face, theirs.read_early):
            how = await waiting.ended_by(self.face, theirs.as_read)
            if how is None:
                return theirs
            key = SessionKey.standing_for(key_text)[0]
            await carrying.refuse(self.face, key, self.source, theirs.as_read, how)
        # Another server may have carried it over between the two looks; or the engine takes an outage for no session.
        session = await self._made_of(key_text)
        if session is None:
            await carrying.there(self.face, self.source.read, key_text)
        return session or self.session

    async def _made_of(self, key_text: str) -> SessionStore | None:
        """Return the session of ours that stands where one is made of this key, live or not; None where none stands."""
        for key in SessionKey.standing_for(key_text):
            stored = await self.face.load(key.sid)
            if stored is not None:
                session: SessionStore = self.ours(key.text)
                if isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms):
                    session.bring_key()
                return session
        return None


@lru_cache(maxsize=8)
def _beside(theirs: Any, ours: Any, source: migrating.Source) -> Any:
    """Return an engine's class whose sessions, when they end or change, let the servers know that carry them over."""
    return type("SessionStore", (_Beside, theirs), {"ours": ours, "source": source, "__module__": theirs.__module__})


class _Beside:
    """Look, after each write, whether the session was carried over meanwhile; leave a tombstone for one that ends."""

    ours: Any
    source: migrating.Source
    _as_loaded: dict[Any, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._came_with: str | None = self.session_key  # type: ignore[attr-defined]

    def read_early(self) -> bool:
        """Read the session now, and tell whether there is one; whether the request uses it does not show by that."""
        is_there = bool(self._get_session())  # type: ignore[attr-defined]
        self.accessed = False
        return is_there

    @property
    def as_read(self) -> dict[Any, Any]:
        """The contents that :meth:`read_early` has read."""
        return dict(self._session_cache)  # type: ignore[attr-defined]

    @property
    def came_as(self) -> Any:
        """Who was signed in when the request came, as the contents name them; None for nobody."""
        return (self._as_loaded or {}).get(SESSION_KEY)

    def load(self) -> Any:
        """Remember what was loaded."""
        values = super().load()  # type: ignore[misc]
        self._as_loaded = copy.deepcopy(values)
        return values

    async def aload(self) -> Any:
        """Do as :meth:`load`."""
        values = await super().aload()  # type: ignore[misc]
        self._as_loaded = copy.deepcopy(values)
        return values

    def save(self, must_create: bool = False) -> None:
        """Save; if the session was carried over meanwhile, what was changed is saved there too."""
        try:
            super().save(must_create)  # type: ignore[misc]
        except UpdateError:
            if must_create or not self._follow():
                raise
        else:
            if not must_create:
                self._follow()

    async def asave(self, must_create: bool = False) -> None:
        """Do as :meth:`save`."""
        await sync_to_async(self.save)(must_create)

    def delete(self, session_key: str | None = None) -> None:
        """End the session for the servers that carry it over, too."""
        self._bury(session_key)
        super().delete(session_key)  # type: ignore[misc]

    async def adelete(self, session_key: str | None = None) -> None:
        """Do as :meth:`delete`."""
        await sync_to_async(self._bury)(session_key)
        await super().adelete(session_key)  # type: ignore[misc]

    def cycle_key(self) -> None:
        """Change the key, and let the one before open nothing any more, also where the engine cannot end it."""
        super().cycle_key()  # type: ignore[misc]
        self._bury_before()

    async def acycle_key(self) -> None:
        """Do as :meth:`cycle_key`."""
        await super().acycle_key()  # type: ignore[misc]
        await sync_to_async(self._bury_before)()

    def _bury(self, session_key: str | None) -> None:
        face = BlockingFace(self.ours.store())
        ended = {session_key or self.session_key}  # type: ignore[attr-defined]
        for text in ended | ({self._came_with} if session_key is None else set()):
            if text:
                run_blocking(carrying.bury_here(face, SessionKey.standing_for(text)[0], self.source))

    def _bury_before(self) -> None:
        """End the key from before; a signed cookie is the same if it was made in the same second."""
        if self._came_with != self.session_key:  # type: ignore[attr-defined]
            self._bury(self._came_with)

    def _follow(self) -> bool:
        """Write what was changed into the session that was made of this one, if there is any; tell whether there is."""
        if not self._came_with or self._as_loaded is None:
            return False
        for key in SessionKey.standing_for(self._came_with):
            session: SessionStore = self.ours(key.text)
            session.read_early()
            if session.is_live:
                now = dict(self._session_cache)  # type: ignore[attr-defined]
                changed, removed = carrying.difference(self._as_loaded, now)
                session.update(changed)
                for name in removed:
                    session.pop(name, None)
                session.save()
                self._session_key = session.session_key
                return True
        return False
