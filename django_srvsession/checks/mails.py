"""Mails about new devices: what is missing for their links."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf


def check_mails_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report mails without a link, because nothing has checked the host that the link would name."""
    try:
        is_wanted, url = conf.notify_new_device, conf.site_url
    except ImproperlyConfigured:
        return []  # Reported as srvsession.E002.
    if not is_wanted or url is not None or apps.is_installed("django.contrib.sites"):
        return []
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    text = "ALLOWED_HOSTS allows any host, so mails about new devices name no site and have no link."
    return [Warning(text, hint='Set SRVSESSION_SITE_URL = "https://...".', id="srvsession.W011")]
