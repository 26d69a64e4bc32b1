"""Plain frozen values: what a session is, without its contents, and what a request changes of it.

Instants are whole milliseconds since 1970 UTC by the *store's* clock (``..._ms``), because stores compare and write
them on every request; the properties without the suffix give the same instants as aware UTC datetimes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from hmac import compare_digest
from types import MappingProxyType
from typing import Any, Final, NamedTuple

ROTATION_GRACE_MS: Final = 60_000
"""How long after a rotation, or an end, the old key is still recognised (not: still valid), in milliseconds."""

CLOCKS_DIFFER_MS: Final = 3_600_000
"""How far two clocks may be apart before an instant counts as forged, in milliseconds."""

LATEST_MS: Final = 253_402_214_400_000
"""The last day of the year 9999, in milliseconds: no later instant can be shown in every time zone, and no session
lives longer."""
MOST: Final = 2**53
"""What any other number may be at most: up to there scripts of Redis, too, hold it exactly."""

MOST_DETAILS_BYTES: Final = 1024
"""How long ``SessionRecord.details`` may be."""

MOVED: Final = "moved"
"""The reason for which a session ends that goes on in another store, or engine: nobody is told of it as of an end."""

AUTH_KEYS: Final = ("_auth_user_id", "_auth_user_backend", "_auth_user_hash")
"""The session keys of ``django.contrib.auth``: written, or left, as one group."""


class Unset(Enum):
    """Mark a field that a delta leaves alone (None is a value there)."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def as_datetime(instant_ms: int) -> datetime:
    """Convert milliseconds since 1970 UTC to an aware UTC datetime, exactly."""
    return datetime.fromtimestamp(instant_ms // 1000, UTC).replace(microsecond=instant_ms % 1000 * 1000)


def _maybe_datetime(instant_ms: int | None) -> datetime | None:
    return None if instant_ms is None else as_datetime(instant_ms)


# Named tuples: a request makes several of these, and a frozen dataclass costs eight times as much to make.


class Client(NamedTuple):
    """Hold where a session was last seen from: a hint for people, never a proof."""

    ip: str = ""
    user_agent: str = ""


NO_CLIENT: Final = Client()


class SessionRecord(NamedTuple):
    """Describe one session without its contents, so that no list, template or log can leak them.

    ``sid`` finds a session and does not open it; ``verifier`` is the digest of the key's secret, and opens nothing
    either. Neither verifier is part of the ``repr``. ``details`` is what the engine keeps beside
    (``engine/details.py``); stores do not look into it.
    """

    sid: str
    verifier: str
    created_ms: int
    last_seen_ms: int
    lifetime_ms: int
    expires_ms: int
    user_id: str | None = None
    client: Client = NO_CLIENT
    signed_in_ms: int | None = None
    deadline_ms: int | None = None
    previous_verifier: str | None = None
    rotated_ms: int | None = None
    rotation_final: bool = True
    version: int = 1
    details: bytes = b""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if not name.endswith("verifier"))
        return f"SessionRecord({', '.join(shown)})"

    @property
    def created_at(self) -> datetime:
        """Return when the session was created."""
        return as_datetime(self.created_ms)

    @property
    def last_seen_at(self) -> datetime:
        """Return when the session was last used, to ``SRVSESSION_TOUCH_INTERVAL``."""
        return as_datetime(self.last_seen_ms)

    @property
    def expires_at(self) -> datetime:
        """Return when the session ends by itself if it is not used again."""
        return as_datetime(self.expires_ms)

    @property
    def signed_in_at(self) -> datetime | None:
        """Return when its user signed in, or None for an anonymous session."""
        return _maybe_datetime(self.signed_in_ms)

    @property
    def rotated_at(self) -> datetime | None:
        """Return when the key was last changed, or None."""
        return _maybe_datetime(self.rotated_ms)

    @property
    def deadline(self) -> datetime | None:
        """Return the instant that no activity moves, or None."""
        return _maybe_datetime(self.deadline_ms)

    @property
    def lifetime(self) -> timedelta:
        """Return how long the session lives after it was last extended."""
        return timedelta(milliseconds=self.lifetime_ms)

    def accepts(self, verifier: str, now_ms: int) -> bool:
        """Tell whether a key with this verifier opens the session at ``now_ms`` (compared in constant time).

        The key before a *non-final* rotation is accepted for a minute, so that the requests that were under way
        when a periodic renewal happened go on; a final rotation (login, password change) kills the old key at once.
        """
        if compare_digest(verifier, self.verifier):
            return True
        return not self.rotation_final and self.was_rotated_from(verifier, now_ms)

    def was_rotated_from(self, verifier: str, now_ms: int) -> bool:
        """Tell whether a key with this verifier was the session's key until less than a minute ago."""
        return (
            self.previous_verifier is not None
            and self.rotated_ms is not None
            and compare_digest(verifier, self.previous_verifier)
            and now_ms - self.rotated_ms < ROTATION_GRACE_MS
        )

    def openers(self, now_ms: int) -> tuple[str, ...]:
        """Return the verifiers that :meth:`accepts` takes at ``now_ms``: the key's, and in its grace the one before."""
        previous = self.previous_verifier
        if previous is None or not self.accepts(previous, now_ms):
            return (self.verifier,)
        return self.verifier, previous

    def was_rotated_just_now(self, now_ms: int) -> bool:
        """Tell whether the key was changed less than a minute ago: older keys of the session may be under way."""
        return self.rotated_ms is not None and now_ms - self.rotated_ms < ROTATION_GRACE_MS

    def is_live(self, now_ms: int) -> bool:
        """Tell whether the session has not expired at ``now_ms``."""
        return now_ms < self.expires_ms

    @property
    def expiry_reason(self) -> str:
        """Return why its time is up when it is: ``expired_lifetime`` at its deadline, or ``expired_idle``."""
        at_deadline = self.deadline_ms is not None and self.expires_ms >= self.deadline_ms
        return "expired_lifetime" if at_deadline else "expired_idle"


