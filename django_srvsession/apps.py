"""The app as Django knows it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.utils.translation import gettext_lazy as _


class SrvSessionConfig(AppConfig):
    """Name the app: tables are ``srvsession_*``, templates and static files stand under ``srvsession/``."""

    name = "django_srvsession"
    label = "srvsession"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Connect, too, what must hear of a sign-in before the receivers that other apps connect in ``ready()``."""
        from django_srvsession import receivers

        super().import_models()
        receivers.connect_first()

    def ready(self) -> None:
        """Connect the receivers of Django's own signals, and register the system checks."""
        from django_srvsession import receivers
        from django_srvsession.events import log as event_log

        receivers.connect()
        event_log.connect()
        register(_check_site, Tags.compatibility)
        register(_check_deployment, Tags.security, deploy=True)


# A server that starts runs no checks, and need not import them.
def _check_site(**kwargs: Any) -> list[CheckMessage]:
    from django_srvsession import checks

    return checks.check_site(**kwargs)


def _check_deployment(**kwargs: Any) -> list[CheckMessage]:
    from django_srvsession import checks

    return checks.check_deployment(**kwargs)
