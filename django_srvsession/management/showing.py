"""A session as a line of a table, and as JSON: what operators see of it, and never a secret."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_srvsession.devices import device_name
from django_srvsession.records import SessionRecord

HEAD: Final = ("SID", "USER", "DEVICE", "ADDRESS", "STARTED", "LAST ACTIVE", "EXPIRES")


def names_of(records: Iterable[SessionRecord]) -> dict[str, str]:
    """Return the users' names by their ids, in one query; those who are gone are left out."""
    model = get_user_model()
    known: dict[str, Any] = {}
    for user_id in {record.user_id for record in records} - {None}:
        with contextlib.suppress(ValueError, ValidationError):  # An id of another user model than today's.
            known[str(user_id)] = model._meta.pk.to_python(user_id)
    users = model._base_manager.in_bulk(list(known.values())) if known else {}
    return {user_id: users[pk].get_username() for user_id, pk in known.items() if pk in users}


def line_of(record: SessionRecord, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the cells of a session's line, times in the site's time zone."""
    return (
        record.sid,
        _user(record, names),
        device_name(record.client.user_agent),
        record.client.ip or "-",
        *(_local(when) for when in (record.created_at, record.last_seen_at, record.expires_at)),
    )


def _user(record: SessionRecord, names: Mapping[str, str]) -> str:
    return "-" if record.user_id is None else names.get(record.user_id, f"#{record.user_id}")


def _local(when: datetime) -> str:
    return timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S")


def json_of(record: SessionRecord, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a program sees of a session; times are ISO 8601 in UTC."""
    return {
        "sid": record.sid,
        "user_id": record.user_id,
        "user": None if record.user_id is None else names.get(record.user_id),
        "device": device_name(record.client.user_agent),
        "ip": record.client.ip,
        "user_agent": record.client.user_agent,
        "created_at": record.created_at.isoformat(),
        "signed_in_at": None if record.signed_in_at is None else record.signed_in_at.isoformat(),
        "last_seen_at": record.last_seen_at.isoformat(),
        "expires_at": record.expires_at.isoformat(),
    }
