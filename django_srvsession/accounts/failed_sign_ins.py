"""Whose account a wrong password was meant for: that person reads of it under recent activity.

An unknown name leaves no row, and of one account few are kept: visitors cannot fill the table. Both take as long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest

from django_srvsession.clients.address import client_of
from django_srvsession.engine import SessionStore
from django_srvsession.events import log as event_log
from django_srvsession.records import is_storable
from django_srvsession.users import user_id_of

MOST_A_DAY: Final = 10
"""How many failures of one account are kept of a day."""

CONFIRMATION: Final = "confirmation"
"""The reason of one where the person, who is signed in, was asked for the password again."""

log = logging.getLogger("django_srvsession")


def note(request: HttpRequest, credentials: Mapping[str, Any]) -> None:
    """Note that a password was wrong, where rows are kept and the name is a user's."""
    session = getattr(request, "session", None)
    if event_log.days_kept() is None or not isinstance(session, SessionStore):
        return
    try:
        user = _user_of(credentials)
        user_id = None if user is None else user_id_of(user)
        is_own = user_id is not None and session.user_id == user_id
        reason, sid = (CONFIRMATION, session.sid or "") if is_own else ("", "")
        event_log.note_failure(user_id, reason, client_of(request), sid=sid, most=MOST_A_DAY)
    except Exception:
        # Managers of users are the site's, with errors of their own; and the answer is "wrong", whatever happens here.
        log.exception("A wrong password was not noted.")


def _user_of(credentials: Mapping[str, Any]) -> Any:
    """Return the user whose name was given, or None; as Django's own backend looks for it."""
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD, credentials.get("username"))
    if not isinstance(name, str) or not is_storable(name):
        return None
    try:
        return model._default_manager.get_by_natural_key(name)
    except ObjectDoesNotExist:
        return None
