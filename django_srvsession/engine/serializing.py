"""How values become bytes: what ``SESSION_SERIALIZER`` names, and a fence around the one encoder that we reach into.

``json.encoder`` makes its C encoder anew for each value. Here it is made once, by a name that Python does not document:
``tests/test_seal.py`` tells when an upgrade has changed it, and without it all goes the documented way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from django.contrib.sessions.serializers import JSONSerializer

DEEPEST: Final = 200
"""How many lists and dicts JSON may have inside of each other: Python reads no more than its stack has room for."""
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Serializer(Protocol):
    """Describe what ``SESSION_SERIALIZER`` names."""

    def dumps(self, obj: Any) -> bytes:
        """Serialize a value."""

    def loads(self, data: bytes) -> Any:
        """Restore a value."""


class SameAsDjangos:
    """Do what Django's ``JSONSerializer`` does, to the byte, without making an encoder for each value."""

    _decode = staticmethod(json.JSONDecoder().raw_decode)

    def __init__(self) -> None:
        encoder = json.JSONEncoder(separators=(",", ":"))
        self._encode = encoder.encode
        self._text = text = json.encoder.encode_basestring_ascii
        # What that encoder calls, in C, where there is such a thing; in the mapping it notes what it is inside of.
        self._make: Callable[..., Any] | None = getattr(json.encoder, "c_make_encoder", None)
        self._options = encoder.default, text, None, ":", ",", encoder.sort_keys, encoder.skipkeys, encoder.allow_nan

    def dumps(self, obj: Any) -> bytes:
        """Serialize a value."""
        return self.encoder()(obj)

    def encoder(self) -> Callable[[Any], bytes]:
        """Return what serializes values, in this thread, until it raises: then it may take other values for circles."""
        if self._make is None:
            return lambda obj: self._encode(obj).encode("ascii")
        text, chunks = self._text, self._make({}, *self._options)

        def encode(obj: Any) -> bytes:
            return (text(obj) if type(obj) is str else "".join(chunks(obj, 0))).encode("ascii")

        return encode

    def loads(self, data: bytes) -> Any:
        """Restore a value."""
        text = data.decode("latin-1")
        value, end = self._decode(text)
        return value if end == len(text) else JSONSerializer().loads(data)


_JSON: Final = SameAsDjangos()


def as_fast(serializer: Serializer) -> Serializer:
    """Return what does the same as a serializer, in less time where it is Django's for JSON."""
    return _JSON if type(serializer) is JSONSerializer else serializer


def is_too_deep(json_text: bytes) -> bool:
    """Tell whether JSON is nested too deep; cheap for what is only long."""
    if json_text.count(b"[") + json_text.count(b"{") <= DEEPEST:
        return False
    brackets = _TEXT.sub(b"", json_text).translate(None, _NO_BRACKETS)
    for _ in range(DEEPEST):  # Each round takes off the innermost ones.
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True
