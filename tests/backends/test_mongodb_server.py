"""Where the server of tests differs from MongoDB, pinned: an upgrade that changes one of these shows here.

What the store does to get on with both is in ``backends/mongodb``. These tests are about that server, and run on no
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from tests.mongodb_servers import MongoServer
from tests.runs import ROOT


@pytest.fixture
def collection(mongodb_server: MongoServer) -> Iterator[Collection[dict[str, Any]]]:
    """An empty collection."""
    with mongodb_server.client() as client:
        client.drop_database("deviations")
        yield client["deviations"]["c"]
        client.drop_database("deviations")


def test_it_is_a_program_and_nothing_imports_it() -> None:
    """Its licence is the GPL, and ours is not."""
    sources = [
        path for part in ("django_srvsession", "tests", "example_project") for path in (ROOT / part).rglob("*.py")
    ]
    lines = (line.split() for path in sources for line in path.read_text().splitlines())
    assert not [words for words in lines if words[:1] in (["import"], ["from"]) and words[1].startswith("secantus")]


def matching(collection: Collection[dict[str, Any]], condition: Any) -> list[Any]:
    return [document["_id"] for document in collection.find({"$expr": condition})]


def test_it_is_the_version_that_the_tests_were_written_for(mongodb_server: MongoServer) -> None:
    with mongodb_server.client() as client:
        assert client.admin.command("buildInfo")["secantusVersion"] == "0.7.0b3"


def test_the_clock_compares_rightly_as_a_number_and_wrongly_with_a_stored_date(
    collection: Collection[dict[str, Any]],
) -> None:
    past, ahead = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    numbers = [Int64(moment.timestamp() * 1000) for moment in (past, ahead)]
    collection.insert_many(
        [{"_id": n, "date": d, "ms": ms} for n, (d, ms) in enumerate(zip([past, ahead], numbers, strict=True))]
    )
    assert matching(collection, {"$gt": ["$ms", {"$toLong": "$$NOW"}]}) == [1]
    assert matching(collection, {"$gt": ["$date", "$$NOW"]}) != [1]


def test_the_clock_is_not_known_in_the_projection_of_a_find(collection: Collection[dict[str, Any]]) -> None:
    collection.insert_one({"_id": 1})
    with pytest.raises(OperationFailure):
        list(collection.find({}, {"now": "$$NOW"}))
    assert isinstance(next(collection.aggregate([{"$set": {"now": "$$NOW"}}]))["now"], datetime)


def test_some_stages_and_indexes_are_missing(collection: Collection[dict[str, Any]]) -> None:
    collection.insert_one({"_id": 1, "a.b": 1})
    with pytest.raises(OperationFailure):
        collection.update_one({"_id": 1}, [{"$replaceWith": {"$unsetField": {"field": "a.b", "input": "$$ROOT"}}}])
    with pytest.raises(OperationFailure):
        collection.create_index([("a", "hashed")])


def test_a_document_that_grows_too_large_is_an_error_of_another_code(collection: Collection[dict[str, Any]]) -> None:
    collection.insert_one({"_id": 1, "a": bytes(9_000_000)})
    with pytest.raises(OperationFailure) as caught:
        collection.find_one_and_update({"_id": 1}, [{"$set": {"b": {"$literal": bytes(9_000_000)}}}])
    assert caught.value.code == 1  # MongoDB says 10334.


@pytest.mark.parametrize("code", [6, 91])
def test_a_write_whose_acknowledgement_failed_is_done_once_by_a_retry(
    collection: Collection[dict[str, Any]], mongodb_server: MongoServer, code: int
) -> None:
    """As MongoDB does it, by the number of the write."""
    collection.insert_one({"_id": 1, "n": 0})
    lost = {"failCommands": ["findAndModify"], "writeConcernError": {"code": code, "errmsg": "for the test"}}
    with mongodb_server.client(serverMonitoringMode="poll", heartbeatFrequencyMS=500) as client:
        data = {**lost, "errorLabels": ["RetryableWriteError"]}
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        client["deviations"]["c"].find_one_and_update({"_id": 1}, [{"$set": {"n": {"$add": ["$n", 1]}}}])
    assert (collection.find_one({"_id": 1}) or {})["n"] == 1


def stages(plan: Any) -> list[str]:
    winning = plan["queryPlanner"]["winningPlan"]
    return [winning["stage"], *([winning["inputStage"]["stage"]] if "inputStage" in winning else [])]


@pytest.mark.parametrize(("condition", "used"), [({"$gt": 0}, True), ({"$exists": True}, False)])
def test_a_partial_index_is_used_for_some_conditions_only(
    collection: Collection[dict[str, Any]], condition: Any, used: bool
) -> None:
    """MongoDB uses it for both. Ours say ``{"$gt": 0}``, and so do the queries."""
    collection.insert_many([{"_id": number, "expires": number} for number in range(50)])
    collection.create_index([("expires", 1)], partialFilterExpression={"expires": condition})
    plan = collection.find({"expires": {**condition, "$lte": 3}}).explain()
    assert ("IXSCAN" in stages(plan)) is used


def test_a_pipeline_that_asks_for_the_time_cannot_be_explained(collection: Collection[dict[str, Any]]) -> None:
    """So which indexes the store's lists use is not known from it."""
    collection.insert_one({"_id": 1, "expires": 5})
    pipeline = [{"$match": {"$expr": {"$gt": ["$expires", {"$toLong": "$$NOW"}]}}}]
    with pytest.raises(OperationFailure):
        collection.database.command({"explain": {"aggregate": "c", "pipeline": pipeline, "cursor": {}}})
