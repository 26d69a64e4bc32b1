"""What the admin's pages show of a session: a ``LiveSession`` that was made of a record, and never read or saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from django_srvsession import conf, services
from django_srvsession.admin.people import Viewer, ordinary_of
from django_srvsession.engine.details import is_bound
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.events.history import portion_of
from django_srvsession.models import LiveSession, SessionEvent
from django_srvsession.records import SessionRecord
from django_srvsession.store.listings import clock_ms

ONLINE_MS: Final = 5 * 60_000
MOST_EVENTS: Final = 20
_KEPT: Final = ("created_ms", "signed_in_ms", "last_seen_ms", "lifetime_ms", "expires_ms", "deadline_ms", "rotated_ms")


class Shown(NamedTuple):
    """Hold what a row shows beside its columns; ``user`` is None for who may not see the session's user.

    ``is_for_superusers``: the viewer may not end it, because only superusers may. ``end_url`` is where the list asks
    whether to end it.
    """

    device: str
    is_bound: bool
    user: Any
    user_url: str
    is_own: bool
    is_for_superusers: bool
    now_ms: int
    sizes: Mapping[str, int]
    revealed: Mapping[str, Any]
    events: Sequence[SessionEvent] = ()
    end_url: str = ""


def rows_of(request: HttpRequest, site: AdminSite, records: Iterable[SessionRecord]) -> list[LiveSession]:
    """Make rows of records; asks the user model once, for all of them, or twice for who is no superuser."""
    records = list(records)
    user_ids = {record.user_id for record in records}
    people = Viewer(request, site).people_of(user_ids)
    # To a superuser it makes no difference.
    ordinary = user_ids if getattr(request.user, "is_superuser", False) else ordinary_of(user_ids)
    now_ms, own = clock_ms(), getattr(request.session, "sid", None)
    rows = []
    for record in records:
        user, is_for_superusers = people.get(record.user_id), record.user_id not in ordinary
        url = _url_of(user, request, site)
        device = device_name_of(record), is_bound(record)
        rows.append(_row(record, Shown(*device, user, url, record.sid == own, is_for_superusers, now_ms, {}, {})))
    return rows


def row_of(
    request: HttpRequest, site: AdminSite, record: SessionRecord, sizes: Mapping[str, int], revealed: Mapping[str, Any]
) -> LiveSession:
    """Make the row of one session, with what is in it."""
    (row,) = rows_of(request, site, [record])
    events = named(_events_of(record), Viewer(request, site))
    vars(row)["shown"] = shown(row)._replace(sizes=sizes, revealed=revealed, events=events)
    return row


def with_end_urls(rows: Iterable[LiveSession], request: HttpRequest, model_admin: Any) -> None:
    """Let each row that the viewer may end know where that is asked; the way back leads to the list as it is here."""
    kept = model_admin.get_preserved_filters(request)
    for row in rows:
        if model_admin.has_delete_permission(request, row):
            url = reverse(f"{model_admin.admin_site.name}:srvsession_livesession_delete", args=[row.sid])
            vars(row)["shown"] = shown(row)._replace(end_url=f"{url}?{kept}" if kept else url)


def _events_of(record: SessionRecord) -> Sequence[SessionEvent]:
    """Return what was written down last of the session's user, where the site keeps events."""
    if record.user_id is None or not conf.event_log:
        return ()
    return portion_of(services.recent_activity(record.user_id), count=MOST_EVENTS).events


def named(events: Iterable[SessionEvent], viewer: Viewer) -> list[SessionEvent]:
    """Return events that know the names of their people; asks the user model once, for all of them."""
    events = list(events)
    if not events:
        return []
    found = viewer.people_of({text for event in events for text in (event.user_id, event.by) if text})
    names = {user_id: user.get_username() for user_id, user in found.items()}
    for event in events:
        vars(event)["names"] = names
    return events


def _url_of(user: Any, request: HttpRequest, site: AdminSite) -> str:
    """Return the address of a user's page in this admin, where there is one and the viewer may see it."""
    model_admin = None if user is None else site._registry.get(type(user))
    if model_admin is None or not model_admin.has_view_or_change_permission(request, user):
        return ""
    try:
        view = f"{site.name}:{user._meta.app_label}_{user._meta.model_name}_change"
        return str(reverse(view, args=[quote(user.pk)]))
    except NoReverseMatch:
        return ""


def _row(record: SessionRecord, more: Shown) -> LiveSession:
    # Not the verifiers: what is not there, no template and no export can tell.
    row = LiveSession(
        sid=record.sid,
        user_id=record.user_id,
        ip=record.client.ip,
        user_agent=record.client.user_agent,
        version=record.version,
        **{name: getattr(record, name) for name in _KEPT},
    )
    vars(row)["shown"] = more
    return row


def shown(row: LiveSession) -> Shown:
    """Return what a row shows beside its columns."""
    more: Shown = vars(row)["shown"]
    return more


def is_online(row: LiveSession) -> bool:
    """Tell whether a session was used in the last five minutes, or as exactly as uses are recorded."""
    recorded_every_ms: int = conf.touch_interval_ms
    return shown(row).now_ms - row.last_seen_ms < max(ONLINE_MS, 2 * recorded_every_ms)


def name_of(row: LiveSession) -> str:
    """Return what to call a session's user: a name, an id where the name is not known or not shown, or "anonymous"."""
    if row.user_id is None:
        return gettext("anonymous")
    user = shown(row).user
    return escaped(row.user_id if user is None else user.get_username())
