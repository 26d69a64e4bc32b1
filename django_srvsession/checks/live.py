"""``SRVSESSION_LIVE_NOTIFY``: whether there is a PostgreSQL that can tell."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_srvsession import conf
from django_srvsession.engine import current_store


def check_live_notify_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report a site that asks PostgreSQL to tell of ends, and keeps its sessions elsewhere; a developer's may."""
    try:
        if not conf.live_notify:
            return []
        store: Any = current_store()
    except (ImproperlyConfigured, ImportError, AttributeError, RuntimeError):
        return []  # Reported as srvsession.E001 and E002.
    from django_srvsession.backends.db import DatabaseStore  # It has a model: only while the apps are ready.

    store = getattr(store, "database", store)  # Of the engine cached_db.
    text = "SRVSESSION_LIVE_NOTIFY is for sessions in PostgreSQL."
    if not isinstance(store, DatabaseStore):
        text = f"{text} The store of these sessions tells by itself, or has nobody to tell."
    elif (vendor := connections[store.using].vendor) != "postgresql":
        text = f"{text} Their database is {vendor}: live connections are closed by the question of every 5 seconds."
    else:
        return []
    return [Warning(text, hint="Remove the setting.", id="srvsession.W028")]
