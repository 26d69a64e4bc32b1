"""The forms of the pages: sign in, confirm it is you, and name a device."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_srvsession import conf
from django_srvsession.accounts import reauthentication
from django_srvsession.engine.naming import MOST_LETTERS, is_name

INPUT_CLASS: Final = "form-control"
"""As Bootstrap calls it; our own stylesheet does not need it."""


class SignInForm(AuthenticationForm):
    """Ask for name and password, through Django's authentication backends, and whether to stay signed in.

    Whoever may not sign in reads one and the same text: nobody learns which accounts there are.
    """

    # Django's words, in translations of ours: Django's Korean one has "이름와/과" in it.
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": pgettext_lazy(
            "sign-in",
            "Please enter a correct %(username)s and password. Note that both fields may be case-sensitive.",
        ),
    }
    remember = forms.BooleanField(label=_("Keep me signed in"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("username", "password"):
            self.fields[name].widget.attrs["class"] = INPUT_CLASS
        self.fields["remember"].widget.attrs["class"] = "form-check-input"

    def confirm_login_allowed(self, user: Any) -> None:
        """Refuse a deactivated user, whom some backends let through, in the words for a wrong password."""
        try:
            super().confirm_login_allowed(user)
        except ValidationError:
            raise self.get_invalid_login_error() from None


class ConfirmForm(forms.Form):
    """Ask the signed-in user for the password; to be valid is the proof, and has changed the session's key."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True, "class": INPUT_CLASS}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(*args, **kwargs)

    @method_decorator(sensitive_variables())
    def clean_password(self) -> str:
        """Give the proof."""
        password: str = self.cleaned_data["password"]
        if not reauthentication.confirm(self.request, password):
            raise ValidationError(_("That is not your password."), code="wrong_password")
        return password


class DeviceNameForm(forms.Form):
    """Ask what to call a device; an empty answer takes the name away."""

    device_name = forms.CharField(
        label=_("Name of this device"),
        max_length=MOST_LETTERS,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": INPUT_CLASS}),
    )

    def clean_device_name(self) -> str:
        """Refuse what acts on a page or a terminal: control characters, and marks of direction."""
        name: str = self.cleaned_data["device_name"]
        if not is_name(name):
            raise ValidationError(_("Use letters, digits, spaces and ordinary signs."), code="not_printable")
        return name


def set_lifetime(session: SessionBase, remember: bool) -> None:
    """Keep a session for ``SRVSESSION_REMEMBER_AGE``, or let its cookie end with the browser."""
    session.set_expiry(conf.remember_age_ms // 1000 if remember else 0)
