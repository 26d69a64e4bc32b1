"""Whose sessions are bound: what ``SRVSESSION_BIND`` says of a user."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf

OFFER: Final = "offer"
REQUIRE: Final = "require"


def policy_of(user: Any) -> str | None:
    """Return "offer", "require" or None for a user.

    Raises ``ImproperlyConfigured`` when the site's function returns anything else.
    """
    policy = conf.bind
    if callable(policy):
        policy = policy(user)
    if policy is None or policy in (OFFER, REQUIRE):
        return policy
    raise ImproperlyConfigured(f'The function of SRVSESSION_BIND returned {policy!r}, not "offer", "require" or None.')
