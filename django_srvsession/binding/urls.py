"""Where browsers register and renew: include them at, say, ``device/``, beside the pages or without them."""

from __future__ import annotations

from django.urls import path

from django_srvsession.binding import views

app_name = "srvsession_binding"

urlpatterns = [
    path("register/", views.register, name="register"),
    path("refresh/", views.refresh, name="refresh"),
]