_SID: Final = re.compile(r"[0-9a-f]{18}")


def is_sid(text: object) -> bool:
    """Tell whether a text may be a session's public name: it may become part of an address, a key or a path."""
    return type(text) is str and _SID.fullmatch(text) is not None


def is_storable(text: str) -> bool:
    """Tell whether every database takes a text: one with a NUL, or with half a surrogate pair, is in none of them."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def is_verifier(text: object) -> bool:
    """Tell whether a text can be compared with verifiers, in constant time; what is no digest is like none of them."""
    return type(text) is str and len(text) == 64 and text.isascii()


def is_instant(number: object) -> bool:
    """Tell whether a number is an instant that can be shown, and computed with."""
    return type(number) is int and 0 <= number <= LATEST_MS


def is_sound(record: SessionRecord) -> bool:
    """Tell whether a record that was read can be shown, compared and computed with, whoever wrote it.

    Every decoder of a store asks, and answers ``CorruptSessionError`` where not. Whose sid it is, the caller knows.
    """
    (
        _,
        verifier,
        created,
        seen,
        lifetime,
        expires,
        user,
        (ip, agent),
        signed_in,
        deadline,
        previous,
        rotated,
        _,
        version,
        details,
    ) = record
    return (  # Spelt out: every request pays for it.
        type(created) is type(seen) is type(lifetime) is type(expires) is type(version) is int
        and min(created, seen, lifetime, expires, version) >= 0
        and max(created, seen, expires) <= LATEST_MS
        and max(lifetime, version) <= MOST
        and type(verifier) is type(ip) is type(agent) is str
        and len(verifier) == 64
        and verifier.isascii()
        and (user is None or type(user) is str)
        and (signed_in is None or is_instant(signed_in))
        and (deadline is None or is_instant(deadline))
        and (rotated is None or is_instant(rotated))
        and (previous is None or is_verifier(previous))
        and type(details) is bytes
        and len(details) <= MOST_DETAILS_BYTES
    )


class Loaded(NamedTuple):
    """Hold a stored session: its record, its sealed values, and the store's clock when it answered."""

    record: SessionRecord
    values: Mapping[str, bytes]
    now_ms: int


