"""The interface of stores, its errors, and what the author of a store uses.

``interface`` is the contract, ``errors`` says what a store raises. ``rules`` and ``framing`` are for stores that keep
a session whole, ``listings`` and ``user_records`` for their lists, ``health`` for what an operator is told, ``clock``,
``waiting`` and ``loops`` for servers.
"""

from __future__ import annotations

from django_srvsession.store.errors import (
    BUSY,
    GONE,
    LAST_FORMAT,
    TAKEN,
    ConflictError,
    CorruptSessionError,
    CreateError,
    LaterFormatError,
    LimitReachedError,
    StoreUnavailableError,
    TooLargeError,
    UpdateError,
)
from django_srvsession.store.interface import Store, created_and_sid

__all__ = [
    "BUSY",
    "GONE",
    "LAST_FORMAT",
    "TAKEN",
    "ConflictError",
    "CorruptSessionError",
    "CreateError",
    "LaterFormatError",
    "LimitReachedError",
    "Store",
    "StoreUnavailableError",
    "TooLargeError",
    "UpdateError",
    "created_and_sid",
]
