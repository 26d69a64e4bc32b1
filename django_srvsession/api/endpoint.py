"""What all endpoints have in common: the order of the checks, and a problem for whatever goes wrong.

First the method, then the body's size and type, CSRF, the user, the members. Views are sync: looking up users and
hashing passwords is work for a thread under ASGI, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import MediaType
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.decorators import decorator_from_middleware, method_decorator
from django.utils.log import log_response
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from django_srvsession.api.bodies import Kinds, parse_members, read_body
from django_srvsession.api.problems import CSRF, ProblemError, bad_request, not_signed_in
from django_srvsession.api.shown import ended_as_json
from django_srvsession.store import UpdateError

SAFE_METHODS = ("get", "head", "options")

log = logging.getLogger("django.security.csrf")


class ProblemCsrf(CsrfViewMiddleware):
    """Check the CSRF token as Django does, and answer a failure with a problem instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        detail = _("The CSRF token is missing or wrong, or the request comes from another site.")
        response = ProblemError(403, detail, kind=CSRF, title=_("CSRF check failed")).response()
        # Django's own way to log it escapes what the client chose of the text.
        log_response("Forbidden (%s): %s", reason, request.path, response=response, request=request, logger=log)
        return response


csrf_protect = decorator_from_middleware(ProblemCsrf)


class Endpoint(View):
    """Answer one address of the API; subclasses have a handler for each method, which returns or raises a problem.

    ``body`` and ``members`` hold what came in; no local variable does, since the report of an error would show it with
    the password. Needs neither ``CsrfViewMiddleware`` nor ``LoginRequiredMiddleware``, and gets along with both.
    """

    needs_user = True
    body = b""
    members: dict[str, Any]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view, which checks CSRF tokens and asks for a user by itself: a page is no answer here."""
        return login_not_required(csrf_exempt(super().as_view(**initkwargs)))

    @property
    def kinds(self) -> Kinds:
        """Return the members that the body may have, each with its type."""
        return {}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, whatever happens but a bug or an outage, in JSON that no cache keeps."""
        _accept_json_alone(request)
        try:
            response = self.checked(request, *args, **kwargs)
        except ProblemError as problem:
            response = problem.response()
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        patch_vary_headers(response, ("Cookie",))
        return response

    def checked(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request whose method and body are allowed; what Django raises becomes a problem."""
        method = str(request.method).lower()
        if method not in self.methods():
            raise ProblemError(405, _("Use another method."), headers={"Allow": self.allowed()})
        try:
            if method not in SAFE_METHODS:
                self.body = read_body(request)
            return self.protected(request, method, *args, **kwargs)
        except Http404:
            raise ProblemError(404, _("There is nothing at this address.")) from None
        except PermissionDenied:
            raise ProblemError(403, _("You may not do this.")) from None
        except (BadRequest, SuspiciousOperation):
            raise bad_request(_("The request is not accepted.")) from None
        except UpdateError:
            raise not_signed_in() from None  # The session was ended while the request was under way.

    @method_decorator(csrf_protect)
    def protected(self, request: HttpRequest, method: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request that no other site has sent."""
        if self.needs_user and method != "options" and not request.user.is_authenticated:
            raise not_signed_in(ended_as_json(request))
        self.members = parse_members(self.body, self.kinds)
        return getattr(self, method)(request, *args, **kwargs)  # type: ignore[no-any-return]

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say which methods there are."""
        return no_content({"Allow": self.allowed()})

    def methods(self) -> list[str]:
        """Return the methods that have a handler."""
        return [name for name in self.http_method_names if hasattr(self, name)]

    def allowed(self) -> str:
        """Return the methods as the ``Allow`` header lists them."""
        return ", ".join(self.methods()).upper()


def _accept_json_alone(request: HttpRequest) -> None:
    """Make the middleware's answer to an outage JSON here, whatever the client accepts."""
    only_json = [MediaType("application/json")]
    request.accepted_types = request.accepted_types_by_precedence = only_json


def no_content(headers: dict[str, str] | None = None) -> HttpResponse:
    """Return 204: done, and there is nothing more to say."""
    response = HttpResponse(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response