class Tombstone(NamedTuple):
    """Hold what an ended session leaves for ``SRVSESSION_ENDED_KEEP``: no values, no client."""

    sid: str
    verifiers: tuple[str, ...]
    reason: str
    by: str | None
    ended_ms: int
    now_ms: int
    user_id: str | None = None

    def __repr__(self) -> str:
        return f"Tombstone(sid={self.sid!r}, reason={self.reason!r}, by={self.by!r}, ended_ms={self.ended_ms!r})"

    @property
    def is_sound(self) -> bool:
        """Tell whether a tombstone that was read can be shown and compared, whoever wrote it; see :func:`is_sound`."""
        texts = (self.by, self.user_id)
        return (
            all(map(is_verifier, self.verifiers))
            and is_instant(self.ended_ms)
            and type(self.reason) is str
            and all(text is None or type(text) is str for text in texts)
        )

    @property
    def was_replaced_just_now(self) -> bool:
        """Tell whether this browser itself ended the session less than a minute ago, and was told about its cookie."""
        return self.now_ms - self.ended_ms < ROTATION_GRACE_MS and self.reason in ("logout", "replaced", MOVED)

    def was_of(self, verifier: str) -> bool:
        """Tell whether this was the session's verifier, at its end or before (constant time)."""
        return any(compare_digest(verifier, known) for known in self.verifiers)

    def is_of(self, verifier: str) -> bool:
        """Tell whether this was the session's verifier when it ended; an earlier one is not (constant time)."""
        return bool(self.verifiers) and compare_digest(verifier, self.verifiers[0])


class Ended(NamedTuple):
    """Say of a session that has ended which it was and why; for the person who holds its key, and nobody else.

    ``by_owner`` tells whether its own user ended it, or somebody else; None: it is not known who.
    """

    sid: str
    reason: str
    by_owner: bool | None = None


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Delta(NamedTuple):
    """Name all that one step changes of a session, and nothing else.

    ``changed``/``removed``: session keys to write and to drop. ``cleared``: drop every key that is not in ``changed``.
    ``expected``: sealed bytes that must still stand (None: the key must be absent), else nothing at all is written.
    ``resealed``: ``name: (old, new)``, written only where the old bytes still stand. ``user_id``: naming it *is* a
    sign-in and sets ``signed_in_ms``, also when it names the same user again. ``extend``: compute ``expires_ms`` anew
    as ``min(now + lifetime, deadline)``; False leaves it (but never behind the deadline). An empty delta is a touch.
    ``new_verifier``: the session's key changes in the same step; the old one dies at once if that is ``final``, and
    else opens the session for a minute more. ``details``: what the engine keeps of the session, opaque to stores.
    """

    changed: Mapping[str, bytes] = _NOTHING
    removed: frozenset[str] = frozenset()
    cleared: bool = False
    expected: Mapping[str, bytes | None] = _NOTHING
    resealed: Mapping[str, tuple[bytes, bytes]] = _NOTHING
    user_id: str | Unset = UNSET
    client: Client | Unset = UNSET
    lifetime_ms: int | Unset = UNSET
    deadline_ms: int | Unset | None = UNSET
    extend: bool = True
    new_verifier: str | None = None
    final: bool = True
    details: bytes | Unset = UNSET

    @property
    def writes_values(self) -> bool:
        """Tell whether the step changes the session's contents."""
        return bool(self.changed or self.removed or self.cleared or self.resealed)


class Ending(NamedTuple):
    """Name how a session ends, and under which conditions.

    With a ``reason`` a live session is ended, ``by`` a user's id where one is known. Without one a session is ended
    whose time is up, for ``SessionRecord.expiry_reason``. ``verifier``: only if the session accepts it. ``expected``:
    only if these sealed bytes stand (None: the key must be absent). ``version``: only if nobody has written the
    session since it had this version. ``base`` is what the caller has loaded, if it has: a store may use it to spare a
    round trip, and never trusts it.
    """

    reason: str | None = None
    by: str | None = None
    verifier: str | None = None
    expected: Mapping[str, bytes | None] | None = None
    base: Loaded | None = None
    version: int | None = None


EXPIRED: Final = Ending()
"""The ending of a session whose time is up."""

TOUCH: Final = Delta()
"""The delta that changes nothing but ``last_seen_ms`` and ``expires_ms``."""


def given(named: Any, stands: Any) -> Any:
    """Return what a delta names, or what stands where it names nothing."""
    return stands if named is UNSET else named


def expiry(now_ms: int, lifetime_ms: int, deadline_ms: int | None) -> int:
    """Return when a session extended at ``now_ms`` expires: after its lifetime, never past its deadline."""
    return min(now_ms + lifetime_ms, LATEST_MS if deadline_ms is None else deadline_ms)


