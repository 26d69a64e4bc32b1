"""What each store keeps of some sessions, byte for byte: taken down by one version, put back and read by later ones."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import connections, router
from django.db.models import BooleanField

from django_srvsession.backends.redis import RedisStore
from django_srvsession.engine import current_store
from django_srvsession.models import Session
from django_srvsession.records import Client, Loaded, SessionRecord

DIRECTORY = Path(__file__).parent / "stored"
DATABASES = ("sqlite", "postgresql", "mariadb")


def part_of(kind: str) -> str:
    """Return which part of a file is for a store: databases share theirs."""
    return "db" if kind in (*DATABASES, "cached_db") else kind


def as_text(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    return value


def as_value(text: Any) -> Any:
    """Return the value that :func:`as_text` was given."""
    return base64.b64decode(text["bytes"]) if isinstance(text, dict) and text.keys() == {"bytes"} else text


def loaded_of(kept: dict[str, Any]) -> Loaded:
    """Return a session out of its parts."""
    fields = {name: as_value(value) for name, value in kept["record"].items()}
    record = SessionRecord(**{**fields, "client": Client(*fields["client"])})
    return Loaded(record, {name: as_value(value) for name, value in kept["values"].items()}, record.last_seen_ms)


# Databases.


def _take_rows() -> Any:
    connection = connections[router.db_for_write(Session)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Session._meta.db_table} ORDER BY sid")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, map(as_text, row), strict=True)) for row in cursor.fetchall()]


def _put_rows(rows: Any) -> None:
    connection = connections[router.db_for_write(Session)]
    flags = {field.attname for field in Session._meta.concrete_fields if isinstance(field, BooleanField)}
    for row in rows:
        values = {name: as_value(value) for name, value in row.items()}
        values = {name: bool(value) if name in flags else value for name, value in values.items()}
        columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
        with connection.cursor() as cursor:
            sql = f"INSERT INTO {Session._meta.db_table} ({columns}) VALUES ({places})"
            cursor.execute(sql, list(values.values()))


# Redis.


def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.CACHES[settings.SESSION_CACHE_ALIAS]["LOCATION"])


def _head() -> str:
    """Return what stands before the name of a key of ours."""
    store = current_store()
    assert isinstance(store, RedisStore)
    key = store._tenant().keys.session("0" * 18)
    text = key.decode() if isinstance(key, bytes) else key
    prefix = str(settings.SRVSESSION_REDIS_PREFIX)
    return text[: text.index(prefix) + len(prefix)]


def _take_keys() -> Any:
    client, head, taken = _client(), _head(), {}
    for key in sorted(client.scan_iter(f"{head}*")):
        name = key.decode().removeprefix(head)
        if client.type(key) == b"string":
            taken[name] = as_text(client.get(key))
        elif client.type(key) == b"zset":
            taken[name] = [[member.decode(), score] for member, score in client.zrange(key, 0, -1, withscores=True)]
    return taken


def _put_keys(keys: Any) -> None:
    client, head = _client(), _head()
    for name, value in keys.items():
        if isinstance(value, list):
            client.zadd(head + name, dict(value))
        else:
            client.set(head + name, as_value(value))


# Files.


def _take_files() -> Any:
    root = Path(settings.SESSION_FILE_PATH)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): [as_text(path.read_bytes()), path.stat().st_mtime] for path in files}


def _put_files(files: Any) -> None:
    root = Path(settings.SESSION_FILE_PATH)
    for name, (text, changed_s) in files.items():
        path = root / name
        for directory in reversed([path.parent, *path.parent.parents]):
            if root in directory.parents:
                directory.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(as_value(text))
        path.chmod(0o600)
        os.utime(path, (changed_s, changed_s))


# MongoDB.


def _take_documents() -> Any:
    import bson

    from tests.mongodb_servers import SESSIONS, own_database

    with own_database() as database:
        return [as_text(bson.encode(one)) for one in database[SESSIONS].find().sort("_id", 1)]


def _put_documents(documents: Any) -> None:
    import bson

    from tests.mongodb_servers import SESSIONS, own_database

    with own_database() as database:
        database[SESSIONS].insert_many([bson.decode(as_value(one)) for one in documents])


# Memory keeps nothing for another process: there a session is what the engine has made of it.


def _take_nothing() -> Any:
    return None


def _put_again(nothing: Any) -> None:
    return None


TAKE: dict[str, Callable[[], Any]] = {
    "db": _take_rows,
    "redis": _take_keys,
    "file": _take_files,
    "mongodb": _take_documents,
    "memory": _take_nothing,
}
PUT: dict[str, Callable[[Any], None]] = {
    "db": _put_rows,
    "redis": _put_keys,
    "file": _put_files,
    "mongodb": _put_documents,
    "memory": _put_again,
}


def read(path: Path) -> dict[str, Any]:
    """Return what a file holds."""
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def write(path: Path, kept: dict[str, Any]) -> None:
    """Write a file, so that a change shows line by line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
