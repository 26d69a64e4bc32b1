"""A session as a line of a table, and as JSON: what operators see of it, and never a secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.utils import timezone

from django_srvsession.engine.details import is_bound
from django_srvsession.engine.naming import english_device_name_of
from django_srvsession.management.tables import TextTable, cut
from django_srvsession.records import SessionRecord
from django_srvsession.users import users_of

_COMFORTABLE: Final = 20
_GIVING: Final = (1, 2, 3)
"""The columns that may be cut: user, device, address."""


class Layout(NamedTuple):
    """Say which columns a line has, and how it tells times."""

    head: tuple[str, ...]
    times: Callable[[SessionRecord], tuple[str, ...]]

    def line(self, record: SessionRecord, names: Mapping[str, str]) -> tuple[str, ...]:
        """Return the cells of a session's line."""
        device = english_device_name_of(record) + (" (bound)" if is_bound(record) else "")
        return record.sid, _user(record, names), device, record.client.ip or "-", *self.times(record)


def layout_for(
    records: Iterable[SessionRecord], names: Mapping[str, str], room: int | None
) -> tuple[Layout, TextTable]:
    """Return the fullest layout for which there is room, and the table for these and all later sessions."""
    for layout in (_FULL, _BRIEF, _NARROW):
        rows = [layout.head, *(layout.line(record, names) for record in records)]
        eased = [
            tuple(cut(cell, _COMFORTABLE) if at in _GIVING else cell for at, cell in enumerate(row)) for row in rows
        ]
        if room is None or layout is _NARROW or TextTable(eased).width <= room:
            break
    return layout, TextTable(rows, room=room, give=_GIVING)


def names_of(records: Iterable[SessionRecord]) -> dict[str, str]:
    """Return the users' names by their ids, in one query; those who are gone are left out."""
    return {user_id: user.get_username() for user_id, user in users_of(record.user_id for record in records).items()}


def _user(record: SessionRecord, names: Mapping[str, str]) -> str:
    return "-" if record.user_id is None else names.get(record.user_id, f"#{record.user_id}")


def _in_full(record: SessionRecord) -> tuple[str, ...]:
    moments = (record.created_at, record.last_seen_at, record.expires_at)
    return tuple(timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S") for when in moments)


def _in_brief(record: SessionRecord) -> tuple[str, ...]:
    now_ms = time.time_ns() // 1_000_000
    ends = f"in {_span(record.expires_ms - now_ms)}"
    return f"{_span(now_ms - record.created_ms)} ago", f"{_span(now_ms - record.last_seen_ms)} ago", ends


def _span(span_ms: int) -> str:
    """Return a span in whole units, the largest that it fills: "59s", "5m", "23h", "13d"."""
    seconds = max(span_ms, 0) // 1000
    return next(f"{seconds // unit}{name}" for name, unit in _UNITS if seconds >= unit or unit == 1)


_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_WHO: Final = ("SID", "USER", "DEVICE", "ADDRESS")
_FULL: Final = Layout((*_WHO, "STARTED", "LAST ACTIVE", "EXPIRES"), _in_full)
_BRIEF: Final = Layout((*_WHO, "STARTED", "ACTIVE", "EXPIRES"), _in_brief)
_NARROW: Final = Layout((*_WHO, "ACTIVE"), lambda record: _in_brief(record)[1:2])


def json_of(record: SessionRecord, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a program sees of a session; times are ISO 8601 in UTC."""
    return {
        "sid": record.sid,
        "user_id": record.user_id,
        "user": None if record.user_id is None else names.get(record.user_id),
        "device": english_device_name_of(record),
        "bound": is_bound(record),
        "ip": record.client.ip,
        "user_agent": record.client.user_agent,
        "created_at": record.created_at.isoformat(),
        "signed_in_at": None if record.signed_in_at is None else record.signed_in_at.isoformat(),
        "last_seen_at": record.last_seen_at.isoformat(),
        "expires_at": record.expires_at.isoformat(),
    }
