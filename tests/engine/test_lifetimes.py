"""How long sessions live: Django's settings and ``set_expiry()``, our limits, and what counts as use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from django.utils import timezone

from django_srvsession import services
from django_srvsession.engine import lifetimes
from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import LATEST_MS, UNSET, Delta, SessionRecord
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, View, login, logout, put, read, set_cookie, untouched
from tests.engine.watched import WatchedStore

HOUR = 3600


class Clock:
    """Move the memory store's clock, which only it reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from django_srvsession.backends import memory

        self._now = memory.now_ms
        self.ahead_ms = 0
        monkeypatch.setattr(memory, "now_ms", lambda: self._now() + self.ahead_ms)

    def advance(self, **duration: float) -> None:
        """Let time pass."""
        self.ahead_ms += int(timedelta(**duration).total_seconds() * 1000)

    def now_ms(self) -> int:
        return self._now() + self.ahead_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def record_of(browser: Browser, store: WatchedStore) -> SessionRecord:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return store.inner.load(key.sid).record  # type: ignore[union-attr, no-any-return]


def left(browser: Browser, store: WatchedStore, clock: Clock) -> float:
    """Return the seconds until the browser's session ends by itself."""
    return round((record_of(browser, store).expires_ms - clock.now_ms()) / 1000)


def set_expiry(value: Any) -> View:
    def page(request: HttpRequest) -> None:
        request.session.set_expiry(value)

    return page


def soon(seconds: float, expected: float) -> bool:
    """Tell whether a number of seconds is what was expected, but for the time that the test took."""
    return expected - 3 <= seconds <= expected + 1


# What set_expiry() and the settings mean.


