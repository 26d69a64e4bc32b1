"""Where people sign in, and where they go from there: Django's defaults are pages that a new project has not got."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from django_srvsession.accounts import destinations


def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """Report a default of Django's that leads nowhere, where our pages are included and stand in for it."""
    if not hasattr(settings, "ROOT_URLCONF"):
        return []  # No pages: workers, commands.
    return [
        Warning(
            f"{name} is {getattr(settings, name)!r}, Django's default, and no URL pattern answers there. "
            f"Pages of django-srvsession lead to {path} instead; all other code leads to a 404.",
            hint=f'Set {name} = "{destinations.OURS[name]}", or to a page of yours.',
            id="srvsession.W019",
        )
        for name in destinations.OURS
        if (path := destinations.instead_of(name))
    ]
