"""Django's apps and ours, with the primary keys that django-mongodb-backend asks for."""

from __future__ import annotations

from django.contrib.auth.apps import AuthConfig
from django.contrib.contenttypes.apps import ContentTypesConfig

from django_srvsession.apps import SrvSessionConfig

FIELD = "django_mongodb_backend.fields.ObjectIdAutoField"


class Auth(AuthConfig):
    """Users."""

    default_auto_field = FIELD


class ContentTypes(ContentTypesConfig):
    """Content types."""

    default_auto_field = FIELD


class Sessions(SrvSessionConfig):
    """Sessions: events and clearing runs are models."""

    default_auto_field = FIELD
