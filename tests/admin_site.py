"""A site with an admin of live sessions and of users, and an action of the whole site that exports what it is given."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.core import serializers
from django.http import HttpResponse
from django.urls import path

from django_srvsession.admin import EndSessionsMixin, LiveSessionAdmin
from django_srvsession.models import LiveSession


class SiteUserAdmin(EndSessionsMixin, UserAdmin):
    """The project's own."""


def export(model_admin: Any, request: Any, queryset: Any) -> HttpResponse:
    """Export rows, as many projects do for all their models."""
    return HttpResponse(serializers.serialize("json", queryset))


site = admin.AdminSite()
site.add_action(export)
site.register(LiveSession, LiveSessionAdmin)
site.register(get_user_model(), SiteUserAdmin)

urlpatterns = [path("admin/", site.urls)]
