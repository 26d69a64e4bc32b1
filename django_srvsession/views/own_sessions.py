"""A person's own sessions: see them, end one, end all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView, View

from django_srvsession import services
from django_srvsession.accounts import passwords, reauthentication
from django_srvsession.accounts.attempts import outside_of_transactions
from django_srvsession.accounts.forms import ConfirmForm
from django_srvsession.accounts.sign_in import clear_site_data
from django_srvsession.clients.devices import device_name_of
from django_srvsession.events import log as event_log
from django_srvsession.records import SessionRecord


@method_decorator([login_not_required, never_cache, csrf_protect, sensitive_post_parameters()], name="dispatch")
@method_decorator(xframe_options_deny, name="dispatch")
class OwnSessionsView(View):
    """Work on the sessions of the person who asks, and on nobody else's.

    An anonymous visitor signs in first, and goes on to ``shown_after_sign_in``: what was asked for may take POST alone.
    """

    shown_after_sign_in: ClassVar[str] = "srvsession:sessions"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let signed-in users pass."""
        if not request.user.is_authenticated:
            return auth_views.redirect_to_login(resolve_url(self.shown_after_sign_in))
        return super().dispatch(request, *args, **kwargs)

    def own_sessions(self) -> Sequence[SessionRecord]:
        """Return the live sessions of the person who asks, newest activity first."""
        return services.sessions_of(self.request.user)

    def current(self) -> SessionRecord | None:
        """Return the session that the request came with; None where the user needs no session."""
        record: SessionRecord | None = getattr(self.request.session, "record", None)
        return record

    def current_sid(self) -> str | None:
        """Return the sid of the session that the request came with, or None."""
        return getattr(self.request.session, "sid", None)


class SessionsView(OwnSessionsView, TemplateView):
    """List the sessions of the person who asks: this one on every page, then the others."""

    http_method_names = ["get", "head"]
    template_name = "srvsession/sessions.html"
    paginate_by: ClassVar[int] = 50

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return this session, one page of the others, how many others there are, and whether events are kept."""
        current, page = self.current(), self._page()
        listed = [record for record in page if current is None or record.sid != current.sid]
        others = services.those_that_open(self.request.user, listed)
        # Of many pages only this one was looked at.
        count = page.paginator.count - (current is not None) if page.has_other_pages() else len(others)
        context = {
            "current": current,
            "others": others,
            "page": page,
            "keeps_events": event_log.days_kept() is not None,
        }
        return super().get_context_data(count=count, **context, **kwargs)

    def _page(self) -> Any:
        return Paginator(self.own_sessions(), self.paginate_by).get_page(self.request.GET.get("page"))


@method_decorator(outside_of_transactions, name="dispatch")
class ProvenView(OwnSessionsView):
    """Do something that needs a recent proof (ASVS 7.5.2).

    When the last proof is old, the same address asks for the password and goes on with the right one: one form more,
    and nothing to press twice.
    """

    http_method_names = ["post"]
    template_name = "srvsession/confirm.html"

    def ask_first(self, **context: Any) -> HttpResponseBase | None:
        """Return the page that asks for the password, or the way to another proof; None where there is no need.

        Who has guessed too often is sent to sign in.
        """
        if not reauthentication.is_asked_before_ending(self.request):
            return None
        if not reauthentication.can_confirm(self.request):
            return reauthentication.ask(self.request, resolve_url("srvsession:sessions"))
        form = ConfirmForm(self.request, self.request.POST if "password" in self.request.POST else None)
        if form.is_valid():
            return None
        if not self.request.user.is_authenticated:
            return auth_views.redirect_to_login(resolve_url("srvsession:sessions"))
        return render(self.request, self.template_name, {"form": form, **context})


class EndView(ProvenView):
    """End one session of the person who asks; the one that the request came with is a sign-out."""

    def post(self, request: HttpRequest, sid: str) -> HttpResponseBase:
        """End it; somebody else's, an ended and an unknown one are the same 404, so that nobody learns which it was."""
        record = services.session_of(request.user, sid)
        if record is None:
            raise Http404
        if sid == self.current_sid():
            logout(request)
            return clear_site_data(redirect("srvsession:logged_out"))
        device, page = device_name_of(record), request.POST.get("page", "")
        purpose = gettext("To sign out %(device)s, enter your password.") % {"device": device}
        if asked := self.ask_first(purpose=purpose, button=gettext("Sign out"), list_page=page):
            return asked
        if services.revoke(sid, by=request.user) is None:
            raise Http404  # Somebody was faster.
        text = gettext("Signed out: %(device)s.") % {"device": device}
        messages.success(request, passwords.with_advice(text), fail_silently=True)
        return redirect(_list_url(page))


def _list_url(page: str) -> str:
    """Return the page of the list that a form was on."""
    url = resolve_url("srvsession:sessions")
    return f"{url}?{urlencode({'page': page})}" if page.isdecimal() and page != "1" else url


class EndOthersView(ProvenView):
    """End all sessions of the person who asks but the one that the request came with."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """End them and say how many there were."""
        purpose = gettext("To sign out all other sessions, enter your password.")
        if asked := self.ask_first(purpose=purpose, button=gettext("Sign out all others")):
            return asked
        count = len(services.revoke_all(request.user, keep=self.current_sid(), by=request.user))
        text = ngettext("Ended %(count)d other session.", "Ended %(count)d other sessions.", count)
        messages.success(request, text % {"count": count}, fail_silently=True)
        return redirect("srvsession:sessions")
