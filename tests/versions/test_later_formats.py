"""A session that a later version has stored in a format of its own: here it opens for nobody, and there it goes on.

A version stores nothing that the one before it cannot read. This is about who goes back by two versions at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, router
from django_redis import get_redis_connection

from django_srvsession.backends.redis.keys import Keys
from django_srvsession.engine import current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.models import Session
from django_srvsession.records import Delta, Loaded
from django_srvsession.store import LaterFormatError
from django_srvsession.store.framing import frame, unframe
from tests.engine.pages import Browser, deletes_cookie, login, make_user, put, read, set_cookie
from tests.every_store import OTHERS, every_store_fixture  # noqa: F401 - used as a fixture

MEMORY, REDIS = OTHERS[:2]

Change = Callable[[bytes], bytes]


def exchange_in_redis(key: SessionKey, change: Change, settings: Any) -> None:
    """Exchange the first byte of the string."""
    redis, name = get_redis_connection("sessions"), Keys(settings.SRVSESSION_REDIS_PREFIX).session(key.sid)
    redis.set(name, change(redis.get(name)), keepttl=True)


def exchange_in_row(key: SessionKey, change: Change, settings: Any) -> None:
    """Exchange the first byte of the values' run."""
    row = Session.objects.using(router.db_for_write(Session)).get(sid=key.sid)
    with connections[router.db_for_write(Session)].cursor() as cursor:
        cursor.execute("UPDATE srvsession_session SET data = %s WHERE sid = %s", [change(bytes(row.data)), key.sid])


def exchange_in_seal(key: SessionKey, change: Change, settings: Any) -> None:
    """Exchange the first byte of the record's seal."""
    found = current_store().load(key.sid)
    assert isinstance(found, Loaded)
    changed = {"_srvsession_record": change(found.values["_srvsession_record"])}
    current_store().update(key.sid, key.verifier, Delta(changed=changed, extend=False))


@pytest.mark.parametrize(
    ("every_store", "exchange"),
    [
        (REDIS.values[0], exchange_in_redis),
        ("sqlite", exchange_in_row),
        (MEMORY.values[0], exchange_in_seal),
    ],
    indirect=["every_store"],
)
@pytest.mark.django_db(transaction=True)
def test_it_reads_as_empty_and_nothing_of_it_is_lost(
    every_store: str, settings: Any, exchange: Callable[..., None]
) -> None:
    settings.ROOT_URLCONF = "tests.engine.pages"
    ann, browser = make_user("ann"), Browser()
    browser.visit(login(ann))
    browser.visit(put(a=1))
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    before = browser.cookie
    first: list[bytes] = []

    def later(data: bytes) -> bytes:
        first.append(data[:1])
        return b"\x09" + data[1:]

    exchange(key, later, settings)
    for view in (read, put(b=2)):
        response = browser.visit(view)
        assert response.status_code == 200
        assert set_cookie(response) is None
        assert not deletes_cookie(response)
        assert browser.user() == ""
    other = browser.copy()
    other.visit(login(ann))
    assert other.cookie != before
    assert other.user() == "ann"
    exchange(key, lambda data: first[0] + data[1:], settings)
    assert browser.cookie == before
    contents = browser.show(read)
    assert contents["a"] == 1
    assert "b" not in contents
    assert browser.user() == "ann"


def test_a_short_name_of_a_later_version_is_no_damage() -> None:
    run = frame({"_srvsession_record": b"sealed"})
    assert run.count(b"\x04") == 1
    with pytest.raises(LaterFormatError):
        unframe(run.replace(b"\x04", b"\x1f"))
