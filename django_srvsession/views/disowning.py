"""The page that a mail about a sign-in leads to: "This was not me" ends that session."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.generic import View
from django.views.generic.base import ContextMixin, TemplateResponseMixin

from django_srvsession.accounts import passwords
from django_srvsession.accounts.disowning import Claim
from django_srvsession.engine.naming import device_name_of
from django_srvsession.records import SessionRecord
from django_srvsession.views.cards import card_of


@method_decorator([login_not_required, never_cache, csrf_protect, xframe_options_deny], name="dispatch")
class DisownView(TemplateResponseMixin, ContextMixin, View):
    """Ask whether to end the session that a mail told of, and end it; whoever follows the link, signed in or not.

    GET changes nothing: programs that look through mails follow links, and press no buttons.
    """

    http_method_names = ["get", "head", "post"]
    template_name = "srvsession/disown.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Tell no other site of the link, by which a visitor may come there."""
        response = super().dispatch(request, *args, **kwargs)
        response["Referrer-Policy"] = "same-origin"  # For "no-referrer" Django refuses the form over HTTPS.
        return response

    def get(self, request: HttpRequest, token: str) -> HttpResponseBase:
        """Show the device and one button, or why there is none: the link is too old, or the session has ended."""
        claim = Claim.parse(token)
        session = None if claim is None else claim.session()
        is_current = session is not None and self._is_current(session)
        context = self.get_context_data(session=session, is_valid=claim is not None, is_current=is_current)
        context["card"] = None if session is None else card_of(session)
        return self.render_to_response(context, status=404 if claim is None else 200)

    def post(self, request: HttpRequest, token: str) -> HttpResponseBase:
        """End the session, and go on to the password reset; also after a second click."""
        claim = Claim.parse(token)
        if claim is None:
            return self.get(request, token)
        session = claim.session()
        if session is not None and self._is_current(session):
            logout(request)
        elif session is not None:
            session = claim.end()
        if session is not None:
            text = gettext("Signed out: %(device)s.") % {"device": device_name_of(session)}
            messages.success(request, text, fail_silently=True)
        return redirect(passwords.url_of("reset") or request.path)

    def _is_current(self, session: SessionRecord) -> bool:
        return session.sid == getattr(self.request.session, "sid", None)
