"""Django's sessions in a cache on Redis: when they expire, an outage, and the command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.utils import timezone

from django_srvsession import services
from tests.engine.other_engine import OtherEngine, other
from tests.engine.pages import put, read, set_cookie
from tests.servers import RedisServer

__all__ = ["other"]

pytestmark = [
    pytest.mark.parametrize("other", ["cache"], indirect=True),
    pytest.mark.usefixtures("redis_alias"),
]


def test_a_session_expires_when_the_cache_would_have_dropped_it(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    cache = caches["sessions"]
    key = other.session_store(browser.cookie).cache_key
    cache.touch(key, 600)
    assert browser.user() == "ann"
    (record,) = services.sessions_of(ann)
    assert timedelta(minutes=9) < record.expires_at - timezone.now() <= timedelta(minutes=10)
    assert cache.get(key) is None


def test_a_cache_that_is_out_is_an_outage_and_no_empty_session(other: OtherEngine, redis_server: RedisServer) -> None:
    browser = other.browser(put(a=1))
    key = browser.cookie
    redis_server.kill()
    try:
        response = browser.visit(read)
    finally:
        redis_server.ensure()
    assert response.status_code == 503
    assert set_cookie(response) is None
    assert browser.cookie == key


def test_it_is_one_in_the_first_step_of_a_move_too(
    other: OtherEngine, redis_server: RedisServer, settings: Any
) -> None:
    browser = other.browser(put(a=1))
    key = browser.cookie
    settings.SRVSESSION_MIGRATE_TO, settings.SRVSESSION_MIGRATE_FROM = settings.SESSION_ENGINE, None
    settings.SESSION_ENGINE = other.path
    redis_server.kill()
    try:
        response = browser.visit(read)
    finally:
        redis_server.ensure()
    assert response.status_code == 503
    assert set_cookie(response) is None
    assert browser.cookie == key


def test_the_command_goes_through_the_cache(other: OtherEngine) -> None:
    browsers = [other.browser(put(number=number)) for number in range(3)]
    call_command("migratesessions_srv", "--from", other.path, verbosity=0)
    assert len(services.live_sessions()) == 3
    assert [browser.show(read)["number"] for browser in browsers] == [0, 1, 2]