def test_a_session_lives_for_the_cookies_age_after_it_was_saved(
    browser: Browser, store: WatchedStore, clock: Clock, settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = 2 * HOUR
    response = browser.visit(put(a=1))
    assert soon(left(browser, store, clock), 2 * HOUR)
    assert soon(set_cookie(response)["max-age"], 2 * HOUR)
    clock.advance(hours=1)
    response = browser.visit(put(a=2))
    assert soon(left(browser, store, clock), 2 * HOUR)
    assert soon(set_cookie(response)["max-age"], 2 * HOUR)


def test_a_session_in_which_nobody_is_signed_in_lives_shorter_if_the_site_says_so(
    either_browser: Browser, store: WatchedStore, clock: Clock, settings: Any, ann: Any
) -> None:
    settings.SRVSESSION_ANONYMOUS_AGE, browser = HOUR, either_browser
    response = browser.visit(put(a=1))
    assert soon(left(browser, store, clock), HOUR)
    assert soon(set_cookie(response)["max-age"], HOUR)
    clock.advance(minutes=30)
    browser.visit(put(a=2))
    assert soon(left(browser, store, clock), HOUR)
    response = browser.visit(login(ann))
    assert soon(left(browser, store, clock), settings.SESSION_COOKIE_AGE)
    assert soon(set_cookie(response)["max-age"], settings.SESSION_COOKIE_AGE)
    browser.visit(put(a=3))
    assert soon(left(browser, store, clock), settings.SESSION_COOKIE_AGE)
    browser.visit(logout)
    browser.visit(put(a=4))
    assert soon(left(browser, store, clock), HOUR)


def test_what_a_session_says_of_its_expiry_counts_more_than_that_nobody_is_signed_in(
    browser: Browser, store: WatchedStore, clock: Clock, settings: Any
) -> None:
    settings.SRVSESSION_ANONYMOUS_AGE = HOUR
    browser.visit(put(a=1))
    browser.visit(set_expiry(3 * HOUR))
    assert soon(left(browser, store, clock), 3 * HOUR)


def test_an_anonymous_session_that_ends_with_the_browser_is_kept_no_longer(
    browser: Browser, store: WatchedStore, clock: Clock, settings: Any, ann: Any
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE, settings.SRVSESSION_ANONYMOUS_AGE = True, HOUR
    response = browser.visit(put(a=1))
    assert soon(left(browser, store, clock), HOUR)
    assert set_cookie(response)["max-age"] == ""
    browser.visit(login(ann))
    assert soon(left(browser, store, clock), 12 * HOUR)


def test_django_is_told_the_same_age_of_an_anonymous_session(settings: Any, ann: Any) -> None:
    settings.SRVSESSION_ANONYMOUS_AGE, ages, browser = timedelta(minutes=5), list[int](), Browser()

    def page(request: HttpRequest) -> None:
        ages.append(request.session.get_expiry_age())

    browser.visit(put(a=1))
    browser.visit(page)
    browser.visit(login(ann))
    browser.visit(page)
    assert ages == [300, settings.SESSION_COOKIE_AGE]


@pytest.mark.parametrize("value", [HOUR, timedelta(hours=1), "datetime"])
def test_a_set_expiry_is_kept_by_record_and_cookie(
    value: Any, either_browser: Browser, store: WatchedStore, clock: Clock
) -> None:
    browser = either_browser
    browser.visit(put(a=1))
    expiry = timezone.now() + timedelta(hours=1) if value == "datetime" else value
    response = browser.visit(set_expiry(expiry))
    assert soon(left(browser, store, clock), HOUR)
    assert soon(set_cookie(response)["max-age"], HOUR)


def test_a_number_of_seconds_slides_with_every_save_and_a_date_does_not(
    browser: Browser, store: WatchedStore, clock: Clock
) -> None:
    for value, expected in ((2 * HOUR, 2 * HOUR), (timezone.now() + timedelta(hours=2), HOUR)):
        browser = Browser()
        browser.visit(put(a=1))
        browser.visit(set_expiry(value))
        clock.advance(hours=1)
        response = browser.visit(put(a=2))
        assert soon(left(browser, store, clock), expected)
        assert soon(set_cookie(response)["max-age"], expected)
        clock.ahead_ms = 0


def test_a_save_leaves_the_lifetime_alone_that_another_request_may_have_changed(
    browser: Browser, store: WatchedStore, clock: Clock
) -> None:
    for value in (2 * HOUR, timezone.now() + timedelta(hours=2), 0, None):
        browser.visit(set_expiry(value))
        clock.advance(minutes=1)
        browser.visit(put(a=str(value)))
        delta = store.asked[-1].delta
        assert (delta.lifetime_ms, delta.deadline_ms) == (UNSET, UNSET), value


def test_zero_ends_with_the_browser_and_the_server_keeps_it_for_its_own_time(
    browser: Browser, store: WatchedStore, clock: Clock, settings: Any
) -> None:
    settings.SRVSESSION_BROWSER_SESSION_AGE = 3 * HOUR
    browser.visit(put(a=1))
    response = browser.visit(set_expiry(0))
    assert set_cookie(response)["max-age"] == ""
    assert set_cookie(response)["expires"] == ""
    assert soon(left(browser, store, clock), 3 * HOUR)


def test_expire_at_browser_close_does_so_until_an_expiry_is_set(
    browser: Browser, store: WatchedStore, clock: Clock, settings: Any
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    settings.SRVSESSION_BROWSER_SESSION_AGE = timedelta(hours=5)
    response = browser.visit(put(a=1))
    assert set_cookie(response)["max-age"] == ""
    assert soon(left(browser, store, clock), 5 * HOUR)
    response = browser.visit(set_expiry(HOUR))
    assert soon(set_cookie(response)["max-age"], HOUR)
    assert soon(left(browser, store, clock), HOUR)


@pytest.mark.parametrize("value", [HOUR, 0, "datetime"])
def test_none_goes_back_to_the_settings(value: Any, browser: Browser, store: WatchedStore, clock: Clock) -> None:
    browser.visit(put(a=1))
    browser.visit(set_expiry(timezone.now() + timedelta(hours=1) if value == "datetime" else value))
    response = browser.visit(set_expiry(None))
    assert soon(left(browser, store, clock), 14 * 24 * HOUR)
    assert soon(set_cookie(response)["max-age"], 14 * 24 * HOUR)
    assert record_of(browser, store).deadline_ms is None


@on_every_store
@pytest.mark.parametrize("value", [-1, -HOUR, timedelta(seconds=-5), datetime(2020, 1, 1, tzinfo=UTC)])
def test_an_expiry_in_the_past_ends_the_session(value: Any, browser: Browser, engine: Any) -> None:
    browser.visit(put(a=1))
    kept = browser.copy()
    assert browser.visit(set_expiry(value)).status_code == 200
    assert kept.show(read) == {}
    assert len(list(services.live_sessions())) == 0


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_a_date_that_does_not_fit_use_tz_is_read_in_the_default_time_zone(
    zone: str, aware: bool, use_tz: bool, browser: Browser, store: WatchedStore, clock: Clock, settings: Any
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, zone
    moment = datetime.now(UTC) + timedelta(hours=1)
    if not aware:
        moment = timezone.make_naive(moment, timezone.get_default_timezone())
    browser.visit(put(a=1))
    response = browser.visit(set_expiry(moment))
    assert response.status_code == 200
    assert soon(left(browser, store, clock), HOUR)
    assert soon(set_cookie(response)["max-age"], HOUR)
    assert soon(browser.show(lambda request: request.session.get_expiry_age()), HOUR)
    settings.USE_TZ = not use_tz  # The setting was changed after the session was stored.
    assert soon(browser.show(lambda request: request.session.get_expiry_age()), HOUR)
    assert browser.visit(lambda request: str(request.session.get_expiry_date())).status_code == 200

    async def age(request: HttpRequest) -> list[Any]:
        return [await request.session.aget_expiry_age(), str(await request.session.aget_expiry_date())]

    assert soon(browser.show(age)[0], HOUR)


def test_stock_django_fails_on_a_date_that_does_not_fit_use_tz(
    browser: Browser, stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    moment = timezone.make_naive(datetime.now(UTC) + timedelta(hours=1))
    assert browser.visit(set_expiry(moment)).status_code == 500


def test_the_other_ways_to_ask_for_the_expiry_work_as_django_documents(engine: Any) -> None:
    session = engine.SessionStore()
    now = timezone.now()
    assert session.get_expiry_age(expiry=10) == 10
    assert session.get_expiry_age(modification=now, expiry=now + timedelta(seconds=7)) == 7
    assert session.get_expiry_date(modification=now, expiry=5) == now + timedelta(seconds=5)
    assert asyncio.run(session.aget_expiry_age(expiry=10)) == 10
    assert asyncio.run(session.aget_expiry_date(modification=now, expiry=5)) == now + timedelta(seconds=5)
    assert session.get_expire_at_browser_close() is False
    session.set_expiry(0)
    assert session.get_expire_at_browser_close() is True


# Our limits.


def test_an_idle_session_ends_and_one_in_use_goes_on(
    browser: Browser, clock: Clock, settings: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = timedelta(minutes=30)
    browser.visit(put(a=1))
    for _ in range(5):
        clock.advance(minutes=20)
        assert browser.show(read) == {"a": 1}
    clock.advance(minutes=31)
    assert browser.show(read) == {}


def test_reading_does_not_extend_a_session_without_an_idle_limit(
    browser: Browser, clock: Clock, settings: Any, store: WatchedStore
) -> None:
    settings.SESSION_COOKIE_AGE = HOUR
    browser.visit(put(a=1))
    clock.advance(minutes=40)
    assert set_cookie(browser.visit(read)) is None
    assert soon(left(browser, store, clock), 20 * 60)
    clock.advance(minutes=21)
    assert browser.show(read) == {}


def test_the_cookie_of_a_session_with_an_idle_limit_is_sent_again_when_it_is_extended(
    browser: Browser, clock: Clock, settings: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = 30 * 60
    browser.visit(put(a=1))
    clock.advance(minutes=20)
    assert soon(set_cookie(browser.visit(read))["max-age"], 30 * 60)


def test_a_session_ends_so_long_after_sign_in_whatever_its_use(
    browser: Browser, clock: Clock, settings: Any, ann: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = timedelta(hours=8)
    settings.SRVSESSION_IDLE_TIMEOUT = timedelta(hours=1)
    browser.visit(put(a=1))
    clock.advance(minutes=50)
    browser.visit(login(ann))
    for _ in range(9):
        clock.advance(minutes=50)
        assert browser.user() == "ann"
        browser.visit(put(a=2))
    clock.advance(minutes=25)
    assert browser.user() == "ann"
    assert soon(left(browser, store, clock), 5 * 60)
    clock.advance(minutes=6)
    assert browser.user() == ""


def test_a_new_sign_in_as_the_same_user_starts_the_lifetime_anew(
    browser: Browser, clock: Clock, settings: Any, ann: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 2 * HOUR
    browser.visit(login(ann))
    clock.advance(hours=1)
    browser.visit(put(a=1))
    assert soon(left(browser, store, clock), HOUR)
    browser.visit(login(ann))
    assert soon(left(browser, store, clock), 2 * HOUR)


def test_an_anonymous_session_has_no_longest_lifetime(
    browser: Browser, clock: Clock, settings: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 1
    browser.visit(put(a=1))
    assert record_of(browser, store).deadline_ms is None


def test_a_session_that_ends_with_the_browser_lives_on_while_it_is_used(
    browser: Browser, clock: Clock, settings: Any
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    settings.SRVSESSION_BROWSER_SESSION_AGE = HOUR
    browser.visit(put(a=1))
    for _ in range(3):
        clock.advance(minutes=40)
        assert browser.show(read) == {"a": 1}
    clock.advance(minutes=61)
    assert browser.show(read) == {}


def test_a_late_save_does_not_undo_a_shorter_expiry(browser: Browser, clock: Clock, store: WatchedStore) -> None:
    browser.visit(put(a=1))
    beside = browser.copy()

    def slow(request: HttpRequest) -> None:
        request.session.get("a")
        beside.visit(set_expiry(60))
        request.session["b"] = 1

    browser.visit(slow)
    assert soon(left(browser, store, clock), 60)


# Touches.


def test_reading_records_the_use_at_most_once_per_interval(
    browser: Browser, clock: Clock, store: WatchedStore, settings: Any
) -> None:
    settings.SRVSESSION_TOUCH_INTERVAL = 60
    browser.visit(put(a=1))
    browser.visit(read)
    assert store.verbs == ["create", "load"]
    clock.advance(seconds=61)
    for _ in range(3):
        browser.visit(read)
    assert store.verbs == ["create", "load", "load", "update", "load", "load"]
    assert store.asked[3].delta == Delta(extend=False)
    assert clock.now_ms() - record_of(browser, store).last_seen_ms < 5000


def test_a_page_that_does_not_use_the_session_records_nothing(
    browser: Browser, clock: Clock, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    clock.advance(hours=1)
    browser.visit(untouched)
    assert store.verbs == ["create"]


def test_a_touch_writes_no_contents_and_keeps_a_fixed_date(
    browser: Browser, clock: Clock, store: WatchedStore, settings: Any
) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = 3 * HOUR
    browser.visit(put(a=1))
    browser.visit(set_expiry(timezone.now() + timedelta(hours=2)))
    clock.advance(hours=1)
    browser.visit(read)
    assert not store.asked[-1].delta.writes_values
    assert soon(left(browser, store, clock), HOUR)


def test_saving_every_request_extends_the_session_without_writing_its_contents(
    either_browser: Browser, clock: Clock, store: WatchedStore, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SESSION_COOKIE_AGE = HOUR
    either_browser.visit(put(a=[1]))
    clock.advance(minutes=30)
    response = either_browser.visit(untouched)
    assert not store.asked[-1].delta.writes_values
    assert soon(set_cookie(response)["max-age"], HOUR)
    assert soon(left(either_browser, store, clock), HOUR)


def test_a_failed_page_records_no_use(browser: Browser, clock: Clock, store: WatchedStore) -> None:
    def fail(request: HttpRequest) -> None:
        request.session.get("a")
        raise ZeroDivisionError

    browser.visit(put(a=1))
    clock.advance(hours=1)
    browser.visit(fail)
    assert store.verbs == ["create", "load"]


def test_a_touch_records_a_new_address_and_user_agent(
    browser: Browser, clock: Clock, store: WatchedStore, settings: Any
) -> None:
    browser.visit(put(a=1), REMOTE_ADDR="192.0.2.1", headers={"user-agent": "One"})
    clock.advance(hours=1)
    browser.visit(read, REMOTE_ADDR="192.0.2.2", headers={"user-agent": "Two"})
    client = record_of(browser, store).client
    assert (client.ip, client.user_agent) == ("192.0.2.2", "Two")


# When time is up.


@on_every_store
def test_an_expired_session_reads_as_empty_and_a_write_starts_another(
    browser: Browser, engine: Any, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    store.inner.update(key.sid, key.verifier, Delta(deadline_ms=1))
    assert set_cookie(browser.visit(read)) is None
    assert browser.show(read) == {}
    browser.visit(put(b=1))
    assert browser.show(read) == {"b": 1}
    assert browser.cookie != key.text


@on_every_store
def test_a_save_that_comes_after_the_expiry_revives_nothing(browser: Browser, engine: Any, store: WatchedStore) -> None:
    def slow(request: HttpRequest) -> None:
        request.session["a"] += 1
        key = SessionKey.parse(request.session.session_key)
        assert key is not None
        store.inner.update(key.sid, key.verifier, Delta(deadline_ms=1))

    browser.visit(put(a=1))
    assert set_cookie(browser.visit(slow)) is None
    assert len(list(services.live_sessions())) == 0


@on_every_store
def test_clearing_ends_exactly_the_expired_ones(engine: Any, store: WatchedStore) -> None:
    kept, expired = engine.SessionStore(), engine.SessionStore()
    for session in (kept, expired):
        session["a"] = 1
        session.save()
    key = SessionKey.parse(expired.session_key)
    assert key is not None
    store.inner.update(key.sid, key.verifier, Delta(deadline_ms=1))
    counts: list[int] = []
    assert services.clear_expired(dry_run=True) == 1
    assert services.clear_expired(on_progress=counts.append) == 1
    assert services.clear_expired() == 0
    assert counts[-1] == 1
    assert kept.exists(kept.session_key)
    engine.SessionStore.clear_expired()
    asyncio.run(engine.SessionStore.aclear_expired())
    assert kept.exists(kept.session_key)


# The arithmetic.


@pytest.mark.parametrize(
    ("expiry", "signed_in_ms", "names", "expected"),
    [
        (None, None, {}, (100_000, None)),
        (30, None, {}, (30_000, None)),
        (-30, None, {}, (0, None)),
        (1.5, None, {}, (1_500, None)),
        (0, None, {"BROWSER_SESSION_AGE": 7}, (7_000, None)),
        (None, None, {"IDLE_TIMEOUT": 5}, (5_000, None)),
        (3, None, {"IDLE_TIMEOUT": 5}, (3_000, None)),
        (None, 1_000_000, {"MAX_LIFETIME": 50}, (100_000, 1_050_000)),
        (None, None, {"MAX_LIFETIME": 50}, (100_000, None)),
        ("1970-01-01T00:17:00+00:00", None, {}, (20_000, 1_020_000)),
        ("1970-01-01T00:17:00+00:00", 1_000_000, {"MAX_LIFETIME": 10}, (20_000, 1_010_000)),
        ("1970-01-01T00:17:00+00:00", 1_000_000, {"MAX_LIFETIME": 50}, (20_000, 1_020_000)),
        ("1970-01-01T00:00:00+00:00", None, {}, (0, 0)),
        (10**30, None, {}, (LATEST_MS, None)),
    ],
)
def test_lifetime_and_deadline_follow_from_expiry_and_settings(
    expiry: Any, signed_in_ms: int | None, names: dict[str, Any], expected: tuple[int, int | None], settings: Any
) -> None:
    for name, value in names.items():
        setattr(settings, f"SRVSESSION_{name}", value)
    assert lifetimes.lifetime_of(expiry, 100, signed_in_ms, 1_000_000) == expected


def test_stock_django_rewrites_the_whole_session_for_every_request(
    browser: Browser, stock: Callable[..., None], settings: Any, transactional_db: None
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    stock("db")
    settings.SESSION_SAVE_EVERY_REQUEST = True
    browser.visit(put(a="x" * 1000))
    with CaptureQueriesContext(connection) as queries:
        browser.visit(untouched)
    assert any("UPDATE" in query["sql"] and len(query["sql"]) > 200 for query in queries)
