"""What goes out: the fields of users and sessions that a client may know. Whatever is not named here stays inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.http import HttpRequest
from django.middleware.csrf import get_token

from django_srvsession.accounts import reasons
from django_srvsession.clients import header
from django_srvsession.clients.devices import device_kind, device_name
from django_srvsession.clients.geoip import location_of
from django_srvsession.engine.details import is_bound
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.events.history import Entry
from django_srvsession.records import Client, Ended, SessionRecord
from django_srvsession.services import user_id_of

_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9a-f]{18})")


class Cursor(NamedTuple):
    """Mark a place in a list of sessions by what never changes of one: so activity meanwhile moves nothing."""

    created_ms: int
    sid: str

    @classmethod
    def of(cls, record: SessionRecord) -> Cursor:
        """Return the place of a session."""
        return cls(record.created_ms, record.sid)

    @classmethod
    def parse(cls, cursor: str) -> Cursor | None:
        """Return the place that a cursor names, or None if it is no cursor of ours."""
        found = _CURSOR.fullmatch(cursor)
        return cls(int(found[1]), found[2]) if found else None

    def __str__(self) -> str:
        return f"{self.created_ms}-{self.sid}"


def page(records: Sequence[SessionRecord], limit: int) -> tuple[Sequence[SessionRecord], str | None]:
    """Return at most ``limit`` of the sessions, and the cursor of the next page if there are more of them."""
    shown = records[:limit]
    return shown, str(Cursor.of(shown[-1])) if len(records) > limit else None


def session_as_json(record: SessionRecord, current_sid: str | None) -> dict[str, Any]:
    """Return what a client may know of a session of its user's."""
    return {
        "sid": record.sid,
        "current": record.sid == current_sid,
        "bound": is_bound(record),
        **_client_as_json(record.client, device_name_of(record)),
        "signed_in_at": _instant(record.signed_in_at),
        "created_at": _instant(record.created_at),
        "last_seen_at": _instant(record.last_seen_at),
        "expires_at": _instant(record.expires_at),
    }


def entry_as_json(entry: Entry, current_sid: str | None) -> dict[str, Any]:
    """Return what a client may know of a start or an end of a session of its user's."""
    return {
        "kind": entry.kind,
        "at": _instant(entry.at),
        "sid": escaped(entry.sid) or None,
        "current": entry.sid == current_sid,
        "reason": escaped(entry.reason) or None,
        "by": entry.by or None,
        "detail": entry.text,
        **_client_as_json(entry.client, entry.device or device_name("")),
    }


def _client_as_json(client: Client, device: str) -> dict[str, Any]:
    return {
        "device": {"name": device, "kind": device_kind(client.user_agent)},
        "ip": escaped(client.ip) or None,
        "place": location_of(client.ip) or None,
    }


def person_as_json(request: HttpRequest) -> dict[str, Any]:
    """Return who asks, in which session, and the CSRF token that the next change needs; sets the token's cookie.

    User and session are None for a visitor, who learns instead why the session whose key the browser still holds was
    ended elsewhere. The session alone is None where the user needs no session, and the token where the key came in a
    header: no change needs one then.
    """
    user: Any = request.user
    who = {"id": user_id_of(user), "username": user.get_username()} if user.is_authenticated else None
    record = getattr(request.session, "record", None) if who else None
    session = None if record is None else session_as_json(record, record.sid)
    ended = None if who else ended_as_json(request)
    token = None if header.is_used(request) else get_token(request)
    return {"user": who, "session": session, "ended": ended, "csrf_token": token}


def ended_as_json(request: HttpRequest) -> dict[str, str] | None:
    """Return what became of the session whose key a visitor came with, where it was ended elsewhere."""
    ended: Ended | None = getattr(request.session, "ended", None)
    text = reasons.text_of(ended) if ended is not None else ""
    return {"sid": ended.sid, "reason": escaped(ended.reason), "detail": text} if ended is not None and text else None


def _instant(instant: datetime | None) -> str | None:
    """Write an instant as RFC 3339 does, in UTC, to the millisecond."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
