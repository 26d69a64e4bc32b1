"""Sign in and sign out."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, requires_csrf_token
from django.views.generic import TemplateView

from django_srvsession import conf, services
from django_srvsession.accounts import destinations, reasons
from django_srvsession.accounts.forms import SignInForm
from django_srvsession.accounts.sign_in import clear_site_data, sign_in
from django_srvsession.clients import header
from django_srvsession.escaping import escaped
from django_srvsession.records import Ended
from django_srvsession.services import SignInRefusedError
from django_srvsession.views.questions import question

TOLD_COOKIE: Final = "srvsession_told"
"""Holds the sid of the ended session whose reason this browser was told, so that it is told once."""


@method_decorator([login_not_required, xframe_options_deny, csrf_exempt, never_cache], name="dispatch")
class LoginView(auth_views.LoginView):
    """Sign in, by Django's rules for ``next``; the session's key always changes.

    Tells, once, why the session that the browser still holds the key of was ended elsewhere.

    Exempt from the CSRF middleware: Django's view runs the check itself, and here its refusal is no dead end.
    """

    form_class = SignInForm
    template_name = "srvsession/login.html"
    _has_passed_check = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let ``redirect_authenticated_user`` work where it cannot lead in a circle, and lead on who is refused."""
        self.redirect_authenticated_user = self.redirect_authenticated_user and self._may_pass_by()
        response = super().dispatch(request, *args, **kwargs)
        if request.method != "POST" or self._has_passed_check:
            return response
        if request.user.is_authenticated:  # They have signed in in another tab, which made the token of this one old.
            text = gettext("You are already signed in as %(name)s.") % {"name": escaped(request.user.get_username())}
            messages.info(request, text, fail_silently=True)
            return HttpResponseRedirect(self.get_success_url())
        return response if _comes_from_another_site(request) else self._show_again(request)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Sign in; only what has passed the CSRF check comes here."""
        self._has_passed_check = True
        return super().post(request, *args, **kwargs)

    @method_decorator(requires_csrf_token)
    def _show_again(self, request: HttpRequest) -> HttpResponseBase:
        """Show the form with a new token, and nothing of what was sent in it."""
        given = {name: value for name, value in self.get_form_kwargs().items() if name not in ("data", "files")}
        text = gettext("This page was open for too long, or your browser keeps no cookies. Please try again.")
        context = self.get_context_data(form=self.get_form_class()(**given), ended_text=text)
        return self.render_to_response(context, status=403)

    def get_default_redirect_url(self) -> str:
        """Return where to go without a safe ``next``; the list of devices where Django's default is no page."""
        return resolve_url(self.next_page) if self.next_page else destinations.after_sign_in()

    def _may_pass_by(self) -> bool:
        """Tell whether a signed-in visitor may be sent on.

        Not one whom another page sent here, with a ``next``, because it does not admit this user: it would send them
        here again. They see who they are, may go on by a link, or sign in as somebody else.
        """
        target = urlsplit(self.get_default_redirect_url()).path
        return self.request.method == "GET" and not self.get_redirect_url() and target != self.request.path

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form, with what became of the session before."""
        ended = self._untold()
        text = reasons.text_of(ended) if ended else ""
        self.extra_context = {**(self.extra_context or {}), "ended_text": text}
        response = super().get(request, *args, **kwargs)
        if ended is not None and not header.is_used(request):
            _note_as_told(ended, request, response)
        return response

    def _untold(self) -> Ended | None:
        """Return how the browser's session ended, if it is news; it is known once the session was read."""
        if not _is_seen_by_a_person(self.request) or self.request.user.is_authenticated:
            return None
        ended: Ended | None = getattr(self.request.session, "ended", None)
        if ended is None or self.request.COOKIES.get(TOLD_COOKIE) == ended.sid:
            return None
        return ended if reasons.text_of(ended) else None

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in and go on, or show that the limit of sessions refuses it."""
        try:
            sign_in(self.request, form)
        except SignInRefusedError as error:
            form.add_error(None, str(error))
            return self.form_invalid(form)
        return HttpResponseRedirect(self.get_success_url())


def _comes_from_another_site(request: HttpRequest) -> bool:
    """Tell whether another site sent a form: the browser withholds our cookies then, and a new one replaces them.

    With ``CSRF_USE_SESSIONS`` a form with a new token begins a session: that site would sign the person out.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "cross-site"
    return origin is not None and origin.partition("://")[2] != request.get_host()


def _is_seen_by_a_person(request: HttpRequest) -> bool:
    """Tell whether the answer becomes a page, rather than what a script or a prefetch reads and nobody sees."""
    is_page = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return request.method == "GET" and is_page and "prefetch" not in request.headers.get("Sec-Purpose", "")


def _note_as_told(ended: Ended, request: HttpRequest, response: HttpResponse) -> None:
    # Not by deleting the session's cookie: another answer may just have set a new one.
    response.set_cookie(
        TOLD_COOKIE,
        ended.sid,
        max_age=conf.ended_keep_ms // 1000,
        path=request.path,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Lax",
    )


@method_decorator(xframe_options_deny, name="dispatch")
class LogoutView(auth_views.LogoutView):
    """Sign out: the session is ended on the server before the answer, or the answer is 503.

    It leads on to the identity provider where the session was linked and ``SRVSESSION_OIDC`` says where to sign out.
    """

    http_method_names = ["get", "head", "post"]
    _elsewhere: str | None = None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask; there is nothing to ask who is not signed in."""
        if not request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        fields = {"next": target} if (target := self.get_redirect_url()) else {}
        return question(request, gettext("Sign out of this device?"), gettext("Sign out"), fields=fields)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Sign out, and clear what the browser keeps of the site; a page that follows an end of others asks first."""
        if "ask" in request.POST:
            return self.get(request, *args, **kwargs)
        self._elsewhere = self.get_provider_logout_url()
        return clear_site_data(super().post(request, *args, **kwargs))

    def get_provider_logout_url(self) -> str | None:
        """Return where to sign out at the identity provider; asked before the session ends. None: nowhere."""
        return services.provider_logout_url(self.request)

    def get_success_url(self) -> str:
        """Return where to go: the identity provider before anything else."""
        return self._elsewhere or super().get_success_url()

    def get_default_redirect_url(self) -> str:
        """Return where to go without a safe ``next``: ``LOGOUT_REDIRECT_URL``, or our own page."""
        return resolve_url(self.next_page or settings.LOGOUT_REDIRECT_URL or "srvsession:logged_out")


@method_decorator([login_not_required, never_cache, xframe_options_deny], name="dispatch")
class LoggedOutView(TemplateView):
    """Say that the session was ended; who is signed in, perhaps again, is shown their devices."""

    http_method_names = ["get", "head"]
    template_name = "srvsession/logged_out.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Tell nobody who is signed in that they are out."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(resolve_url("srvsession:sessions"))
        return super().get(request, *args, **kwargs)
