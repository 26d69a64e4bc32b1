"""The demo's admin: Django's for users, with "Sign out selected users" and a link to a user's sessions."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin

from django_srvsession.admin import EndSessionsMixin

admin.site.unregister(get_user_model())


@admin.register(get_user_model())
class DemoUserAdmin(EndSessionsMixin, UserAdmin):
    """Everything else is as it was."""
