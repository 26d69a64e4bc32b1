"""Where an identity provider tells of ended sessions: a POST of the provider's server, without cookies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.log import log_response
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_srvsession.oidc import index
from django_srvsession.oidc.linking import carry_out
from django_srvsession.store import StoreUnavailableError

if TYPE_CHECKING:
    from django_srvsession.oidc.tokens import BadTokenError

log = logging.getLogger("django.security.SuspiciousSession")


@method_decorator([csrf_exempt, login_not_required], name="dispatch")
class ProviderView(View):
    """Take a token of a provider's server: 400 for one that ends nothing, 503 in an outage."""

    http_method_names = ["post"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view; under ``ATOMIC_REQUESTS`` it stays outside of the request's transaction."""
        view: Any = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and let nobody keep the answer."""
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do what the token says."""
        from django_srvsession.oidc.tokens import BadTokenError  # PyJWT, which sites without a provider need not have.

        try:
            return self.obey(request)
        except BadTokenError as error:
            response = JsonResponse(self.refusal(error), status=400)
            text = "A token of an identity provider is refused: %s."
            log_response(text, error, response=response, request=request, logger=log)
        except StoreUnavailableError as error:
            response = JsonResponse({"error": "temporarily_unavailable"}, status=503, headers={"Retry-After": "10"})
            text = "A token of an identity provider waits: %s"
            log_response(text, error, response=response, request=request)
        return response

    def obey(self, request: HttpRequest) -> HttpResponse:
        """Do what the token says; raises ``BadTokenError`` and ``StoreUnavailableError``."""
        raise NotImplementedError

    def refusal(self, error: BadTokenError) -> dict[str, str]:
        """Return what is said of a bad token."""
        raise NotImplementedError


class BackChannelLogoutView(ProviderView):
    """Take a ``logout_token``, and end the sessions that it names (OpenID Connect Back-Channel Logout 1.0).

    Answers 200, also where there was nothing to end; 400 with a JSON ``error`` for a token that ends nothing; and 503
    in an outage: then the provider may send the same token again.
    """

    def obey(self, request: HttpRequest) -> HttpResponse:
        """End what the token names."""
        from django_srvsession.oidc import logout_tokens, tokens

        try:
            sent = request.POST.getlist("logout_token")
        except SuspiciousOperation as error:
            raise tokens.BadTokenError("the request is too large") from error
        if len(sent) != 1:
            raise tokens.BadTokenError("there is none, or more than one")
        revocation = logout_tokens.read(str(sent[0]))
        if index.is_used(revocation):
            raise tokens.BadTokenError("it was used already")
        carry_out(revocation)
        return HttpResponse()

    def refusal(self, error: BadTokenError) -> dict[str, str]:
        """Return an error of OAuth."""
        return {"error": "invalid_request", "error_description": f"logout_token: {error}."}


class SecurityEventView(ProviderView):
    """Take a security event token (RFC 8935), and end the sessions that a ``session-revoked`` of CAEP names.

    Answers 202, also for other events, for a token that came before, and where there was nothing to end; 400 with a
    JSON ``err`` for a token that ends nothing; and 503 in an outage: then the transmitter may send the same token
    again.
    """

    def obey(self, request: HttpRequest) -> HttpResponse:
        """End what the token names."""
        from django_srvsession.oidc import security_events, tokens

        if request.content_type != "application/secevent+jwt":
            raise tokens.BadTokenError("its Content-Type is not application/secevent+jwt")
        try:
            sent = request.body.decode("ascii")
        except SuspiciousOperation as error:
            raise tokens.BadTokenError("the request is too large") from error
        except UnicodeDecodeError as error:
            raise tokens.BadTokenError("it is no JWT") from error
        revocation = security_events.read(sent)
        # One that comes again was answered, and the answer got lost.
        if revocation is not None and not index.is_used(revocation):
            carry_out(revocation)
        return HttpResponse(status=202)

    def refusal(self, error: BadTokenError) -> dict[str, str]:
        """Return an error of RFC 8935."""
        return {"err": error.code, "description": f"The token is refused: {error}."}
