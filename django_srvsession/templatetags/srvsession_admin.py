"""Template tags for the pages of Django's admin: ``{% load srvsession_admin %}``."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import template
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from django_srvsession import services
from django_srvsession.events import log as event_log
from django_srvsession.store import StoreUnavailableError

register = template.Library()

_TOLD = "srvsession_has_told_of_sessions"
_PERMISSION = "srvsession.view_livesession"


class UserSessions(NamedTuple):
    """Hold where the live sessions of a user are listed, and how many there are; None: the store did not tell.

    ``events_url`` is where the list of events is, where the site keeps some; else it is empty.
    """

    url: str
    number: int | None
    events_url: str


@register.simple_tag(takes_context=True)
def user_sessions(context: template.Context) -> UserSessions | None:
    """Return where the sessions of the user whose page this is are listed, and how many there are.

    None on the page of anything else, for who may not view live sessions, and where this admin does not list them; and
    the second time on one page, which both the site's template and ours may ask for. Asks the store once.
    """
    request, user = context.get("request"), context.get("original")
    if request is None or not isinstance(user, get_user_model()) or not _may_view(request.user):
        return None
    if _TOLD in vars(request):
        return None
    vars(request)[_TOLD] = True
    user_id = services.user_id_of(user)
    url = _url_of("livesession", user_id, request)
    if not url:
        return None
    events_url = "" if event_log.days_kept() is None else _url_of("sessionevent", user_id, request)
    return UserSessions(url, _count(user_id), events_url)


def _may_view(asker: Any) -> bool:
    return bool(asker.is_active and asker.has_perm(_PERMISSION))


def _url_of(model: str, user_id: str, request: HttpRequest) -> str:
    """Return the address of a list in this admin, of one user's; empty where it is not there."""
    try:
        path = reverse(f"admin:srvsession_{model}_changelist", current_app=getattr(request, "current_app", None))
    except NoReverseMatch:
        return ""
    return f"{path}?{urlencode({'user': user_id})}"


def _count(user_id: str) -> int | None:
    try:
        return len(services.sessions_of(user_id))
    except StoreUnavailableError:
        return None  # The page is about the user, and is worth more than a number.
