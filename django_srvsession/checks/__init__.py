"""System checks: what ``manage.py check`` and ``check --deploy`` say about a site's sessions.

Ids are stable; ``docs/reference/checks.rst`` lists them. What only one store can know, its ``Store.check`` says
(``srvsession.E1xx`` and ``W1xx``).
"""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage

from django_srvsession.checks.binding import check_binding
from django_srvsession.checks.cookies import check_cookie, check_cookie_for_deployment
from django_srvsession.checks.engine import check_engine, check_engine_for_deployment, check_user_ids
from django_srvsession.checks.header import check_header, check_header_for_deployment
from django_srvsession.checks.live import check_live_notify_for_deployment
from django_srvsession.checks.mails import check_mails_for_deployment
from django_srvsession.checks.middleware import check_middleware
from django_srvsession.checks.migrating import check_migrating
from django_srvsession.checks.oidc import check_oidc
from django_srvsession.checks.settings import (
    check_settings,
    check_settings_for_deployment,
    check_settings_together,
)
from django_srvsession.checks.stock import check_stock_settings
from django_srvsession.checks.urls import check_order_of_urls, check_urls

_CHECKS = (
    *(check_settings, check_settings_together, check_stock_settings, check_engine, check_user_ids, check_middleware),
    *(check_cookie, check_header, check_urls, check_order_of_urls, check_migrating, check_binding, check_oidc),
)
_DEPLOYMENT_CHECKS = (
    *(check_engine_for_deployment, check_settings_for_deployment, check_cookie_for_deployment),
    *(check_header_for_deployment, check_mails_for_deployment, check_live_notify_for_deployment),
)


def check_site(**kwargs: Any) -> list[CheckMessage]:
    """Report what is wrong with the site's settings."""
    return [message for check in _CHECKS for message in check(**kwargs)]


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report what a site in production should change."""
    return [message for check in _DEPLOYMENT_CHECKS for message in check(**kwargs)]
