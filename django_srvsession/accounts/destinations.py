"""Where people go to sign in, and where from there: as the site's settings say, or to our pages.

Django's own defaults, ``/accounts/login/`` and ``/accounts/profile/``, are pages that a new project has not got.
"""

from __future__ import annotations

from typing import Final

from django.conf import global_settings, settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import get_language

OURS: Final = {"LOGIN_URL": "srvsession:login", "LOGIN_REDIRECT_URL": "srvsession:sessions"}
"""Our pages, by the setting in whose place they stand."""


def to_sign_in(next_url: str) -> HttpResponseRedirect:
    """Return the way to the page where people sign in, and from there on to ``next_url``."""
    return redirect_to_login(next_url, instead_of("LOGIN_URL"))


def after_sign_in() -> str:
    """Return where who signs in goes without a ``next``."""
    return instead_of("LOGIN_REDIRECT_URL") or resolve_url(settings.LOGIN_REDIRECT_URL)


def instead_of(name: str) -> str | None:
    """Return the path of our page that stands in for a setting; None where the setting leads somewhere.

    It leads nowhere when it is Django's default and no URL pattern of the site answers there. What a site has set
    itself counts as it stands: a proxy may answer there.
    """
    default = getattr(global_settings, name)
    if getattr(settings, name) != default or _is_answered(default):
        return None
    try:
        return reverse(OURS[name])
    except NoReverseMatch:
        return None


def _is_answered(path: str) -> bool:
    below_prefix = path.removeprefix(get_script_prefix().rstrip("/")) or path
    # `LocaleMiddleware` leads from a page that is not there to the same one below the language.
    return any(map(_resolves, {path, below_prefix, f"/{get_language()}{path}"}))


def _resolves(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
