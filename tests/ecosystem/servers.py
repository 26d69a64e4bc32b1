"""The servers that a run needs, private ones, told to it by its environment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.servers import DatabaseServer, MariaDBServer, PostgreSQLServer, RedisServer, Server

KINDS: dict[str, type[Server]] = {"postgresql": PostgreSQLServer, "mariadb": MariaDBServer, "redis": RedisServer}


@contextlib.contextmanager
def started(kinds: Sequence[str]) -> Iterator[dict[str, str]]:
    """Start these servers, each new and empty, and return the environment that says where they are."""
    running = [(kind, KINDS[kind]()) for kind in kinds]
    try:
        for _, server in running:
            server.start()
        yield {f"SRVSESSION_ECOSYSTEM_{kind.upper()}": json.dumps(_told(server)) for kind, server in running}
    finally:
        for _, server in running:
            if server.job:
                server.kill()


def _told(server: Server) -> dict[str, Any]:
    if isinstance(server, RedisServer):
        return {"URL": server.url}
    assert isinstance(server, DatabaseServer)
    server.create_database("site")
    entry = server.database_settings("site")
    return {name: str(entry[name]) for name in ("HOST", "PORT", "USER", "NAME")}
