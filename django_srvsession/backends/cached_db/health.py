"""What an operator should know of the Redis in front of a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django_srvsession.backends.cached_db.transport import CacheTransport
from django_srvsession.backends.redis.health import RedisExam, memory, version
from django_srvsession.backends.redis.transport.replies import checked_index, parse_info
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.health import Finding, Level

_OUT: Final = (
    "The database serves alone, more slowly. Who signs out gets 503 until Redis answers: the session has ended, but a "
    "copy may open until its check is due."
)


def findings(to: CacheTransport) -> Iterator[Finding]:
    """Yield what there is to say; Redis may be out."""
    try:
        yield from _of_server(to)
    except StoreUnavailableError as error:
        yield Finding(Level.ERROR, "cache", f"Redis does not answer: {error}", _OUT)


def _of_server(to: CacheTransport) -> Iterator[Finding]:
    reply, run = to.exchange([("INFO",)])
    if run is None:
        text = "Redis does not tell by INFO whether it is the same as before: no copies are made."
        yield Finding(Level.ERROR, "cache", text, "Permit the user of the cache alias INFO.")
        return
    yield Finding(Level.OK, "cache", "Redis answers reads of sessions.")
    yield from RedisExam(lambda command: to.exchange([command])[0]).distance()
    info = parse_info(checked_index(reply))
    yield version(info)
    yield from memory(info)
    if info.get("role", "master") != "master":
        advice = "Point CACHES at the primary: a replica refuses what has to be told of ends."
        yield Finding(Level.ERROR, "replication", "The Redis in front of the database is a replica.", advice)
