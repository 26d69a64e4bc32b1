"""Problem details (RFC 9457): what the API answers instead of what was asked for.

``type`` says which problem it is, for programs: ``about:blank`` where the status says it all. ``title`` and ``detail``
are for people, in their language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.http import JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_srvsession.accounts.authentication_methods import Way

CONTENT_TYPE: Final = "application/problem+json"
CSRF: Final = "urn:srvsession:problem:csrf"
INVALID: Final = "urn:srvsession:problem:invalid"
PROOF_REQUIRED: Final = "urn:srvsession:problem:proof-required"
TOO_MANY_SESSIONS: Final = "urn:srvsession:problem:too-many-sessions"
WRONG_CREDENTIALS: Final = "urn:srvsession:problem:wrong-credentials"

Text = str | Promise

_TITLES: Final[Mapping[int, Text]] = {
    400: _("Bad request"),
    401: _("Not signed in"),
    403: _("Forbidden"),
    404: _("Not found"),
    405: _("Method not allowed"),
    413: _("Content too large"),
    415: _("Unsupported media type"),
}


class ProblemError(Exception):
    """Leave an endpoint with a problem for an answer.

    ``members`` are the problem's own, beside those that every problem has.
    """

    def __init__(
        self,
        status: int,
        detail: Text,
        *,
        kind: str = "about:blank",
        title: Text = "",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.document = {
            "type": kind,
            "title": str(title or _TITLES[status]),
            "status": status,
            "detail": str(detail),
            **members,
        }

    def response(self) -> JsonResponse:
        """Return the problem as an answer."""
        return JsonResponse(self.document, status=self.status, headers=self.headers, content_type=CONTENT_TYPE)


def bad_request(detail: Text) -> ProblemError:
    """Return the problem of a request that is not what HTTP or JSON say."""
    return ProblemError(400, detail)


def not_signed_in(ended: Mapping[str, str] | None = None) -> ProblemError:
    """Return the problem of a visitor, with the challenge that RFC 9110 wants of a 401; no browser acts on this one.

    ``ended`` says what became of their session, if that is known.
    """
    members: dict[str, Any] = {} if ended is None else {"ended": ended}
    return ProblemError(401, _("Sign in first."), headers={"WWW-Authenticate": 'Cookie realm="session"'}, **members)


def proof_required(way: Way | None) -> ProblemError:
    """Return the problem that asks for a proof, and says by which way it is given."""
    assert way is not None  # noqa: S101 - who has no way is asked for none.
    page = way.page()
    members: dict[str, Any] = {} if page is None else {"confirm_url": page}
    title = _("Confirm it's you")
    return ProblemError(403, way.advice, kind=PROOF_REQUIRED, title=title, confirm_by=way.name, **members)


def not_found() -> ProblemError:
    """Return the one problem of a session that is somebody else's, has ended, or never was."""
    return ProblemError(404, _("You have no such session."))


def invalid(errors: Sequence[Mapping[str, str]]) -> ProblemError:
    """Return the problem of members or parameters that are not accepted; made by :func:`error_at`."""
    title = _("Invalid values")
    return ProblemError(422, _("See the errors."), kind=INVALID, title=title, errors=list(errors))


def error_at(pointer: str, detail: Text, code: str) -> dict[str, str]:
    """Return one error: where it is (a JSON Pointer as URI fragment, or ``?name``), its text, and its stable code."""
    return {"pointer": pointer, "detail": str(detail), "code": code}
