"""Sign in and sign out, as every front end of ours does it."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse

from django_srvsession import conf
from django_srvsession.accounts.forms import set_lifetime
from django_srvsession.engine import SessionStore
from django_srvsession.users import user_id_of

R = TypeVar("R", bound=HttpResponse)


def sign_in(request: HttpRequest, form: AuthenticationForm) -> None:
    """Sign in who passed the form, for as long as it says.

    Raises ``SignInRefusedError`` when the limit of sessions refuses it; nobody is signed in then.
    """
    session: Any = request.session
    is_ours = isinstance(session, SessionStore)  # In a step of a move it may be another engine's.
    if is_ours:
        session.note_authenticated(user_id_of(form.get_user()))
    login(request, form.get_user())
    if not is_ours:
        from django_srvsession.accounts import proofs_elsewhere  # Most sites do not move.

        proofs_elsewhere.note(session, form.get_user())
    if "remember" in form.fields:
        set_lifetime(session, form.cleaned_data["remember"])


def clear_site_data(response: R) -> R:
    """Ask the browser of somebody who has signed out to drop what ``SRVSESSION_CLEAR_SITE_DATA`` names."""
    if kinds := conf.clear_site_data:
        response.headers["Clear-Site-Data"] = ", ".join(f'"{kind}"' for kind in kinds)
    return response
