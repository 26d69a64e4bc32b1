"""What events are called for people, in the current language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession.escaping import escaped
from django_srvsession.models import SessionEvent

REASONS: Final[Mapping[str, Any]] = {
    "logout": _("Signed out"),
    "replaced": _("Signed out because somebody signed in anew in the same browser"),
    "revoked": _("Signed out remotely"),
    "expired_idle": _("Signed out because it was not used"),
    "expired_lifetime": _("Signed out because its time was up"),
    "limit": _("Signed out because only so many devices are allowed"),
    "password_changed": _("Signed out because the password was changed"),
    "email_changed": _("Signed out because the e-mail address was changed"),
    "confirmation_failed": _("Signed out because a wrong password was entered too often"),
    "disowned": _("Signed out: reported as not you"),
    "unbound": _("Signed out because it was not used with its device's key"),
    "provider_logout": _("Signed out by the identity provider"),
    "user_deactivated": _("Signed out because the account was deactivated"),
    "user_deleted": _("Signed out because the account was deleted"),
    "evicted": _("Signed out because the server ran out of room"),
    "cleared": _("Signed out by the site"),
}
"""What an end for each reason of ours is called."""

_FAILURES: Final[Mapping[str, Any]] = {"confirmation": _("Wrong password when asked for it again")}
_CHANGES: Final[Mapping[str, Any]] = {
    "password_changed": _("Password changed"),
    "email_changed": _("E-mail address changed"),
}

CHOICES: Final[Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    "": (_("All"), ()),
    "sign-ins": (_("Sign-ins"), (SessionEvent.STARTED,)),
    "failed": (_("Failed sign-ins"), (SessionEvent.FAILED,)),
    "refused": (_("Refused uses"), (SessionEvent.UNBOUND_USE,)),
    "sign-outs": (_("Sign-outs"), (SessionEvent.ENDED,)),
    "changes": (_("Password and e-mail"), (SessionEvent.CHANGED,)),
}
"""What people may choose to be shown: its name, and the kinds of events; none: all of them."""


def text_of(kind: str, reason: str) -> str:
    """Return what happened, in the current language.

    A site's own reason is shown as it stands, or as the site's catalogue translates it.
    """
    if kind == SessionEvent.STARTED:
        return gettext("Signed in")
    if kind == SessionEvent.FAILED:
        return str(_FAILURES[reason]) if reason in _FAILURES else gettext("Failed sign-in")
    if kind == SessionEvent.UNBOUND_USE:
        return gettext("A copy of this device's session was used elsewhere, and refused")
    if kind == SessionEvent.CHANGED:
        return str(_CHANGES[reason]) if reason in _CHANGES else gettext("Account changed")
    if reason in REASONS:
        return str(REASONS[reason])
    return gettext("Signed out: %(reason)s") % {"reason": gettext(escaped(reason))} if reason else gettext("Signed out")
