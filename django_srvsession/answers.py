"""What is answered in the place of a page: the store is out, a request names two sessions, our API has an error."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string

from django_srvsession import conf
from django_srvsession.escaping import escaped

RETRY_AFTER_SECONDS: Final = 5
_OF_CONTENT: Final = ("Content-Type", "Content-Length", "Content-Encoding", "Content-Language")

log = logging.getLogger("django_srvsession")


def named_twice(request: HttpRequest) -> HttpResponse:
    """Answer 400: a header and a cookie name a session, so nobody can say whose request it is."""
    text = (
        f"The request has a session's key in {conf.header} and in the cookie {settings.SESSION_COOKIE_NAME}. Send one."
    )
    log.warning("A request to %s has a key in %s and a session cookie.", escaped(request.path), conf.header)
    headers = {"Cache-Control": "no-store"}
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        return HttpResponse(text, status=400, headers=headers, content_type="text/plain")
    return _problem(400, "Bad Request", headers, detail=text)


def unavailable(request: HttpRequest) -> HttpResponse:
    """Answer 503: the store did not answer. The cookie stays, and nobody is signed out."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Cache-Control": "no-store", "X-Frame-Options": "DENY"}
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return _problem(503, "Service Unavailable", headers)
    # Without the request: context processors would read the session. What was posted is not sent again by itself.
    context = {"retry_after": RETRY_AFTER_SECONDS if request.method == "GET" else None}
    for template in ("srvsession/503.html", "srvsession/503_plain.html"):
        try:
            return HttpResponse(render_to_string(template, context), status=503, headers=headers)
        except Exception:
            # The frame is the site's, with errors of its own; or the site has no templates of Django's.
            log.warning("%s cannot be shown during an outage.", template, exc_info=True)
    return HttpResponse("Service Unavailable", status=503, headers=headers, content_type="text/plain")


def in_json(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return an answer of our API's as it is, or a problem in the place of a page: Django answers errors with one.

    While debugging, Django's own report says more.
    """
    match, status = request.resolver_match, response.status_code
    if status < 400 or match is None or match.app_names[-1:] != ["srvsession_api"] or settings.DEBUG:
        return response
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        return response
    headers = {name: value for name, value in response.headers.items() if name not in _OF_CONTENT}
    problem = _problem(status, response.reason_phrase, {**headers, "Cache-Control": "no-store"})
    problem.cookies = response.cookies
    problem._has_been_logged = True  # type: ignore[attr-defined]  # Django has, with the error's traceback.
    return problem


def _problem(status: int, title: str, headers: dict[str, str], **members: Any) -> JsonResponse:
    """Return a problem (RFC 9457) whose status says which it is."""
    problem = {"type": "about:blank", "title": title, "status": status, **members}
    return JsonResponse(problem, status=status, headers=headers, content_type="application/problem+json")
