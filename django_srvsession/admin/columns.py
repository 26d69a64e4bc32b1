"""The columns of the list and the fields of the detail."""

from __future__ import annotations

import json
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession.admin import cells
from django_srvsession.admin.rows import is_online, name_of, shown
from django_srvsession.escaping import escaped
from django_srvsession.models import LiveSession

_MOST_SHOWN: Final = 2000
"""How many characters of a value are shown."""


class Columns:
    """Show a session; mixed into a ``ModelAdmin``."""

    admin_site: admin.AdminSite

    @admin.display(description=_("user"))
    def user(self, row: LiveSession) -> str:
        """Show who is signed in, as a link where the viewer may see the user in this admin."""
        name, url = name_of(row), shown(row).user_url
        if row.user_id is None:
            return format_html('<span class="srvsession-anonymous">{}</span>', name)
        return format_html('<a href="{}">{}</a>', url, name) if url else name

    @admin.display(description=_("device"))
    def device(self, row: LiveSession) -> str:
        """Show browser and system, whether it is the viewer's own, and bound; the user agent on hover."""
        cell = cells.device(shown(row).device, row.user_agent)
        if shown(row).is_own:
            cell = format_html('{} <span class="srvsession-own">({})</span>', cell, gettext("this device"))
        if shown(row).is_bound:
            cell = format_html('{} <span class="srvsession-bound">{}</span>', cell, gettext("bound to this device"))
        return cell

    @admin.display(description=_("IP address"))
    def location(self, row: LiveSession) -> str:
        """Show the address, and its place where that is known."""
        return cells.labelled(_("IP address"), cells.location(row.ip))

    @admin.display(description=_("last active"))
    def last_active(self, row: LiveSession) -> str:
        """Show how long ago the session was used; and a mark for who was here just now."""
        cell = cells.ago(row.last_seen_ms)
        if is_online(row):
            cell = format_html('{} <span class="srvsession-online">{}</span>', cell, gettext("online"))
        return cells.labelled(_("Last active"), cell)

    @admin.display(description=_("started"))
    def started(self, row: LiveSession) -> str:
        """Show how long ago the session was created."""
        return cells.labelled(_("Started"), cells.ago(row.created_ms))

    @admin.display(description=_("expires"))
    def expires(self, row: LiveSession) -> str:
        """Show in how long the session ends by itself if it is not used again."""
        return cells.labelled(_("Expires"), cells.until(row.expires_ms))

    @admin.display(description=_("session"))
    def session(self, row: LiveSession) -> str:
        """Show the beginning of the public name, which is the link to the detail."""
        return cells.short(row.sid)

    @admin.display(description=_("sign out"))
    def sign_out(self, row: LiveSession) -> str:
        """Show the link to the question whether to end the session; nothing for who may not end it."""
        url = shown(row).end_url
        if not url:
            return ""
        whose = gettext("Sign out %(device)s") % {"device": f"{shown(row).device}, {name_of(row)}"}
        link = '<a class="srvsession-end" href="{}" aria-label="{}">{}</a>'
        return format_html(link, url, whose, gettext("Sign out"))

    # On the detail, in full.

    @admin.display(description=_("session"))
    def full_sid(self, row: LiveSession) -> str:
        """Show the public name."""
        return format_html("<code>{}</code>", row.sid)

    @admin.display(description=_("IP address"))
    def location_in_full(self, row: LiveSession) -> str:
        """Show the address, and its place where that is known."""
        return cells.location(row.ip)

    @admin.display(description=_("user agent"), empty_value="-")
    def agent(self, row: LiveSession) -> str:
        """Show the whole user agent."""
        return escaped(row.user_agent)

    @admin.display(description=_("started"))
    def started_at(self, row: LiveSession) -> str:
        """Show when the session was created."""
        return cells.exactly(row.created_ms)

    @admin.display(description=_("signed in"))
    def signed_in_at(self, row: LiveSession) -> str:
        """Show when the user signed in."""
        return cells.exactly(row.signed_in_ms)

    @admin.display(description=_("last active"))
    def last_active_at(self, row: LiveSession) -> str:
        """Show when the session was used."""
        return cells.exactly(row.last_seen_ms)

    @admin.display(description=_("expires"))
    def expires_at(self, row: LiveSession) -> str:
        """Show when the session ends by itself if it is not used again."""
        return cells.exactly(row.expires_ms)

    @admin.display(description=_("ends at the latest"))
    def deadline(self, row: LiveSession) -> str:
        """Show the moment that no activity moves."""
        return cells.exactly(row.deadline_ms)

    @admin.display(description=_("key changed"))
    def key_changed_at(self, row: LiveSession) -> str:
        """Show when the key was changed last."""
        return cells.exactly(row.rotated_ms)

    @admin.display(description=_("contents"))
    def contents(self, row: LiveSession) -> str:
        """Show names and sizes of what is in the session, and only those values that the site allows to show."""
        more = shown(row)
        if not more.sizes:
            return gettext("Nothing is kept in this session.")
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
