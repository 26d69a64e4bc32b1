"""What to tell people whose session was ended elsewhere: a sentence for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession.records import MOVED, Ended

SILENT: Final = ("logout", "replaced", MOVED)
"""Reasons that are no news: the person did it in this very browser."""

_TEXTS: Final[Mapping[str, object]] = {
    "expired_idle": _("You were signed out because you were inactive."),
    "expired_lifetime": _("You were signed out because you signed in a long time ago."),
    "limit": _("You were signed out because you signed in on another device, and only so many are allowed."),
    "password_changed": _("You were signed out because your password was changed."),
    "email_changed": _("You were signed out because your e-mail address was changed."),
    "confirmation_failed": _("You were signed out because a wrong password was entered too often."),
    "disowned": _("You were signed out from another device."),
    "unbound": _(
        "You are not signed in: this browser could not prove that it is the device that you signed in on. Chrome and "
        "Edge can on Windows, from version 145 on."
    ),
    "provider_logout": _("You were signed out by the service that you sign in with."),
    "user_deactivated": _("You were signed out because your account was deactivated."),
    "user_deleted": _("You were signed out because your account was deleted."),
}


def text_of(ended: Ended) -> str:
    """Return the sentence for why a session was ended, in the current language; empty where none is due.

    A reason that is not known here (a site's own, ``evicted``, ``cleared``) is just an end.
    """
    if ended.reason in SILENT:
        return ""
    if ended.reason == "revoked" and ended.by_owner is not None:
        own = gettext("You were signed out from another device.")
        return own if ended.by_owner else gettext("You were signed out by an administrator.")
    return str(_TEXTS[ended.reason]) if ended.reason in _TEXTS else gettext("You were signed out.")
