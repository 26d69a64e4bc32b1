"""A provider's public keys (JWKS): fetched when they are needed, and kept for five minutes in each process.

A token of a key that is not among them has them fetched once more, since providers change their keys. Whoever sends
tokens decides how often that would be: so it is done every ten seconds at most.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.request import HTTPRedirectHandler, build_opener

from django_srvsession.store import StoreUnavailableError

_KEPT_S: Final = 300
_PAUSE_S: Final = 10
_TIMEOUT_S: Final = 5
_MOST_BYTES: Final = 262_144


class _NoRedirects(HTTPRedirectHandler):
    """Go nowhere but to the address that the site has configured."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing."""


class KeySet:
    """Hold the keys of one address."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._keys: list[dict[str, Any]] = []
        self._fetched = self._tried = -float("inf")
        self._lock = threading.Lock()

    def of(self, kid: str | None) -> Sequence[dict[str, Any]]:
        """Return the keys of this name, or all of them for None; empty where the provider has no such key.

        Raises ``StoreUnavailableError`` where that is not known: the provider does not tell its keys, or was asked
        just now.
        """
        with self._lock:
            if time.monotonic() - self._fetched < _KEPT_S and (found := self._named(kid)):
                return found
            if time.monotonic() - self._tried < _PAUSE_S:
                raise StoreUnavailableError("The keys of the identity provider were asked for just now.")
            was_known = time.monotonic() - self._fetched < _KEPT_S
            before = self._tried
            self._tried = time.monotonic()
            self._keys = _fetched(self._uri)
            self._fetched = time.monotonic()
            if not was_known:
                self._tried = before  # The first token of an unknown key may have them fetched at once.
            return self._named(kid)

    def _named(self, kid: str | None) -> list[dict[str, Any]]:
        usable = [key for key in self._keys if key.get("use", "sig") == "sig"]
        return usable if kid is None else [key for key in usable if key.get("kid") == kid]


_sets: Final[dict[str, KeySet]] = {}


def keys_of(uri: str) -> KeySet:
    """Return the keys at an address, as this process knows them."""
    return _sets.setdefault(uri, KeySet(uri))


def _fetched(uri: str) -> list[dict[str, Any]]:
    try:
        with build_opener(_NoRedirects).open(uri, timeout=_TIMEOUT_S) as answer:
            document = json.loads(answer.read(_MOST_BYTES))
        return [key for key in document["keys"] if isinstance(key, dict)]
    except (OSError, HTTPException, ValueError, TypeError, KeyError, RecursionError) as error:
        text = f"The keys of the identity provider cannot be fetched from {uri}: {error!r}"
        raise StoreUnavailableError(text) from error
