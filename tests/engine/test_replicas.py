"""A read replica that lags behind says nothing about a user: the database that is written to is asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, models

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.records import Loaded
from django_srvsession.store import listings
from tests.databases import add_database, empty_database, sqlite_file_settings
from tests.engine.pages import Browser, login, make_user, name_user
from tests.runs import new_directory

PRIMARY, REPLICA = "sqlite_file", "lagging_replica"


class ReadFromReplica:
    """Route as a site with a read replica does."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return REPLICA

    def db_for_write(self, model: object, **hints: object) -> str:
        return PRIMARY

    def allow_relation(self, *objects: object, **hints: object) -> bool:
        return True


@pytest.fixture(scope="session")
def replica_alias(sqlite_alias: str, django_db_blocker: Any) -> None:
    """A second SQLite, migrated."""
    with django_db_blocker.unblock():
        add_database(REPLICA, sqlite_file_settings(new_directory("replica") / "db.sqlite3"))


@pytest.fixture(autouse=True)
def replicated(replica_alias: None, settings: Any, django_db_blocker: Any) -> Iterator[None]:
    """Users are read from a copy that nothing reaches unless a test says so."""
    settings.DATABASE_ROUTERS = [ReadFromReplica()]
    with django_db_blocker.unblock():
        yield
        empty_database(PRIMARY)
        empty_database(REPLICA)


def catch_up(user: Any) -> None:
    """Let the replica hear of a user as the primary has it now."""
    current = get_user_model()._base_manager.using(PRIMARY).get(pk=user.pk)
    models.Model.save_base(current, using=REPLICA, raw=True)


def signed_in(user: Any, asgi: bool = False) -> Browser:
    browser = Browser(asgi=asgi)
    browser.visit(login(user))
    return browser


@pytest.mark.parametrize("engine", ["memory", "db"], indirect=True)
@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.usefixtures("after_the_first_minute")
def test_a_user_whom_a_lagging_replica_does_not_know_yet_keeps_the_session(engine: Any, asgi: bool) -> None:
    ann = make_user("ann")
    browser = signed_in(ann, asgi)
    assert browser.user() == ""  # Django itself looks for the user where reads go.
    catch_up(ann)
    assert browser.user() == "ann"


@pytest.mark.usefixtures("after_the_first_minute")
def test_a_user_whom_a_lagging_replica_still_takes_for_deactivated_keeps_the_session() -> None:
    ann = make_user("ann", is_active=False)
    catch_up(ann)
    get_user_model().objects.filter(pk=ann.pk).update(is_active=True)
    browser = signed_in(get_user_model().objects.using(PRIMARY).get(pk=ann.pk))
    assert browser.user() == ""
    catch_up(ann)
    assert browser.user() == "ann"


@pytest.mark.usefixtures("after_the_first_minute")
def test_clearing_asks_for_users_where_they_are_written() -> None:
    signed_in(make_user("ann"))
    assert services.end_sessions_of_missing_users(dry_run=True) == 0
    assert services.end_sessions_of_missing_users() == 0
    assert len(services.live_sessions()) == 1


def test_a_user_who_is_not_found_in_the_first_minute_of_a_session_is_not_known_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The transaction that makes a user may commit after the session is stored, where sessions are elsewhere."""
    ann = make_user("ann")
    browser = signed_in(ann)
    models.QuerySet(get_user_model(), using=PRIMARY).filter(pk=ann.pk)._raw_delete(PRIMARY)
    assert browser.user() == ""
    assert services.end_sessions_of_missing_users() == 0
    (record,) = services.live_sessions()
    monkeypatch.setattr(listings, "clock_ms", lambda: int(time.time() * 1000) + 61_000)
    browser.user()
    assert not isinstance(current_store().load(record.sid), Loaded)


def test_who_is_deactivated_is_signed_out_in_the_first_minute_too() -> None:
    ann = make_user("ann")
    catch_up(ann)
    browser = signed_in(ann)
    get_user_model().objects.using(PRIMARY).filter(pk=ann.pk).update(is_active=False)
    catch_up(ann)
    assert browser.user() == ""
    assert len(services.live_sessions()) == 0


def test_who_is_deactivated_by_update_and_back_with_no_request_in_between_stays_signed_in() -> None:
    ann = make_user("ann")
    catch_up(ann)
    browser = signed_in(ann)
    for is_active in (False, True):
        get_user_model().objects.using(PRIMARY).filter(pk=ann.pk).update(is_active=is_active)
        catch_up(ann)
    assert browser.user() == "ann"


@pytest.mark.usefixtures("after_the_first_minute")
def test_a_database_of_users_that_is_out_ends_no_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**options: Any) -> None:
        raise OperationalError("the server is gone")

    ann = make_user("ann")
    browser = signed_in(ann)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr("django.db.backends.sqlite3.base.Database.connect", fail)
        connections[PRIMARY].close()
        assert browser.visit(name_user).status_code == 200
    assert "did not say whether one is gone" in caplog.text
    catch_up(ann)
    assert browser.user() == "ann"
