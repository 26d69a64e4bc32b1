"""The demo's URLs, and pages that bring about what is hard to wait for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from ipaddress import ip_address
from typing import Final

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone

from django_srvsession import services
from django_srvsession.events import words
from django_srvsession.models import Session, SessionEvent
from django_srvsession.records import Client
from django_srvsession.store import StoreUnavailableError
from example_project.urls import urlpatterns as demo_patterns

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
DEVICES: Final = [
    ("203.0.113.24", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/18.1 Mobile/15E148 Safari/604.1", 3),
    ("198.51.100.7", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/131.0.0.0 Safari/537.36", 5 * 60),
    ("2001:db8::2f", "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/17.5 Mobile/15E148 Safari/604.1", 3 * 24 * 60),
    ("192.0.2.200", "something-homemade/0.3", 8 * 24 * 60),
]  # fmt: skip


def strict_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Send a Content-Security-Policy that allows nothing but files and addresses of the site."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return answer


def outage(request: HttpRequest) -> HttpResponse:
    """Be a page whose session cannot be read."""
    raise StoreUnavailableError("for the tests")


@login_required
def sign_in_elsewhere(request: HttpRequest, count: int) -> HttpResponse:
    """Sign this user in on so many other devices, some time ago."""
    for number in range(count):
        ip, agent, minutes = DEVICES[number % len(DEVICES)]
        _sign_in(request, str(ip_address(ip) + number // len(DEVICES)), agent, minutes * 60_000)
    return HttpResponse("done")


@login_required
def sign_in_again(request: HttpRequest, count: int) -> HttpResponse:
    """Sign this user in so many times on one other device, the latest time five minutes ago."""
    ip, agent, _ = DEVICES[0]
    for number in range(count):
        _sign_in(request, ip, agent, (5 + number) * 60_000)
    return HttpResponse("done")


def _sign_in(request: HttpRequest, ip: str, agent: str, age_ms: int) -> None:
    elsewhere = HttpRequest()
    elsewhere.META = {"REMOTE_ADDR": ip, "HTTP_USER_AGENT": agent, "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    session = elsewhere.session = import_module(settings.SESSION_ENGINE).SessionStore()
    session.note_client(lambda: Client(ip, agent))
    login(elsewhere, request.user, BACKEND)
    session.save()
    record = session.record
    moments = {"last_seen_ms": record.last_seen_ms - age_ms, "signed_in_ms": record.signed_in_ms - 2 * age_ms}
    Session.objects.filter(sid=session.sid).update(**moments)


@login_required
def write_past(request: HttpRequest, count: int) -> HttpResponse:
    """Write down so many events of this user's, an hour apart and of every kind, the latest an hour ago."""
    now_ms, owner = time.time_ns() // 1_000_000, str(request.user.pk)
    # Nobody is shown what happened before the account was there, or to one that was deleted.
    get_user_model().objects.filter(pk=owner).update(date_joined=timezone.now() - timedelta(hours=count + 1))
    by_whom = {"logout": owner, "revoked": "boss", "password_changed": owner}
    told = [("ended", reason, by_whom.get(reason, "")) for reason in words.REASONS if reason != "user_deleted"]
    told += [("failed", "", ""), ("changed", "password_changed", owner), ("failed", "confirmation", "")]
    for number, (kind, reason, by) in enumerate(itertools.islice(itertools.cycle([("started", "", ""), *told]), count)):
        ip, agent, _ = DEVICES[number % len(DEVICES)]
        moment, sid = now_ms - (number + 1) * 3_600_000, f"{number:018x}"
        SessionEvent.objects.create(
            at_ms=moment, kind=kind, sid=sid, user_id=owner, reason=reason, by=by, ip=ip, user_agent=agent
        )
    return HttpResponse("done")


@login_required
def end_all(request: HttpRequest, reason: str) -> HttpResponse:
    """End all sessions of this user, this one included, behind its back."""
    services.revoke_all(request.user, reason=reason, by=request.user)
    return HttpResponse("done")


def end_everything(request: HttpRequest) -> HttpResponse:
    """End all sessions there are: a test begins."""
    for record in list(services.live_sessions()):
        services.revoke(record.sid)
    return HttpResponse("done")


def registering_origins(request: HttpRequest) -> JsonResponse:
    """Say which hosts of the site bind sessions for all of them, as ``docs/how-to/binding.rst`` says it."""
    return JsonResponse({"registering_origins": settings.TEST_REGISTERING_ORIGINS})


urlpatterns = [
    *demo_patterns,
    path(".well-known/device-bound-sessions", registering_origins),
    path("end-everything/", end_everything),
    path("outage/", outage),
    path("elsewhere/<int:count>/", sign_in_elsewhere),
    path("again/<int:count>/", sign_in_again),
    path("end-all/<reason>/", end_all),
    path("past/<int:count>/", write_past),
]
