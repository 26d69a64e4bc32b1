"""The ways to MongoDB: one command each, for threads and for event loops.

A procedure of the store is one ``async def`` over a :class:`Transport`. Where a thread may block, its methods wait for
the server and are never suspended, so ``run_blocking`` brings the procedure to its end in one go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

Document = dict[str, Any]
Query = Mapping[str, Any]
Pipeline = Sequence[Mapping[str, Any]]
Change = tuple[Query, Pipeline]
"""Which document is to be changed, and how."""

SESSIONS: Final = "srvsession_mongodb"
"""The collection of sessions and tombstones. (django-mongodb-backend has ``srvsession_session`` for the model.)"""
USERS: Final = "srvsession_mongodb_user"
"""The collection of what :meth:`Store.admit` notes of a user, for some minutes."""


class OvertakenError(Exception):
    """Report that somebody else has made the document that an upsert was about to make; nothing was written."""


class Transport(Protocol):
    """Send commands to the primary, within the time-out of the settings and of ``waiting``.

    Each method raises :class:`StoreUnavailableError` where the server did not do what it was asked, or did not say so:
    whether a write was done is not known then. A document that is too large is a :class:`TooLargeError`, and one that
    somebody else has just made an :class:`OvertakenError`.
    """

    async def find_and_change(
        self,
        collection: str,
        query: Query,
        pipeline: Pipeline,
        *,
        projection: Mapping[str, Any] | None = None,
        upsert: bool = False,
        returns_new: bool = True,
    ) -> Document | None:
        """Change one document and return it, as it is then or as it was; None: no document matches."""
        ...

    async def aggregate(self, collection: str, pipeline: Pipeline, most: int) -> list[Document]:
        """Return what a pipeline makes, ``most`` documents at most, which come in one reply."""
        ...

    async def change_one(self, collection: str, query: Query, pipeline: Pipeline, *, upsert: bool = False) -> bool:
        """Change one document, or make it; tell whether that was done."""
        ...

    async def change_each(self, collection: str, changes: Sequence[Change]) -> int:
        """Make each change to one document at most, in no order; return how many documents matched."""
        ...

    async def delete(self, collection: str, query: Query) -> int:
        """Delete all documents that match; return how many those were."""
        ...

    async def indexes(self, collection: str) -> list[Document]:
        """Return the indexes of a collection; one that is not there has none."""
        ...

    async def command(self, command: Document, *, of_server: bool = False) -> Document:
        """Send any other command, to the database of sessions or to the server; return the reply."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait before another try."""
        ...
