"""Clearing: end what is due, along the index of expiries, and forget old tombstones, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from bson import Int64

from django_srvsession.backends.mongodb.format import RECORD_ONLY
from django_srvsession.backends.mongodb.sessions import end_these
from django_srvsession.backends.mongodb.transport import SESSIONS, USERS, Document, Pipeline, Transport
from django_srvsession.records import EXPIRED, SessionRecord
from django_srvsession.store.face import run_blocking

_BY_EXPIRY: Final = {"expires": 1, "_id": 1}


class Clearing:
    """Go along the expiries up to the server's time, which is asked once; each session is ended by one clearer.

    A batch costs two commands, and one more where another clearer, or a user, was faster somewhere in it.
    """

    def __init__(self, to: Transport, batch_size: int) -> None:
        self._to = to
        self._size = batch_size
        self._now: datetime = run_blocking(to.command({"hello": 1}, of_server=True))["localTime"]
        self._until = {"$gt": 0, "$lte": Int64(self._now.replace(tzinfo=UTC).timestamp() * 1000)}

    def count(self) -> int:
        """Return how many sessions are due."""
        pipeline: Pipeline = [{"$match": {"expires": self._until}}, {"$count": "count"}]
        found = run_blocking(self._to.aggregate(SESSIONS, pipeline, 1))
        return int(found[0]["count"]) if found else 0

    def batches(self) -> Iterator[list[SessionRecord]]:
        """End what is due; yield the records of each batch, without damaged ones."""
        behind: Document = {}
        while True:
            due: Pipeline = [
                {"$match": {"expires": self._until, **behind}},
                {"$sort": _BY_EXPIRY},
                {"$limit": self._size},
            ]
            found = run_blocking(self._to.aggregate(SESSIONS, [*due, {"$project": RECORD_ONLY}], self._size))
            yield run_blocking(end_these(self._to, found, EXPIRED)) if found else []
            if len(found) < self._size:
                return
            # What was passed is not looked at again: somebody has extended it.
            last = found[-1]
            is_later = {"expires": {"$gt": last["expires"]}}
            behind = {"$or": [is_later, {"expires": last["expires"], "_id": {"$gt": last["_id"]}}]}

    def forget(self) -> int:
        """Delete old tombstones, and notes on users; return how many tombstones. MongoDB does so by itself, too."""
        self._delete(USERS)
        return self._delete(SESSIONS)

    def _delete(self, collection: str) -> int:
        total, is_old = 0, {"gone": {"$lte": self._now}}
        stages: Pipeline = [{"$match": is_old}, {"$limit": self._size}, {"$project": {"_id": 1}}]
        while found := run_blocking(self._to.aggregate(collection, stages, self._size)):
            ids = [one["_id"] for one in found]
            total += run_blocking(self._to.delete(collection, {"_id": {"$in": ids}, **is_old}))
        return total
