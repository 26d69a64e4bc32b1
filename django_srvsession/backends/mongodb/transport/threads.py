"""The way to MongoDB for threads: one client for each process."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import MongoClient, ReadPreference, ReturnDocument, UpdateOne

from django_srvsession.backends.mongodb.configuration import Configuration
from django_srvsession.backends.mongodb.transport import Change, Document, Pipeline, Query
from django_srvsession.backends.mongodb.transport.errors import Answering


class ThreadTransport:
    """Send commands from any thread; no method is ever suspended. A process that was forked has a client of its own."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._clients: dict[int, MongoClient[Document]] = {}
        self._lock = threading.Lock()

    @property
    def client(self) -> MongoClient[Document]:
        """Return this process's client, which connects by itself when it is used."""
        try:
            return self._clients[os.getpid()]
        except KeyError:
            return self._new_client(os.getpid())

    def _new_client(self, pid: int) -> MongoClient[Document]:
        with self._lock:
            if pid not in self._clients:
                client: MongoClient[Document] = MongoClient(connect=False, **self.configuration.client_options)
                # The parent's client stays where it is: to close it would be to talk on the parent's connections.
                self._clients[pid] = client
                weakref.finalize(self, _close, client, pid).atexit = False
            return self._clients[pid]

    @property
    def write_concern(self) -> Mapping[str, Any]:
        """Return with which acknowledgement writes are asked for."""
        return self.client.write_concern.document

    def _collection(self, name: str) -> Any:
        return self.client[self.configuration.name].get_collection(name, read_preference=ReadPreference.PRIMARY)

    def _answering(self) -> Answering:
        return Answering(self.configuration.timeout_s)

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
        """Change one document and return it."""
        which = ReturnDocument.AFTER if returns_new else ReturnDocument.BEFORE
        with self._answering():
            return self._collection(collection).find_one_and_update(  # type: ignore[no-any-return]
                query, pipeline, projection=projection, upsert=upsert, return_document=which
            )

    async def aggregate(self, collection: str, pipeline: Pipeline, most: int) -> list[Document]:
        """Return what a pipeline makes."""
        with self._answering(), self._collection(collection).aggregate(pipeline, batchSize=most + 1) as cursor:
            return list(cursor)

    async def change_one(self, collection: str, query: Query, pipeline: Pipeline, *, upsert: bool = False) -> bool:
        """Change one document, or make it."""
        with self._answering():
            done = self._collection(collection).update_one(query, pipeline, upsert=upsert)
        return done.matched_count == 1 or done.upserted_id is not None

    async def change_each(self, collection: str, changes: Sequence[Change]) -> int:
        """Make each change to one document at most."""
        updates = [UpdateOne(query, pipeline) for query, pipeline in changes]
        with self._answering():
            return int(self._collection(collection).bulk_write(updates, ordered=False).matched_count)

    async def delete(self, collection: str, query: Query) -> int:
        """Delete all documents that match."""
        with self._answering():
            return int(self._collection(collection).delete_many(query).deleted_count)

    async def indexes(self, collection: str) -> list[Document]:
        """Return the indexes of a collection; one that is not there has none."""
        with self._answering(), self._collection(collection).list_indexes() as cursor:
            return [dict(index) for index in cursor]

    async def command(self, command: Document, *, of_server: bool = False) -> Document:
        """Send any other command."""
        with self._answering():
            return self.client["admin" if of_server else self.configuration.name].command(command)

    async def pause(self, seconds: float) -> None:
        """Wait, blocking the thread."""
        time.sleep(seconds)


def _close(client: MongoClient[Document], pid: int) -> None:
    """Close a client whose store is gone; in a thread, for a collector of garbage may come at any moment."""
    if os.getpid() == pid:
        threading.Thread(target=client.close, daemon=True).start()
