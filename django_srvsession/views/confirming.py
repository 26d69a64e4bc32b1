"""Confirm it is you: the page that asks for the password on the way to something that needs a recent proof."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from django_srvsession.accounts import destinations, reauthentication
from django_srvsession.accounts.attempts import outside_of_transactions
from django_srvsession.accounts.forms import ConfirmForm


@method_decorator([login_not_required, never_cache, csrf_protect, sensitive_post_parameters()], name="dispatch")
@method_decorator(xframe_options_deny, name="dispatch")
@method_decorator(outside_of_transactions, name="dispatch")
class ConfirmView(RedirectURLMixin, FormView):  # type: ignore[type-arg]
    """Ask for the password, and go on to a safe ``next``, or to the list of sessions."""

    form_class = ConfirmForm
    template_name = "srvsession/confirm.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Send visitors to sign in, and who has no password elsewhere; from there they go on without this page."""
        if not request.user.is_authenticated:
            return destinations.to_sign_in(self.get_success_url())
        if not reauthentication.can_confirm(request):
            return reauthentication.ask(request, self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def form_invalid(self, form: ConfirmForm) -> HttpResponse:
        """Show what was wrong, or send who has guessed too often to sign in."""
        if not self.request.user.is_authenticated:
            return destinations.to_sign_in(self.get_success_url())
        return super().form_invalid(form)

    def get_default_redirect_url(self) -> str:
        """Return where to go without a safe ``next``."""
        return resolve_url("srvsession:sessions")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Give the form the request, whose user is asked."""
        return {**super().get_form_kwargs(), "request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Keep ``next`` in the form."""
        return super().get_context_data(next=self.get_redirect_url(), **kwargs)
