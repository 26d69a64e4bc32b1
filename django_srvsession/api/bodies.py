"""What comes in: a small JSON object with known members. Anything else is a problem, never an error of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_srvsession.api.problems import ProblemError, bad_request, error_at, invalid

MAX_BODY_BYTES: Final = 65_536

Kinds = Mapping[str, type[str] | type[bool]]


@sensitive_variables()
def read_body(request: HttpRequest) -> bytes:
    """Return a request's body, or nothing; reads no more than the bound, whatever length is declared.

    Raises a problem when the body is too long, or is not declared as JSON.
    """
    limit = min(MAX_BODY_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE or MAX_BODY_BYTES)
    try:
        body = request.read(limit + 1)
    except UnreadablePostError:
        raise bad_request(_("The body did not arrive.")) from None
    # Only with a body: wsgiref, and so runserver, makes up a type where there is none.
    if body and request.content_type != "application/json":
        headers = {"Accept": "application/json"}
        raise ProblemError(415, _("Send the body as application/json."), headers=headers)
    if len(body) > limit:
        raise ProblemError(413, _("The body may have %(limit)d bytes at most.") % {"limit": limit})
    return body


@sensitive_variables()
def parse_members(body: bytes, kinds: Kinds) -> dict[str, Any]:
    """Return the members of the JSON object in a body, each of its kind; no body is an object without members.

    Raises a problem for what is no JSON object, and for members that are unknown or of another kind: a misspelt member
    must not be passed over in silence.
    """
    members = _parse_object(body) if body else {}
    if errors := [error for name, value in members.items() for error in _errors_of(name, value, kinds)]:
        raise invalid(errors)
    return members


@sensitive_variables()
def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        # A lone surrogate is no text: nothing could hash it, store it or send it back.
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise bad_request(_("The body is not valid JSON.")) from None
    if not isinstance(parsed, dict):
        raise bad_request(_("The body must be a JSON object."))
    return parsed


@sensitive_variables()
def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; two of one name would mean something else to another parser on the way."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@sensitive_variables()
def _errors_of(name: str, value: Any, kinds: Kinds) -> list[dict[str, str]]:
    if name not in kinds:
        return [error_at(pointer_to(name), _("There is no such member."), "unknown")]
    if not isinstance(value, kinds[name]):
        texts = {str: _("This must be a string."), bool: _("This must be true or false.")}
        return [error_at(pointer_to(name), texts[kinds[name]], "wrong_type")]
    return []


def pointer_to(name: str) -> str:
    """Return the JSON Pointer to a member, as a URI fragment (RFC 6901)."""
    return "#/" + quote(name.replace("~", "~0").replace("/", "~1"), safe="~")
