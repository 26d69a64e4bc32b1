"""URLs of the pages: include them at, say, ``account/``, and set ``LOGIN_URL = "srvsession:login"``.

The first of them answers at ``account/`` itself: to include them at the site's root would make it the site's home.
"""

from __future__ import annotations

from typing import Final

from django.urls import path, re_path

from django_srvsession import views

app_name = "srvsession"

# A sid, exactly: 18 lower-case hexadecimal digits. Anything else is no page (and `$` would let a line break pass).
END: Final = r"^sessions/(?P<sid>[0-9a-f]{18})/end/\Z"

# What `django.core.signing` writes: parts in base64url, with colons between them.
DISOWN: Final = r"^not-me/(?P<token>[A-Za-z0-9_:-]{1,4000})/\Z"

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("logged-out/", views.LoggedOutView.as_view(), name="logged_out"),
    path("confirm/", views.ConfirmView.as_view(), name="confirm"),
    path("sessions/", views.SessionsView.as_view(), name="sessions"),
    path("sessions/digest/", views.DigestView.as_view(), name="digest"),
    path("sessions/name/", views.NameView.as_view(), name="name"),
    path("activity/", views.ActivityView.as_view(), name="activity"),
    path("sessions/end-others/", views.EndOthersView.as_view(), name="end_others"),
    re_path(DISOWN, views.DisownView.as_view(), name="disown"),
    re_path(END, views.EndView.as_view(), name="end"),
]
