"""The pages: sign in, sign out, and a person's own sessions.

All of them say ``Cache-Control: no-store``. What changes something is POST with a CSRF token. An outage of the store
passes through, and the middleware answers 503. A site changes the looks by overriding ``srvsession/base.html``, and
the behaviour by subclassing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import TemplateView, View

from django_srvsession import services
from django_srvsession.devices import device_name
from django_srvsession.records import SessionRecord

SESSIONS_PER_PAGE: Final = 50


class LoginView(auth_views.LoginView):
    """Sign in, by Django's own form and its rules for ``next``; the session's key always changes."""

    template_name = "srvsession/login.html"

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, with a new key also for a user who is signed in already (Django's ``login()`` keeps it then)."""
        session = self.request.session
        was_signed_in, key_before = SESSION_KEY in session, session.session_key
        response = super().form_valid(form)
        if was_signed_in and session.session_key == key_before:
            session.cycle_key()
        return response


class LogoutView(auth_views.LogoutView):
    """Sign out: the session is ended on the server before the answer, or the answer is 503."""

    http_method_names = ["post"]

    def get_default_redirect_url(self) -> str:
        """Return where to go without a safe ``next``: ``LOGOUT_REDIRECT_URL``, or our own page."""
        return resolve_url(self.next_page or settings.LOGOUT_REDIRECT_URL or "srvsession:logged_out")


@method_decorator([login_not_required, never_cache], name="dispatch")
class LoggedOutView(TemplateView):
    """Say that the session was ended."""

    template_name = "srvsession/logged_out.html"


@method_decorator([login_not_required, never_cache, csrf_protect], name="dispatch")
class OwnSessionsView(View):
    """Work on the sessions of the person who asks, and on nobody else's.

    An anonymous visitor signs in first, and goes on to the list whatever was asked for: the other pages take POST
    alone.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let signed-in users pass."""
        if not request.user.is_authenticated:
            return auth_views.redirect_to_login(resolve_url("srvsession:sessions"))
        return super().dispatch(request, *args, **kwargs)

    def own_sessions(self) -> Sequence[SessionRecord]:
        """Return the live sessions of the person who asks, newest activity first."""
        return services.sessions_of(self.request.user)

    def current_sid(self) -> str | None:
        """Return the sid of the session that the request came with; None where the user needs no session."""
        return getattr(self.request.session, "sid", None)


class SessionsView(OwnSessionsView, TemplateView):
    """List the sessions of the person who asks."""

    http_method_names = ["get", "head"]
    template_name = "srvsession/sessions.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return one page of records, and which of them is this very session."""
        page = Paginator(self.own_sessions(), SESSIONS_PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(page=page, current_sid=self.current_sid(), **kwargs)


class EndView(OwnSessionsView):
    """End one session of the person who asks; the one that the request came with is a sign-out."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, sid: str) -> HttpResponse:
        """End it; somebody else's, an ended and an unknown one are the same 404, so that nobody learns which it was."""
        if services.session_of(request.user, sid) is None:
            raise Http404
        if sid == self.current_sid():
            logout(request)
            return redirect("srvsession:logged_out")
        ended = services.revoke(sid, by=request.user)
        if ended is None:
            raise Http404  # Somebody was faster.
        text = gettext("Signed out: %(device)s.") % {"device": device_name(ended.client.user_agent)}
        messages.success(request, text, fail_silently=True)
        return redirect("srvsession:sessions")


class EndOthersView(OwnSessionsView):
    """End all sessions of the person who asks but the one that the request came with."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them and say how many there were."""
        count = len(services.revoke_all(request.user, keep=self.current_sid(), by=request.user))
        text = ngettext("Ended %(count)d other session.", "Ended %(count)d other sessions.", count)
        messages.success(request, text % {"count": count}, fail_silently=True)
        return redirect("srvsession:sessions")
