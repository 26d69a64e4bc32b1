"""What a store raises, and what is, and is not, known after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from django.contrib.sessions.backends.base import CreateError, UpdateError

if TYPE_CHECKING:
    from django_srvsession.records import SessionRecord

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
    "StoreUnavailableError",
    "TooLargeError",
    "UpdateError",
]

BUSY: Final = "Other requests kept changing the session; nothing was written."
GONE: Final = "The session has ended, or its key was replaced: nothing was stored."
"""What an ``UpdateError`` says where nothing more is known."""
TAKEN: Final = "There is, or was, a session of this name."
"""What a ``CreateError`` says."""


class StoreUnavailableError(Exception):
    """Report that the store did not answer, or not in time.

    What is not known after it: whether a write that was sent took effect. A session is never "gone" because of it.
    ``ended`` holds the records of sessions of which it *is* known that this very call has ended them.
    """

    ended: Sequence[SessionRecord] = ()


class ConflictError(Exception):
    """Report that ``Delta.expected`` did not hold; nothing was written.

    ``current`` maps each name that differed to the sealed bytes that stand now (None: absent).
    """

    def __init__(self, current: Mapping[str, bytes | None]) -> None:
        super().__init__("Another request changed the session first.")
        self.current = current


class CorruptSessionError(UpdateError):
    """Report that what stands under a sid is not a session of ours (wrong type, damaged, or from a newer version).

    A write may report it, too: then nothing was written, as with any ``UpdateError``. Damaged is also what cannot be
    shown or computed with (``records.is_sound``): an instant after the year 9999, a verifier that cannot be compared.
    """


class LaterFormatError(CorruptSessionError):
    """Report a session that a later version of this package has stored in a format that is not known here.

    It is neither damaged nor gone: a server of that version opens it. So it stays as it is, and so does its key.
    """


LAST_FORMAT: Final = 31
"""Formats are numbered up to here; a byte above, where one stands, is damage."""


class LimitReachedError(Exception):
    """Report that a user has as many sessions as allowed, under the policy "refuse"; nothing was changed."""


class TooLargeError(ValueError):
    """Report that a value, or a whole session, is larger, or nested deeper, than can be kept.

    Nothing was written, and no retry helps.
    """
