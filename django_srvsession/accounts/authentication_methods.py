"""How a person may prove who they are: by the password, on a page of the site's, or by a sign-in.

A way ends in ``proof.given(request)``, or in a new sign-in, which is a proof too.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, get_backends, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_srvsession import conf
from django_srvsession.accounts import destinations
from django_srvsession.accounts.account_changes import password_field_name
from django_srvsession.engine import SessionStore


class Way(ABC):
    """Describe one way; ``name`` is what the API calls it, ``advice`` what it tells people."""

    name: ClassVar[str]
    advice: ClassVar[str | Promise]

    @abstractmethod
    def is_open_to(self, request: HttpRequest) -> bool:
        """Tell whether the request's user, who is signed in, can go it."""

    @abstractmethod
    def address(self, next_url: str) -> str:
        """Return where it begins, and leads on to ``next_url``."""

    def page(self) -> str | None:
        """Return the page of the site that a client of the API shows; None where the API itself takes the proof."""
        return None


class Password(Way):
    """Ask for the password, through all authentication backends."""

    name = "password"
    advice = _("Confirm your password first.")

    def is_open_to(self, request: HttpRequest) -> bool:
        """Tell whether the user has a password: a hash of ours that is one, or at the backend that signed them in."""
        if not isinstance(request.session, SessionStore):
            return False  # It cannot count wrong ones. While the site moves it may be another engine's.
        return _has_hash(request.user) or _signed_in_by_foreign_password(request)

    def address(self, next_url: str) -> str:
        """Return our page that asks for it."""
        return f"{resolve_url('srvsession:confirm')}?{urlencode({'next': next_url})}"


class Elsewhere(Way):
    """Send people to ``SRVSESSION_REAUTH_URL``: the site's own page, or what leads to its identity provider."""

    name = "url"
    advice = _("Confirm first that it is you.")

    def is_open_to(self, request: HttpRequest) -> bool:
        """Tell whether there is such a page."""
        return conf.reauth_url is not None

    def address(self, next_url: str) -> str:
        """Return it, with where to go on to in ``next``."""
        return redirect_to_login(next_url, self.page()).url

    def page(self) -> str:
        """Return it, without a ``next``, which the client adds."""
        return resolve_url(conf.reauth_url)


class SignIn(Way):
    """Have people sign in again, where the session is another engine's: so it may be while the site moves."""

    name = "url"
    advice = _("Confirm first that it is you.")

    def is_open_to(self, request: HttpRequest) -> bool:
        """Tell whether the session is such a one."""
        return not isinstance(request.session, SessionStore)

    def address(self, next_url: str) -> str:
        """Return the page for it, with where to go on to in ``next``."""
        return destinations.to_sign_in(next_url).url

    def page(self) -> str:
        """Return it, without a ``next``, which the client adds."""
        return destinations.instead_of("LOGIN_URL") or resolve_url(settings.LOGIN_URL)


WAYS: Final[tuple[Way, ...]] = (Password(), Elsewhere(), SignIn())
"""All ways; the first that is open to a person is the one that is asked for."""


def way_of(request: HttpRequest) -> Way | None:
    """Return the way that the request's user is to go; None for a visitor, and where there is none."""
    if not request.user.is_authenticated:
        return None
    return next((way for way in WAYS if way.is_open_to(request)), None)


def _has_hash(user: Any) -> bool:
    """Tell whether there is a hash that a password may fit, and a backend to ask; an empty hash fits none."""
    has_usable = getattr(user, "has_usable_password", None)
    if not getattr(user, password_field_name(user), "") or has_usable is None or not has_usable():
        return False
    return any(_takes_password(backend) for backend in get_backends())


def _takes_password(backend: Any) -> bool:
    """Tell whether ``authenticate()`` would ask this backend; ``RemoteUserBackend`` wants no password."""
    try:
        inspect.signature(backend.authenticate).bind(None, username="", password="")
    except TypeError:
        return False
    return True


def _signed_in_by_foreign_password(request: HttpRequest) -> bool:
    """Tell whether the backend that signed the user in checks passwords that are kept elsewhere, as LDAP does."""
    path = request.session.get(BACKEND_SESSION_KEY)
    if path is None or path not in settings.AUTHENTICATION_BACKENDS:
        return False
    backend = load_backend(path)
    takes_password = "password" in inspect.signature(backend.authenticate).parameters
    return takes_password and not isinstance(backend, ModelBackend)
