"""Sign in and out as JSON: by the pages' forms, so that backends, limits and whatever counts failures work alike."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _

from django_srvsession.accounts import authentication_methods, reauthentication
from django_srvsession.accounts.attempts import outside_of_transactions
from django_srvsession.accounts.forms import ConfirmForm, DeviceNameForm, SignInForm
from django_srvsession.accounts.sign_in import clear_site_data, sign_in
from django_srvsession.api.bodies import Kinds, pointer_to
from django_srvsession.api.endpoint import Endpoint, no_content
from django_srvsession.api.problems import (
    TOO_MANY_SESSIONS,
    WRONG_CREDENTIALS,
    ProblemError,
    error_at,
    invalid,
    not_signed_in,
    proof_required,
)
from django_srvsession.api.shown import person_as_json
from django_srvsession.clients import header
from django_srvsession.engine import SessionStore
from django_srvsession.services import SignInRefusedError


class WhoAmIEndpoint(Endpoint):
    """Say who asks; a visitor is nobody, which is an answer and no problem."""

    needs_user = False

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with user, session and CSRF token."""
        return JsonResponse(person_as_json(request))


class FormEndpoint(Endpoint):
    """Take the members that a form of Django's has fields for."""

    form_class: type[forms.Form]

    @property
    def kinds(self) -> Kinds:
        """Return a Boolean for each check box, and text for the rest."""
        fields = self.form_class.base_fields.items()
        return {name: bool if isinstance(field, forms.BooleanField) else str for name, field in fields}


class LoginEndpoint(FormEndpoint):
    """Sign in; the session's key always changes."""

    needs_user = False
    form_class: type[AuthenticationForm] = SignInForm

    @property
    def kinds(self) -> Kinds:
        """Return those of the form, and what the app calls the device that it runs on."""
        return {**super().kinds, "device_name": str}

    def post(self, request: HttpRequest) -> HttpResponse:
        """Answer as whoami does from then on, or with one and the same problem for whoever may not sign in."""
        form, naming = self.form_class(request, data=self.members), DeviceNameForm(self.members)
        if not naming.is_valid():  # First, since it costs no password's hash.
            raise form_problem(naming)
        if not form.is_valid():
            raise form_problem(form)
        try:
            sign_in(request, form)
        except SignInRefusedError as error:
            title = _("Too many sessions")
            raise ProblemError(403, str(error), kind=TOO_MANY_SESSIONS, title=title) from None
        app, session = naming.cleaned_data["device_name"], request.session
        if app and isinstance(session, SessionStore):  # In a step of a move it may be another engine's.
            session.note_app(app)
        request.session.save()  # Now, so that the answer can show the session's record.
        return JsonResponse(person_as_json(request))


class LogoutEndpoint(Endpoint):
    """Sign out; who is not signed in is so already."""

    needs_user = False

    def post(self, request: HttpRequest) -> HttpResponse:
        """End the session on the server before the answer, or the answer is 503."""
        return signed_out(request)


@method_decorator(outside_of_transactions, name="dispatch")
class ConfirmPasswordEndpoint(FormEndpoint):
    """Confirm it is you; the session's key changes."""

    form_class = ConfirmForm

    def post(self, request: HttpRequest) -> HttpResponse:
        """Note the proof, for what needs a recent one; too many wrong ones in a row end the session."""
        if not reauthentication.takes_password(request):
            raise proof_required(authentication_methods.way_of(request))
        form = ConfirmForm(request, data=self.members)
        if not form.is_valid():
            raise form_problem(form) if request.user.is_authenticated else not_signed_in()
        return no_content()


def signed_out(request: HttpRequest) -> HttpResponse:
    """Sign out, and have the browser drop what ``SRVSESSION_CLEAR_SITE_DATA`` names; an app keeps nothing there."""
    logout(request)
    return no_content() if header.is_used(request) else clear_site_data(no_content())


def form_problem(form: forms.Form) -> ProblemError:
    """Return the problem of a form that is not valid: who it is was refused, or what was sent is not accepted."""
    errors = [_form_error(name, error) for name, found in form.errors.as_data().items() for error in found]
    if form.has_error(NON_FIELD_ERRORS) or form.has_error("password", "wrong_password"):
        title = _("Wrong credentials")
        return ProblemError(403, errors[0]["detail"], kind=WRONG_CREDENTIALS, title=title, errors=errors)
    return invalid(errors)


def _form_error(name: str, error: Any) -> dict[str, str]:
    pointer = "#" if name == NON_FIELD_ERRORS else pointer_to(name)
    return error_at(pointer, " ".join(error.messages), error.code or "invalid")
