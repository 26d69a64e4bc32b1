"""What a row of the table is in records and values, and what of a session is written to which columns."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Final

from django_srvsession.backends.db.sql import BY_KEY_BEFORE, RECORD_COLUMNS, Params, Row
from django_srvsession.clients.devices import device_family
from django_srvsession.models import Session
from django_srvsession.records import (
    CLOCKS_DIFFER_MS,
    UNSET,
    Client,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    is_instant,
    is_sid,
    is_sound,
    is_storable,
)
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.framing import frame, unframe
from django_srvsession.store.listings import note_damaged
from django_srvsession.store.rules import Stored

_REST: Final = slice(len(RECORD_COLUMNS), len(RECORD_COLUMNS) + 4)
_LENGTHS: Final = {field.name: field.max_length or 0 for field in Session._meta.local_fields}
_MOST_OF_USER_ID: Final = _LENGTHS["user_id"]


# Read.


def clock_said(said: float) -> int:
    """Return the clock, in milliseconds, that a statement returned as ``{said}``: as such, or as a float of seconds.

    Cut, not rounded: what is known of the clock must never be ahead of it.
    """
    return int(said if isinstance(said, int) else said * 1000)


def record_of(row: Row) -> SessionRecord:
    """Make a record of a row that begins with ``RECORD_COLUMNS``; raises ``CorruptSessionError`` for a damaged one."""
    sid, verifier, created, seen, lifetime, expires, user_id, ip, agent = row[:9]
    signed_in, deadline, previous, rotated, is_final, version, details = row[9:16]
    try:
        record = SessionRecord(  # By place: every request makes one, and names would take as long again.
            sid,
            verifier.hex(),
            created,
            seen,
            lifetime,
            expires,
            user_id,
            Client(ip, agent),
            signed_in,
            deadline,
            None if previous is None else previous.hex(),
            rotated,
            bool(is_final),
            version,
            details if type(details) is bytes else bytes(memoryview(details)),
        )
    except (AttributeError, TypeError) as error:
        raise _damaged() from error
    if is_sound(record) and is_sid(sid):
        return record
    raise _damaged()


def records_of(rows: Iterable[Row]) -> Iterator[SessionRecord]:
    """Make the records of rows; leaves out, and logs, what is damaged."""
    for row in rows:
        try:
            yield record_of(row)
        except CorruptSessionError:
            note_damaged(row[0])


class StoredRow:
    """Hold a row of the statement ``read``: a session or a tombstone, with its values still framed.

    Raises ``CorruptSessionError`` for a damaged row.
    """

    def __init__(self, row: Row, now_ms: int) -> None:
        self.record = record_of(row)
        self.ended_ms, self.reason, self.by, self.data = row[_REST]
        happened_ms = self.record.last_seen_ms
        if self.ended_ms is not None:
            if not is_instant(self.ended_ms):
                raise _damaged()
            happened_ms = max(happened_ms, self.ended_ms)
        # What has happened is not ahead of the clock, whatever is known of it here, unless somebody forged it.
        self.now_ms = happened_ms if now_ms < happened_ms <= now_ms + CLOCKS_DIFFER_MS else now_ms

    def session(self) -> Stored:
        """Return the session, or what it left; raises ``CorruptSessionError`` when its values are damaged."""
        if self.ended_ms is not None:
            return self._tombstone()
        if not isinstance(self.data, bytes | memoryview):
            raise CorruptSessionError("The values of the session are damaged.")
        return Loaded(self.record, unframe(bytes(self.data)), self.now_ms)

    def without_values(self) -> Stored:
        """Return the session, its values left out; or what it left. Values may be damaged then."""
        return Loaded(self.record, {}, self.now_ms) if self.ended_ms is None else self._tombstone()

    def _tombstone(self) -> Tombstone:
        record = self.record
        known = (record.verifier, record.previous_verifier)
        verifiers = tuple(verifier for verifier in known if verifier is not None)
        tombstone = Tombstone(record.sid, verifiers, self.reason, self.by, self.ended_ms, self.now_ms, record.user_id)
        if tombstone.is_sound:
            return tombstone
        raise CorruptSessionError("The row of the ended session is damaged.")


def _damaged() -> CorruptSessionError:
    return CorruptSessionError("The row of the session is damaged.")


# Write.


def digest(verifier: str) -> bytes:
    """Return a verifier as it is stored; raises ``ValueError`` for what is none."""
    stored = bytes.fromhex(verifier)
    if len(stored) != 32 or stored.hex() != verifier:
        raise ValueError("A verifier is 64 hexadecimal digits.")
    return stored


def sought(verifier: str) -> bytes:
    """Return a verifier as it is looked for; what is none is like none that is stored."""
    try:
        return digest(verifier)
    except ValueError:
        return b""


def new_params(new: Loaded) -> Params:
    """Return the parameters of ``Statements.insert``; raises as :func:`check_user_id`."""
    if new.record.user_id is not None:
        check_user_id(new.record.user_id)
    params = new.record._asdict()
    client = params.pop("client")
    previous = new.record.previous_verifier
    digests = {"verifier": digest(new.record.verifier), "previous_verifier": previous and digest(previous)}
    return {**params, **digests, **_client_params(client), "data": frame(new.values)}


def changed_columns(delta: Delta, verifier: str, current: Loaded) -> tuple[str, ...]:
    """Return the columns that an update writes, for ``Statements.update``: what the delta names, no more."""
    names = ["version", "last_seen_ms", "expires_ms"]
    if delta.lifetime_ms is not UNSET:
        names.append("lifetime_ms")
    if delta.deadline_ms is not UNSET:
        names.append("deadline_ms")
    if delta.user_id is not UNSET:
        names += "user_id", "signed_in_ms"
    if delta.client is not UNSET:
        names += "ip", "user_agent", "device_family"
    if delta.details is not UNSET:
        names.append("details")
    if delta.writes_values:
        names.append("data")
    if delta.new_verifier is not None:
        names += "verifier", "previous_verifier", "rotated_ms", "rotation_final"
    elif verifier != current.record.verifier:
        names.append(BY_KEY_BEFORE)
    return tuple(names)


def changed_params(delta: Delta, verifier: str, current: Loaded, after: Loaded) -> Params:
    """Return the parameters of that statement: what is to stand, and what has to stand as in ``current``."""
    record = after.record
    params: Params = {
        "sid": record.sid,
        "verifier": digest(verifier),
        "version": current.record.version,
        "user_id": record.user_id,
        "new_version": record.version,
        "new_last_seen_ms": record.last_seen_ms,
        "new_expires_ms": record.expires_ms,
        "new_lifetime_ms": record.lifetime_ms,
        "new_deadline_ms": record.deadline_ms,
        "new_user_id": record.user_id,
        "new_signed_in_ms": record.signed_in_ms,
        "new_details": record.details,
    }
    if delta.user_id is not UNSET:
        check_user_id(delta.user_id)
    if delta.client is not UNSET:
        params |= {f"new_{name}": value for name, value in _client_params(delta.client).items()}
    if delta.writes_values:
        params["new_data"] = frame(after.values)
    if delta.new_verifier is not None:
        params["new_verifier"] = digest(delta.new_verifier)
        params["new_previous_verifier"] = digest(current.record.verifier)
        params["new_rotated_ms"] = record.rotated_ms
        params["new_rotation_final"] = record.rotation_final
    return params


def ending_params(ending: Ending, keep_ms: int) -> Params:
    """Return the parameters that say why and by whom a session ends, as far as there is room for them."""
    reason, by = storable(ending.reason or ""), ending.by
    cut = reason[: _LENGTHS["ended_reason"]]
    return {"reason": cut, "by": None if by is None else storable(by), "keep_ms": keep_ms, "nothing": b""}


def _client_params(client: Client) -> Params:
    """Return a client's columns, without what some database refuses (NUL, lone surrogates)."""
    agent = storable(client.user_agent)
    return {"ip": storable(client.ip)[:64], "user_agent": agent, "device_family": device_family(agent)}


def check_user_id(user_id: str) -> None:
    """Raise ``ValueError`` for a user's id that the column does not hold as it is: cut, it would be another user's."""
    if len(user_id) > _MOST_OF_USER_ID or not is_storable(user_id):
        text = f"A user's id may have {_MOST_OF_USER_ID} characters in a database, without NUL or halves of characters"
        raise ValueError(f"{text}; this one has {len(user_id)}.")


def storable(text: str) -> str:
    """Return a text without what some database refuses (NUL, lone surrogates)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def version_step(in_transaction: bool) -> int:
    """Return by how much a write raises the version.

    What a transaction wrote may be undone, and the same number then be given to other contents: whoever saw the first
    would take it for the second. So inside a transaction the number is one that nobody else will arrive at.
    """
    return secrets.randbelow(2**31) + 1 if in_transaction else 1
