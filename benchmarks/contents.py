"""What the measured sessions hold: a shop's cart, things looked at, a draft, and who is signed in."""

from __future__ import annotations

import json
import random
import string
from typing import Any

USER_ID = "4711"
AUTH = {
    "_auth_user_id": USER_ID,
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "3f6d0a1c9be2457788aa" * 3 + "beef",
}

_random = random.Random(20)


def anonymous(size_bytes: int) -> dict[str, Any]:
    """Make the contents of a visitor's session, about so many bytes of JSON, in five keys."""
    contents: dict[str, Any] = {"language": "en", "cart": {}, "seen": [], "draft": ""}
    contents["_csrftoken"] = _word(32)
    while _size(contents) < size_bytes * 0.8:
        contents["cart"][_word(8)] = {"title": f"{_word(9)} {_word(5)}", "quantity": 2, "cents": 1995}
        contents["seen"].append(_random.randrange(10**6))
    while _size(contents) < size_bytes:
        contents["draft"] += f"{_word(7)} "
    return contents


def signed_in(size_bytes: int, user_id: str = USER_ID) -> dict[str, Any]:
    """Make the contents of a signed-in user's session, about so many bytes of JSON, in eight keys."""
    return AUTH | {"_auth_user_id": user_id} | anonymous(size_bytes - _size(AUTH))


def _word(length: int) -> str:
    return "".join(_random.choices(string.ascii_lowercase, k=length))


def _size(contents: dict[str, Any]) -> int:
    return len(json.dumps(contents, separators=(",", ":")))
