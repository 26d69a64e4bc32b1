"""What a session's device is called: as the person, the site or the app says, or by its user agent."""

from __future__ import annotations

import logging
from typing import Final

from django.utils.translation import gettext, override

from django_srvsession import conf
from django_srvsession.clients.devices import device_name
from django_srvsession.engine.details import details_of
from django_srvsession.escaping import escaped
from django_srvsession.records import SessionRecord

MOST_LETTERS: Final = 60
"""How long a name may be that a site, an app or a person gives to a device."""

log = logging.getLogger("django_srvsession")


def device_name_of(record: SessionRecord) -> str:
    """Return what a person would call a session's device.

    That is what ``SRVSESSION_DEVICE_NAME`` says, or the app that signed in, or the user agent. A name that the person
    gave stands before it, and never alone: whoever knows the password may call their device as they like. Never raises:
    a function of the site's that does is logged.
    """
    details = details_of(record)
    device = _site_s_name(record) or _one_line(details.app) or device_name(record.client.user_agent)
    name = _one_line(details.name)
    return gettext("%(name)s (%(device)s)") % {"name": name, "device": device} if name else device


def english_device_name_of(record: SessionRecord) -> str:
    """Return what :func:`device_name_of` does, in English."""
    with override("en"):
        return device_name_of(record)


def is_name(text: str) -> bool:
    """Tell whether a person or an app may call a device so: not too long, and nothing in it acts on what is read."""
    return len(text) <= MOST_LETTERS and text.isprintable() and text == text.strip()


def _site_s_name(record: SessionRecord) -> str:
    try:
        choose = conf.device_name
        name = None if choose is None else choose(record)
        return "" if name is None else _one_line(name)
    except Exception:
        # The function is the site's, with errors of its own. A page is worth more than a name.
        log.exception("SRVSESSION_DEVICE_NAME did not name the device of session %s.", record.sid)
        return ""


def _one_line(name: object) -> str:
    """Return a name that somebody chose as it is shown: one line, in which nothing acts."""
    return escaped(" ".join(str(name).split()))[:MOST_LETTERS].rstrip() if name else ""
