"""URLs of the JSON API: include them at, say, ``api/``."""

from __future__ import annotations

from django.urls import path, re_path

from django_srvsession.api import activity, addresses, own_sessions, signing

app_name = "srvsession_api"

urlpatterns = [
    path("whoami/", signing.WhoAmIEndpoint.as_view(), name="whoami"),
    path("login/", signing.LoginEndpoint.as_view(), name="login"),
    path("logout/", signing.LogoutEndpoint.as_view(), name="logout"),
    path("confirm-password/", signing.ConfirmPasswordEndpoint.as_view(), name="confirm_password"),
    path("activity/", activity.ActivityEndpoint.as_view(), name="activity"),
    path("sessions/", own_sessions.SessionsEndpoint.as_view(), name="sessions"),
    path("sessions/end-others/", own_sessions.EndOthersEndpoint.as_view(), name="end_others"),
    path("openapi.json", addresses.DescriptionEndpoint.as_view(), name="openapi"),
    # Whatever stands for a sid: what is none has the same answer as one that is somebody else's.
    re_path(r"^sessions/(?P<sid>[\s\S]*)/\Z", own_sessions.SessionEndpoint.as_view(), name="session"),
    # Last: what a site includes below this address after us is never reached (srvsession.W022).
    re_path(r"^[\s\S]*\Z", addresses.UnknownEndpoint.as_view()),
]
