"""The columns of the list and the fields of the detail; all text of users is escaped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.utils import timezone
from django.utils.formats import date_format, localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession.admin.rows import is_online, name_of, shown
from django_srvsession.escaping import escaped
from django_srvsession.models import LiveSession
from django_srvsession.records import as_datetime

_MOST_SHOWN: Final = 2000
"""How many characters of a value are shown."""


class Columns:
    """Show a session; mixed into a ``ModelAdmin``."""

    admin_site: admin.AdminSite

    @admin.display(description=_("session"))
    def session(self, row: LiveSession) -> str:
        """Show the public name, which is the link to the detail, and whether it is the viewer's own."""
        if not shown(row).is_own:
            return format_html("<code>{}</code>", row.sid)
        return format_html('<code>{}</code> <span class="srvsession-own">{}</span>', row.sid, gettext("this session"))

    @admin.display(description=_("user"))
    def user(self, row: LiveSession) -> str:
        """Show who is signed in, as a link where the viewer may see the user in this admin."""
        name, url = name_of(row), shown(row).user_url
        if row.user_id is None:
            return format_html('<span class="srvsession-anonymous">{}</span>', name)
        return format_html('<a href="{}">{}</a>', url, name) if url else name

    @admin.display(description=_("device"))
    def device(self, row: LiveSession) -> str:
        """Show browser and system; the user agent on hover."""
        return format_html('<span title="{}">{}</span>', escaped(row.user_agent), shown(row).device)

    @admin.display(description=_("address"), empty_value="-")
    def address(self, row: LiveSession) -> str:
        """Show the address."""
        return escaped(row.ip)

    @admin.display(description=_("user agent"), empty_value="-")
    def agent(self, row: LiveSession) -> str:
        """Show the whole user agent."""
        return escaped(row.user_agent)

    @admin.display(description=_("last active"))
    def last_active(self, row: LiveSession) -> str:
        """Show how long ago the session was used, the moment on hover; and a mark for who was here just now."""
        ago = _ago(row.last_seen_ms)
        if not is_online(row):
            return ago
        return format_html('{} <span class="srvsession-online">{}</span>', ago, gettext("online"))

    @admin.display(description=_("started"))
    def started(self, row: LiveSession) -> str:
        """Show how long ago the session was created; the moment on hover."""
        return _ago(row.created_ms)

    @admin.display(description=_("expires"))
    def expires(self, row: LiveSession) -> str:
        """Show in how long the session ends by itself if it is not used again; the moment on hover."""
        moment = as_datetime(row.expires_ms)
        return _time(moment, gettext("in %(time)s") % {"time": timeuntil(moment, depth=1)})

    # On the detail, to the second.

    @admin.display(description=_("started"))
    def started_at(self, row: LiveSession) -> str:
        """Show when the session was created."""
        return _moment(row.created_ms)

    @admin.display(description=_("signed in"))
    def signed_in_at(self, row: LiveSession) -> str:
        """Show when the user signed in."""
        return _moment(row.signed_in_ms)

    @admin.display(description=_("last active"))
    def last_active_at(self, row: LiveSession) -> str:
        """Show when the session was used."""
        return _moment(row.last_seen_ms)

    @admin.display(description=_("expires"))
    def expires_at(self, row: LiveSession) -> str:
        """Show when the session ends by itself if it is not used again."""
        return _moment(row.expires_ms)

    @admin.display(description=_("ends at the latest"))
    def deadline(self, row: LiveSession) -> str:
        """Show the moment that no activity moves."""
        return _moment(row.deadline_ms)

    @admin.display(description=_("key changed"))
    def key_changed_at(self, row: LiveSession) -> str:
        """Show when the key was changed last."""
        return _moment(row.rotated_ms)

    @admin.display(description=_("contents"), empty_value="-")
    def contents(self, row: LiveSession) -> str:
        """Show names and sizes of what is in the session, and only those values that the site allows to show."""
        more = shown(row)
        if not more.sizes:
            return ""
        lines = format_html_join(
            "",
            "<tr><th scope=row><code>{}</code></th><td>{}</td><td>{}</td></tr>",
            ((escaped(name), _bytes(size), _value(more.revealed, name)) for name, size in sorted(more.sizes.items())),
        )
        head = format_html("<tr><th>{}</th><th>{}</th><th>{}</th></tr>", _("Name"), _("Stored size"), _("Value"))
        return format_html('<table class="srvsession-contents"><thead>{}</thead><tbody>{}</tbody></table>', head, lines)

    @admin.display(description=_("kept in"))
    def store(self, row: LiveSession) -> str:
        """Show the engine's name."""
        return str(settings.SESSION_ENGINE)


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if settings.USE_TZ else timezone.make_naive(moment)


def _time(moment: datetime, text: str) -> SafeString:
    exact = date_format(_local(moment), "DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(timespec="seconds"), exact, text)


def _ago(moment_ms: int) -> SafeString:
    moment, now = as_datetime(moment_ms), datetime.now(UTC)
    if (now - moment).total_seconds() < 60:
        return _time(moment, gettext("just now"))  # Also when another machine's clock is ahead of ours.
    return _time(moment, gettext("%(time)s ago") % {"time": timesince(moment, now, depth=1)})


def _moment(moment_ms: int | None) -> str:
    if moment_ms is None:
        return "-"
    moment = as_datetime(moment_ms)
    return _time(moment, date_format(_local(moment), "DATETIME_FORMAT"))


def _bytes(size: int) -> str:
    return gettext("%(size)s bytes") % {"size": localize(size)}


def _value(revealed: Any, name: str) -> str:
    if name not in revealed:
        return format_html('<span class="srvsession-hidden">{}</span>', _("not shown"))
    try:
        text = json.dumps(revealed[name], ensure_ascii=False, default=repr)
    except (TypeError, ValueError):  # Keys that are no strings, circles: what only a pickle may hold.
        text = repr(revealed[name])
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} …"
    return format_html("<code>{}</code>", escaped(text))
