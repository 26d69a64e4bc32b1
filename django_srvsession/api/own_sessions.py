"""A person's own sessions as JSON: list them, show one, end one, end all others."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from django_srvsession import services
from django_srvsession.accounts import authentication_methods, other_sessions, reauthentication
from django_srvsession.api.endpoint import Endpoint, no_content
from django_srvsession.api.parameters import cursor_of, limit_of
from django_srvsession.api.problems import not_found, proof_required
from django_srvsession.api.shown import Cursor, page, session_as_json
from django_srvsession.api.signing import signed_out


class SessionsEndpoint(Endpoint):
    """List the sessions of the person who asks."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with a page, latest created first, and the cursor of the next one."""
        after, limit = cursor_of(request, Cursor.parse), limit_of(request)
        records, cursor = page(services.sessions_from(request.user, after, limit + 1), limit)
        current = current_sid(request)
        shown = [session_as_json(record, current) for record in services.those_that_open(request.user, records)]
        return JsonResponse({"sessions": shown, "next_cursor": cursor})


class SessionEndpoint(Endpoint):
    """Show or end one session of the person who asks.

    What is no session of theirs is one and the same problem, whatever it is instead.
    """

    def get(self, request: HttpRequest, sid: str) -> HttpResponse:
        """Answer with the session, as the list has it."""
        record = services.session_of(request.user, sid)
        if record is None or not services.those_that_open(request.user, [record]):
            raise not_found()
        return JsonResponse(session_as_json(record, current_sid(request)))

    def delete(self, request: HttpRequest, sid: str) -> HttpResponse:
        """End it: the one that the request came with is a sign-out, another one needs a recent proof (ASVS 7.5.2)."""
        if services.session_of(request.user, sid) is None:
            services.ensure_ended()
            raise not_found()
        if sid == current_sid(request):
            return signed_out(request)
        _need_proof(request)
        if services.revoke(sid, by=request.user) is None:
            raise not_found()  # Somebody was faster.
        return no_content()


class EndOthersEndpoint(Endpoint):
    """End all sessions of the person who asks but the one that the request came with."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them and say how many there were; needs a recent proof (ASVS 7.5.2)."""
        _need_proof(request)
        return JsonResponse({"ended": len(other_sessions.end(request))})


def current_sid(request: HttpRequest) -> str | None:
    """Return the sid of the session that the request came with; None where the user needs no session."""
    return getattr(request.session, "sid", None)


def _need_proof(request: HttpRequest) -> None:
    """Raise the problem that asks for a proof, and says by which way; who has no way needs none."""
    if reauthentication.is_asked_before_ending(request):
        raise proof_required(authentication_methods.way_of(request))