def checked_details(details: bytes) -> bytes:
    """Return details that a delta names; raises ``ValueError`` for more than there may be, on every store."""
    if len(details) > MOST_DETAILS_BYTES:
        raise ValueError(f"A session's details may have {MOST_DETAILS_BYTES:,} bytes; these have {len(details):,}.")
    return details


def new_session(sid: str, verifier: str, delta: Delta, now_ms: int) -> Loaded:
    """Make the session that ``Store.create(sid, verifier, delta)`` stores at ``now_ms``.

    Raises ``ValueError`` where the delta names no lifetime, or details that are too long.
    """
    if delta.lifetime_ms is UNSET:
        raise ValueError("A new session needs a lifetime: Delta(lifetime_ms=...).")
    user_id = None if delta.user_id is UNSET else delta.user_id
    deadline_ms = None if delta.deadline_ms is UNSET else delta.deadline_ms
    record = SessionRecord(
        sid=sid,
        verifier=verifier,
        created_ms=now_ms,
        last_seen_ms=now_ms,
        lifetime_ms=delta.lifetime_ms,
        expires_ms=expiry(now_ms, delta.lifetime_ms, deadline_ms),
        user_id=user_id,
        client=NO_CLIENT if delta.client is UNSET else delta.client,
        signed_in_ms=None if user_id is None else now_ms,
        deadline_ms=deadline_ms,
        details=b"" if delta.details is UNSET else checked_details(delta.details),
    )
    return Loaded(record, dict(delta.changed), now_ms)


def updated(current: Loaded, delta: Delta, now_ms: int) -> Loaded:
    """Return ``current`` after ``delta`` at ``now_ms``: *the* rule for merging, which every store keeps.

    What the delta does not name stays as it stands now, also where it was changed or removed by another request
    since the delta's author loaded. The caller has checked liveness, verifier, user and ``delta.expected``.
    ``last_seen_ms`` only moves forward. Raises ``ValueError`` for details that are too long.
    """
    old = current.record
    lifetime_ms = given(delta.lifetime_ms, old.lifetime_ms)
    deadline_ms = given(delta.deadline_ms, old.deadline_ms)
    expires_ms = expiry(now_ms, lifetime_ms, deadline_ms) if delta.extend else old.expires_ms
    record = SessionRecord(  # By place: every save makes one, and names would take as long again.
        old.sid,
        old.verifier,
        old.created_ms,
        now_ms if now_ms > old.last_seen_ms else old.last_seen_ms,
        lifetime_ms,
        expires_ms if deadline_ms is None else min(expires_ms, deadline_ms),
        given(delta.user_id, old.user_id),
        given(delta.client, old.client),
        old.signed_in_ms if delta.user_id is UNSET else now_ms,
        deadline_ms,
        old.previous_verifier,
        old.rotated_ms,
        old.rotation_final,
        old.version + 1,
        old.details if delta.details is UNSET else checked_details(delta.details),
    )
    return Loaded(record, updated_values(current.values, delta), now_ms)


def updated_values(values: Mapping[str, bytes], delta: Delta) -> Mapping[str, bytes]:
    """Return the sealed values after ``delta``; the same object when it changes none."""
    if not delta.writes_values:
        return values
    kept = {} if delta.cleared else dict(values)
    for name in delta.removed:
        kept.pop(name, None)
    for name, (old, new) in delta.resealed.items():
        if kept.get(name) == old:
            kept[name] = new
    kept.update(delta.changed)
    return kept


def rotated(current: Loaded, new_verifier: str, final: bool, signs_in: bool) -> Loaded:
    """Return ``current`` under a new verifier; the old one is remembered, and valid on if the rotation is not final.

    ``signs_in`` tells whether the same step signed its user in. If not, the rotation is later than the sign-in, by a
    millisecond at least: so a logout knows that the old key was a signed-in one.
    """
    record, now_ms = current.record, current.now_ms
    is_older = signs_in or record.signed_in_ms is None
    after = record._replace(
        verifier=new_verifier,
        previous_verifier=record.verifier,
        rotated_ms=now_ms if is_older else max(now_ms, (record.signed_in_ms or 0) + 1),
        rotation_final=final,
    )
    return current._replace(record=after)


def conflicts(values: Mapping[str, bytes], expected: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """Return what stands now under each name whose expected bytes do not, by name; empty when all hold."""
    return {name: values.get(name) for name, bytes_ in expected.items() if values.get(name) != bytes_}
