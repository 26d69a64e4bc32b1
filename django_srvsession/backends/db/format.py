"""What an update, or a rotation, asks of a session and does to it: the rules, without SQL."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from django_srvsession.backends.db.sql import BY_KEY_BEFORE, Params
from django_srvsession.clients.devices import device_family
from django_srvsession.models import Session
from django_srvsession.records import (
    UNSET,
    Client,
    Delta,
    Loaded,
    conflicts,
    is_storable,
    rotated,
    updated,
)
from django_srvsession.store import ConflictError, UpdateError
from django_srvsession.store.framing import frame

_LENGTHS: Final = {field.name: field.max_length or 0 for field in Session._meta.local_fields}
_MOST_OF_USER_ID: Final = _LENGTHS["user_id"]


class Change(NamedTuple):
    """Hold one update; with ``new_verifier``, one rotation."""

    verifier: str
    delta: Delta
    new_verifier: str | None = None
    final: bool = True

    def stands(self, current: Loaded) -> bool:
        """Tell whether this is a rotation that was done before (its answer was lost)."""
        return current.record.verifier == self.new_verifier and current.record.is_live(current.now_ms)

    def refusal(self, current: Loaded) -> UpdateError | ConflictError | None:
        """Return why the session, as it stands, does not take the change; None: it does."""
        if not self._is_ours(current):
            return UpdateError("No live session has this sid and this verifier, and belongs to this user.")
        differing = conflicts(current.values, self.delta.expected)
        return ConflictError(differing) if differing else None

    def _is_ours(self, current: Loaded) -> bool:
        record, user_id = current.record, self.delta.user_id
        accepts = record.accepts(self.verifier, current.now_ms)
        if self.new_verifier is not None:
            accepts = record.verifier == self.verifier
        return accepts and record.is_live(current.now_ms) and (user_id is UNSET or record.user_id in (None, user_id))

    def applied(self, current: Loaded, now_ms: int, version: int) -> Loaded:
        """Return the session after the change, at ``now_ms``."""
        after = updated(current, self.delta, now_ms)
        if self.new_verifier is not None:
            after = rotated(after, self.new_verifier, self.final, self.delta.user_id is not UNSET)
        if after.record.version != version:
            after = after._replace(record=after.record._replace(version=version))
        return after

    def columns(self, current: Loaded) -> tuple[str, ...]:
        """Return the columns that are written, for ``Statements.update``: what the delta names, no more."""
        delta = self.delta
        names = ["version", "last_seen_ms", "expires_ms"]
        if delta.lifetime_ms is not UNSET:
            names.append("lifetime_ms")
        if delta.deadline_ms is not UNSET:
            names.append("deadline_ms")
        if delta.user_id is not UNSET:
            names += "user_id", "signed_in_ms"
        if delta.client is not UNSET:
            names += "ip", "user_agent", "device_family"
        if delta.writes_values:
            names.append("data")
        if self.new_verifier is not None:
            names += "verifier", "previous_verifier", "rotated_ms", "rotation_final"
        elif self.verifier != current.record.verifier:
            names.append(BY_KEY_BEFORE)
        return tuple(names)

    def params(self, current: Loaded, after: Loaded) -> Params:
        """Return the parameters of that statement: what is to stand, and what has to stand as in ``current``."""
        delta, record = self.delta, after.record
        params: Params = {
            "sid": record.sid,
            "verifier": self.verifier,
            "version": current.record.version,
            "user_id": record.user_id,
            "new_version": record.version,
            "new_last_seen_ms": record.last_seen_ms,
            "new_expires_ms": record.expires_ms,
            "new_lifetime_ms": record.lifetime_ms,
            "new_deadline_ms": record.deadline_ms,
            "new_user_id": record.user_id,
            "new_signed_in_ms": record.signed_in_ms,
        }
        if delta.user_id is not UNSET:
            check_user_id(delta.user_id)
        if delta.client is not UNSET:
            params |= {f"new_{name}": value for name, value in client_params(delta.client).items()}
        if delta.writes_values:
            params["new_data"] = frame(after.values)
        if self.new_verifier is not None:
            params["new_verifier"] = record.verifier
            params["new_previous_verifier"] = record.previous_verifier
            params["new_rotated_ms"] = record.rotated_ms
            params["new_rotation_final"] = record.rotation_final
        return params


def new_params(new: Loaded) -> Params:
    """Return the parameters of ``Statements.insert``; raises as :func:`check_user_id`."""
    if new.record.user_id is not None:
        check_user_id(new.record.user_id)
    params = new.record._asdict()
    client = params.pop("client")
    return {**params, **client_params(client), "data": frame(new.values)}


def client_params(client: Client) -> Params:
    """Return a client's columns, without what some database refuses (NUL, lone surrogates)."""
    agent = storable(client.user_agent)
    return {"ip": storable(client.ip)[:64], "user_agent": agent, "device_family": device_family(agent)}


def ending_params(reason: str, by: str | None) -> Params:
    """Return the parameters that say why and by whom a session ends, as far as there is room for them."""
    return {"reason": storable(reason)[: _LENGTHS["ended_reason"]], "by": None if by is None else storable(by)}


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
