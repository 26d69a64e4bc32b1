"""Live sessions in Django's admin, on whatever store: see them, end them; and ``EndSessionsMixin`` for a ``UserAdmin``.

The list and the detail are made of records (``services``), never of rows: no parameter of a request reaches a lookup of
the ORM, and no object that a template sees holds a verifier or a value. An outage of the store passes through, and the
middleware answers 503.
"""

from __future__ import annotations

from django.contrib import admin

from django_srvsession.admin.sessions import LiveSessionAdmin
from django_srvsession.admin.users import EndSessionsMixin
from django_srvsession.models import LiveSession

__all__ = ["EndSessionsMixin", "LiveSessionAdmin"]

admin.site.register(LiveSession, LiveSessionAdmin)
