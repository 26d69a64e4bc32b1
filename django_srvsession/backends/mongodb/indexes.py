"""The indexes of the two collections: made by a command, named by a check, never made in a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django_srvsession.backends.mongodb.pipelines import STORED
from django_srvsession.backends.mongodb.transport import SESSIONS, USERS, Document, Transport

_SORTED: Final = {"seen": -1, "_id": -1}


class Index(NamedTuple):
    """Hold an index: where, by which fields, and with which options."""

    collection: str
    name: str
    key: Mapping[str, int]
    options: Mapping[str, Any]

    @property
    def full_name(self) -> str:
        """Return what it is called, with its collection."""
        return f"{self.collection}.{self.name}"

    @property
    def specification(self) -> Document:
        """Return what the command ``createIndexes`` takes."""
        return {"name": self.name, "key": dict(self.key), **self.options}

    def is_as(self, stands: Document) -> bool:
        """Tell whether an index that stands does what this one should."""
        same_options = all(stands.get(name) == value for name, value in self.options.items())
        return list(stands["key"].items()) == list(self.key.items()) and same_options


_OF_SESSIONS: Final = {"partialFilterExpression": dict(STORED)}
_AT_ONCE: Final = {"expireAfterSeconds": 0}

INDEXES: Final = (
    Index(SESSIONS, "srvsession_user", {"user_id": 1, **_SORTED}, _OF_SESSIONS),
    Index(SESSIONS, "srvsession_seen", _SORTED, _OF_SESSIONS),
    Index(SESSIONS, "srvsession_due", {"expires": 1}, _OF_SESSIONS),
    Index(SESSIONS, "srvsession_gone", {"gone": 1}, _AT_ONCE),
    Index(USERS, "srvsession_gone", {"gone": 1}, _AT_ONCE),
)


async def missing(to: Transport) -> list[Index]:
    """Return which indexes are not there, or are there with other options."""
    stands = {name: await to.indexes(name) for name in (SESSIONS, USERS)}
    return [index for index in INDEXES if not any(map(index.is_as, stands[index.collection]))]


async def create(to: Transport, wanted: list[Index]) -> None:
    """Make indexes; MongoDB lets reads and writes go on meanwhile."""
    for name in (SESSIONS, USERS):
        specifications = [index.specification for index in wanted if index.collection == name]
        if specifications:
            await to.command({"createIndexes": name, "indexes": specifications})
