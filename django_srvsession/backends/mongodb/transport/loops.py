"""The way to MongoDB for event loops: one client for each long-lived loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, UpdateOne

from django_srvsession.backends.mongodb.configuration import Configuration
from django_srvsession.backends.mongodb.transport import Change, Document, Pipeline, Query
from django_srvsession.backends.mongodb.transport.errors import Answering


class LoopTransport:
    """Send commands from one event loop."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(connect=False, **configuration.client_options)

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
            return await self._collection(collection).find_one_and_update(  # type: ignore[no-any-return]
                query, pipeline, projection=projection, upsert=upsert, return_document=which
            )

    async def aggregate(self, collection: str, pipeline: Pipeline, most: int) -> list[Document]:
        """Return what a pipeline makes."""
        with self._answering():
            async with await self._collection(collection).aggregate(pipeline, batchSize=most + 1) as cursor:
                return await cursor.to_list()  # type: ignore[no-any-return]

    async def change_one(self, collection: str, query: Query, pipeline: Pipeline, *, upsert: bool = False) -> bool:
        """Change one document, or make it."""
        with self._answering():
            done = await self._collection(collection).update_one(query, pipeline, upsert=upsert)
        return done.matched_count == 1 or done.upserted_id is not None

    async def change_each(self, collection: str, changes: Sequence[Change]) -> int:
        """Make each change to one document at most."""
        updates = [UpdateOne(query, pipeline) for query, pipeline in changes]
        with self._answering():
            return int((await self._collection(collection).bulk_write(updates, ordered=False)).matched_count)

    async def delete(self, collection: str, query: Query) -> int:
        """Delete all documents that match."""
        with self._answering():
            return int((await self._collection(collection).delete_many(query)).deleted_count)

    async def indexes(self, collection: str) -> list[Document]:
        """Return the indexes of a collection; one that is not there has none."""
        with self._answering():
            async with await self._collection(collection).list_indexes() as cursor:
                return [dict(index) async for index in cursor]

    async def command(self, command: Document, *, of_server: bool = False) -> Document:
        """Send any other command."""
        with self._answering():
            return await self.client["admin" if of_server else self.configuration.name].command(command)

    async def pause(self, seconds: float) -> None:
        """Wait, leaving the loop to others."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()
