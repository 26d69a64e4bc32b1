"""What errors of PyMongo mean."""

from __future__ import annotations

from types import TracebackType
from typing import Final

import pymongo
from bson.errors import BSONError, InvalidDocument
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError

from django_srvsession.backends.mongodb.transport import OvertakenError
from django_srvsession.store import StoreUnavailableError, TooLargeError, waiting

_TOO_LARGE: Final = frozenset({10334, 17280, 17419, 17420})
"""Codes for a document, or an update that would make one, of more than 16 MiB."""


class Answering:
    """Wait no longer than ``waiting`` says, and turn errors of PyMongo into those of stores.

    Texts of the server go nowhere: they may quote what a visitor sent, and those of the client the server's address.
    """

    def __init__(self, timeout_s: float | None) -> None:
        limit_s = waiting.limit()
        bound_s = min(limit_s, timeout_s or limit_s) if limit_s is not None else None
        self._timeout = None if bound_s is None else pymongo.timeout(bound_s)

    def __enter__(self) -> None:
        if self._timeout is not None:
            self._timeout.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timeout is not None:
            self._timeout.__exit__(kind, error, traceback)
        if isinstance(error, PyMongoError):
            raise meaning_of(error) from error
        if isinstance(error, InvalidDocument) and "too large" in str(error):
            raise too_large() from error
        if isinstance(error, BSONError):
            raise ValueError("What was to be stored cannot be written as BSON.") from error


def meaning_of(error: PyMongoError) -> Exception:
    """Return the error of stores that says what one of PyMongo's means."""
    if isinstance(error, DocumentTooLarge) or (isinstance(error, OperationFailure) and error.code in _TOO_LARGE):
        return too_large()
    if isinstance(error, DuplicateKeyError):
        return OvertakenError("Somebody else made it first.")
    if isinstance(error, OperationFailure):
        name = (error.details or {}).get("codeName", "")
        return StoreUnavailableError(f"MongoDB refuses: {error.code} {name}".rstrip() + ".")
    return StoreUnavailableError(f"MongoDB did not do what it was asked: {type(error).__name__}.")


def too_large() -> TooLargeError:
    """Make the error that says that a session does not fit into a document."""
    return TooLargeError("The session is larger than MongoDB takes in one document (16 MiB).")
