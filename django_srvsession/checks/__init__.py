"""System checks: what ``manage.py check`` and ``check --deploy`` say about a site's sessions.

Ids are stable; ``docs/settings.rst`` lists them. What only one store can know, its ``Store.check`` says
(``srvsession.E1xx`` and ``W1xx``).
"""

from __future__ import annotations

from django.core.checks import Tags, register

from django_srvsession.checks.cookies import check_cookie, check_cookie_for_deployment
from django_srvsession.checks.engine import check_engine, check_engine_for_deployment
from django_srvsession.checks.middleware import check_middleware
from django_srvsession.checks.settings import check_settings, check_settings_together


def connect() -> None:
    """Register all checks."""
    for check in (check_settings, check_settings_together, check_engine, check_middleware, check_cookie):
        register(check, Tags.compatibility)
    for check in (check_engine_for_deployment, check_cookie_for_deployment):
        register(check, Tags.security, deploy=True)
