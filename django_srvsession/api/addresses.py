"""What the API says of itself: its description, and that there is nothing at any other address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from django_srvsession import conf
from django_srvsession.api.endpoint import Endpoint
from django_srvsession.api.problems import ProblemError

_FILE: Final = Path(__file__).with_name("openapi.json")


class DescriptionEndpoint(Endpoint):
    """Describe the API as this site has it, in OpenAPI."""

    needs_user = False

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with the file, and in it the site's own address, cookies and header."""
        return JsonResponse(_described(request.path.removesuffix("/openapi.json")))


class UnknownEndpoint(Endpoint):
    """Answer whatever no other endpoint answers below our address."""

    def checked(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with a problem, by any method; nobody's session is looked at."""
        hint = "" if request.path.endswith("/") else _("Addresses end with a slash.")
        raise ProblemError(404, " ".join(filter(None, (_("There is nothing at this address."), hint))))


def _described(address: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_FILE.read_text())
    document["servers"] = [{"url": address or "/"}]
    schemes = document["components"]["securitySchemes"]
    schemes["session"]["name"] = settings.SESSION_COOKIE_NAME
    schemes["csrfCookie"]["name"] = settings.CSRF_COOKIE_NAME
    schemes["csrfHeader"]["name"] = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()
    schemes["sessionToken"]["name"] = conf.header
    if conf.header is None:
        del schemes["sessionToken"]
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["security"] = [way for way in operation["security"] if "sessionToken" not in way]
    return document
