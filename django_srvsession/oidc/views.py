"""Where an identity provider tells of a logout: a POST of the provider's server, without cookies."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.log import log_response
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_srvsession import services
from django_srvsession.oidc import index
from django_srvsession.oidc.linking import REASON
from django_srvsession.store import StoreUnavailableError

log = logging.getLogger("django.security.SuspiciousSession")


@method_decorator([csrf_exempt, login_not_required], name="dispatch")
class BackChannelLogoutView(View):
    """Take a ``logout_token``, and end the sessions that it names.

    Answers 200, also where there was nothing to end; 400 with a JSON ``error`` for a token that ends nothing; and 503
    in an outage: then the provider may send the same token again.
    """

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
        """End what the token names."""
        from django_srvsession.oidc import tokens  # PyJWT, which sites without a provider need not have.

        try:
            token = tokens.read(_sent_in(request))
            if index.is_used(token):
                raise tokens.BadTokenError("it was used already")
            index.mark_ended(token)
            for _ in services.revoke_many(index.sids_of(token), by=token.issuer, reason=REASON):
                pass
            index.mark_used(token)  # At last: after an outage the same token ends the rest.
        except tokens.BadTokenError as error:
            return _refused(request, error)
        except StoreUnavailableError as error:
            response = JsonResponse({"error": "temporarily_unavailable"}, status=503, headers={"Retry-After": "10"})
            log_response("A logout of the identity provider waits: %s", error, response=response, request=request)
            return response
        return HttpResponse()


def _sent_in(request: HttpRequest) -> str:
    from django_srvsession.oidc.tokens import BadTokenError

    try:
        sent = request.POST.getlist("logout_token")
    except SuspiciousOperation as error:
        raise BadTokenError("the request is too large") from error
    if len(sent) != 1:
        raise BadTokenError("there is none, or more than one")
    return str(sent[0])


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    response = JsonResponse({"error": "invalid_request", "error_description": f"logout_token: {error}."}, status=400)
    log_response("A logout token is refused: %s.", error, response=response, request=request, logger=log)
    return response
