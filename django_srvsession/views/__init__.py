"""The pages: sign in, sign out, confirm it is you, a person's own sessions and recent activity, "This was not me".

All of them say ``Cache-Control: no-store``. What changes something is POST with a CSRF token. An outage of the store
passes through, and the middleware answers 503. A site changes the looks by overriding ``srvsession/base.html``, and
the behaviour by subclassing.
"""

from __future__ import annotations

from django_srvsession.views.activity import ActivityView
from django_srvsession.views.confirming import ConfirmView
from django_srvsession.views.disowning import DisownView
from django_srvsession.views.ending import EndOthersView, EndView
from django_srvsession.views.naming import NameView
from django_srvsession.views.own_sessions import DigestView, IndexView, OwnSessionsView, SessionsView
from django_srvsession.views.signing import LoggedOutView, LoginView, LogoutView

__all__ = [
    "ActivityView",
    "ConfirmView",
    "DigestView",
    "DisownView",
    "EndOthersView",
    "EndView",
    "IndexView",
    "LoggedOutView",
    "LoginView",
    "LogoutView",
    "NameView",
    "OwnSessionsView",
    "SessionsView",
]
