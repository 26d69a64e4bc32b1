"""What the key of a session holds in the Redis in front of a database: a guard, a lease, or a copy.

A guard says that somebody changes the session: nothing is stored in its place but by whom it is of. A lease says that
somebody reads it from the database: a copy may take its place. Both are a letter and 16 random bytes, a *generation*
that no later one is like. A copy: ``_HEAD``, and the session as the Redis store keeps it.

A copy is sealed: a MAC (keyed BLAKE2b, RFC 7693) speaks for all of it and for the key that it stands under. So who
writes Redis, which may be the cache of all the site, makes no copy, and none younger than it is: what they can put back
is as old as ``SRVSESSION_CACHE_CHECK`` at most.
"""

from __future__ import annotations

import secrets
import struct
from functools import lru_cache
from hashlib import blake2b, sha512
from hmac import compare_digest
from typing import Any, Final, NamedTuple

from django.utils.encoding import force_bytes

from django_srvsession import conf
from django_srvsession.backends.redis.format import NEVER, read_image, session_image
from django_srvsession.records import Loaded
from django_srvsession.store import CorruptSessionError

GUARD: Final = b"G"
LEASE: Final = b"L"
COPY: Final = b"C"

CLOCK_BEHIND_MS: Final = 1000
"""How far what is known of Redis' clock may be behind: by the way of one reply, which is given up sooner."""

_HEAD: Final = struct.Struct("<c16s8sqq")
"""Kind; the MAC of all that follows; the run of Redis that took it; when it was taken (ms, Redis' clock); by how many
milliseconds the database's clock was ahead of Redis' then."""
_SEALED_FROM: Final = 17
_SALT: Final = b"django_srvsession.backends.cached_db:"


class Generation(NamedTuple):
    """Hold what stood under a key before the database was asked, which run of Redis had it, and when that was (ms)."""

    value: bytes
    run: bytes | None
    taken_ms: int


def new_guard() -> bytes:
    """Make a guard like no other."""
    return GUARD + secrets.token_bytes(16)


def new_lease() -> bytes:
    """Make a lease like no other."""
    return LEASE + secrets.token_bytes(16)


def new_copy(key: bytes, generation: Generation, session: Loaded, now_ms: int) -> bytes | None:
    """Make the copy, under a key, of a session that the database has just given; ``now_ms`` is Redis' clock.

    None for what the Redis store has no room for, and where Redis does not tell its runs apart.
    """
    if generation.run is None:
        return None
    try:
        image = session_image(session.record, session.values, NEVER)
    except (ValueError, struct.error):
        return None
    body = _HEAD.pack(COPY, b"", generation.run, generation.taken_ms, session.now_ms - now_ms)[_SEALED_FROM:] + image
    return COPY + _mac(key, body) + body


def is_copy(value: Any) -> bool:
    """Tell whether this is a copy, whoever believes it."""
    return type(value) is bytes and value[:1] == COPY and len(value) >= _HEAD.size


def is_lease(value: Any) -> bool:
    """Tell whether this is a lease."""
    return type(value) is bytes and value[:1] == LEASE


def head_of(copy: bytes) -> bytes:
    """Return what tells a copy from others of the same session."""
    return copy[: _HEAD.size]


def taken_ms(copy: bytes) -> int:
    """Return when a copy was taken, by Redis' clock."""
    return int(_HEAD.unpack_from(copy)[3])


def read_copy(key: bytes, sid: str, value: Any, run: bytes | None, from_ms: int, now_ms: int) -> Loaded | None:
    """Return the session of a copy as of now; None unless this run of Redis took it, at that moment or later.

    ``from_ms`` and ``now_ms`` are instants of Redis' clock. A copy from the future was taken before that was put back:
    nobody knows how old it is. What is damaged, or was sealed under another secret, is no copy. A session whose time is
    up is the database's to judge: it may have ended there.
    """
    if type(value) is not bytes or value[:1] != COPY or len(value) < _HEAD.size:
        return None  # Spelt out: every request pays for it.
    _, mac, of_run, taken, ahead_ms = _HEAD.unpack_from(value)
    if of_run != run or not from_ms <= taken <= now_ms + CLOCK_BEHIND_MS:
        return None
    if not compare_digest(mac, _mac(key, memoryview(value)[_SEALED_FROM:])):
        return None
    try:
        session = read_image(sid, value[_HEAD.size :], now_ms + ahead_ms)
    except CorruptSessionError:
        return None
    return session if isinstance(session, Loaded) and session.record.is_live(session.now_ms) else None


def _mac(key: bytes, body: bytes | memoryview) -> bytes:
    state: Any = _keyed(conf.secrets()[0]).copy()
    state.update(b"%d:%b" % (len(key), key))
    state.update(body)
    return bytes(state.digest())


@lru_cache(maxsize=4)
def _keyed(secret: str | bytes) -> Any:
    return blake2b(key=sha512(_SALT + force_bytes(secret)).digest()[:32], digest_size=16)
