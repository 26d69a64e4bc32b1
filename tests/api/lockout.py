"""What django-axes answers when it has seen enough, as a problem. The documentation shows it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Any) -> HttpResponse:
    problem = {"type": "about:blank", "title": _("Too many attempts"), "status": 429}
    return JsonResponse(
        problem, status=429, content_type="application/problem+json", headers={"Cache-Control": "no-store"}
    )
