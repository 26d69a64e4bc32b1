"""What an update, or a rotation, asks of a session and does to it: the rules, without SQL."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django_srvsession.backends.db.framing import frame
from django_srvsession.backends.db.statements import FOREVER, Params
from django_srvsession.devices import device_family
from django_srvsession.records import (
    NO_CLIENT,
    UNSET,
    Client,
    Delta,
    Loaded,
    Unset,
    conflicts,
    given,
    new_session,
    rotated,
    updated,
    updated_values,
)
from django_srvsession.store import ConflictError, UpdateError


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

    def parts(self, current: Loaded) -> tuple[str, ...]:
        """Return the names of what is written, as ``Statements.update`` takes them: what the delta names, no more."""
        delta = self.delta
        parts = ["seen", "extend" if delta.extend else "keep"]
        if delta.lifetime_ms is not UNSET:
            parts.append("lifetime")
        if delta.deadline_ms is not UNSET:
            parts.append("deadline")
        if delta.user_id is not UNSET:
            parts.append("user")
        if delta.client is not UNSET:
            parts.append("client")
        if delta.writes_values:
            parts.append("values")
        if self.new_verifier is not None:
            parts += "rotate", "rotated later" if delta.user_id is UNSET else "rotated at sign-in"
        elif self.verifier != current.record.verifier:
            parts.append("by the key before")
        return tuple(parts)

    def params(self, current: Loaded, version: int) -> Params:
        """Return the parameters of that statement; it holds where the session is still ``current``."""
        delta, record = self.delta, current.record
        deadline_ms = given(delta.deadline_ms, record.deadline_ms)
        params: Params = {
            "sid": record.sid,
            "verifier": self.verifier,
            "version": record.version,
            "new_version": version,
            "lifetime_ms": given(delta.lifetime_ms, record.lifetime_ms),
            "deadline_ms": deadline_ms,
            "limit_ms": _limit(deadline_ms),
            "user_id": given(delta.user_id, record.user_id),
            "new_verifier": self.new_verifier,
            "final": self.final,
        }
        if delta.client is not UNSET:
            params |= client_params(delta.client)
        if delta.writes_values:
            params["data"] = frame(updated_values(current.values, delta))
        return params


def new_params(sid: str, verifier: str, delta: Delta) -> Params:
    """Return the parameters of ``Statements.insert``; raises ``ValueError`` without a lifetime."""
    record, values, _ = new_session(sid, verifier, delta, 0)
    return {
        "sid": sid,
        "verifier": verifier,
        "user_id": record.user_id,
        "final": True,
        "lifetime_ms": record.lifetime_ms,
        "deadline_ms": record.deadline_ms,
        "limit_ms": _limit(record.deadline_ms),
        **client_params(delta.client),
        "data": frame(values),
    }


def _limit(deadline_ms: int | None) -> int:
    return FOREVER if deadline_ms is None else deadline_ms


def client_params(client: Client | Unset) -> Params:
    """Return a client's columns, without what some database refuses (NUL, lone surrogates)."""
    given = NO_CLIENT if client is UNSET else client
    agent = _storable(given.user_agent)
    return {"ip": _storable(given.ip)[:64], "user_agent": agent, "device_family": device_family(agent)}


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def version_step(in_transaction: bool) -> int:
    """Return by how much a write raises the version.

    What a transaction wrote may be undone, and the same number then be given to other contents: whoever saw the first
    would take it for the second. So inside a transaction the number is one that nobody else will arrive at.
    """
    return secrets.randbelow(2**31) + 1 if in_transaction else 1
