"""Proofs in a session of another engine, as a request may have one while the site moves.

Such a session has no record that could hold when its user proved who they are. So it holds a text that we sign, with
the user and the time: of a sign-in, or of what a page of the site has checked. Without one no proof is known, and none
is recent. A session that is carried over leaves the text behind.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.core import signing

from django_srvsession import users
from django_srvsession.engine.values import MARK_PREFIX
from django_srvsession.users import user_id_of

PROOF: Final = f"{MARK_PREFIX}proof"
"""The name under which the session holds it."""


def note(session: Any, user: Any) -> None:
    """Note that this user has just proved who they are."""
    session[PROOF] = signing.dumps(user_id_of(user), salt=PROOF)


def give(session: Any, user: Any) -> None:
    """Note it, and change the session's key; nothing where the session is not this user's."""
    if users.named_in(session) == user_id_of(user):
        note(session, user)
        session.cycle_key()


def note_sign_in(session: Any, user: Any) -> None:
    """Note a sign-in; a mere switch from one user to another is no proof."""
    if getattr(session, "came_as", None) in (None, session.get(SESSION_KEY)):
        note(session, user)


def is_recent(session: Any, user: Any, age_ms: int) -> bool:
    """Tell whether the session holds a proof of this user's that is no older than that, in milliseconds."""
    if users.named_in(session) != user_id_of(user):
        return False
    try:
        proved = signing.loads(session.get(PROOF, ""), salt=PROOF, max_age=timedelta(milliseconds=age_ms))
    except signing.BadSignature:
        return False
    return bool(proved == user_id_of(user))
