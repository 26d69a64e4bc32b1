"""SQLite, while a long job (an import, a backup, a shell) holds its lock.

Reported, again and again: "database is locked" answers pages with 500, also pages that only read, and Django's own
engine calls it "The request's session was deleted before the request completed" (400), as if the visitor had signed
out. Right is: who only reads gets the page, and does not wait for the job; who saves gets 503 after the database's own
time-out, once; nobody is signed out, and what was stored stays.
"""

from __future__ import annotations

import gc
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.db import OperationalError, connections
from django.http import HttpRequest

from django_srvsession.models import SessionEvent
from tests.engine.pages import Browser, View, login, logout, make_user, name_user, put, read, rotate, set_cookie
from tests.patience import patient

pytestmark = pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)

WAIT_SECONDS = 0.3


class Job:
    """A job of another program that can hold the database."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None)

    def begin(self, how: str = "IMMEDIATE") -> None:
        """Take the lock; the site's connection waits for it as long as ``WAIT_SECONDS``."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(WAIT_SECONDS * 1000)}")
        self.connection.execute(f"BEGIN {how}")

    def end(self) -> None:
        """Let go."""
        self.connection.execute("ROLLBACK")

    def waits(self, action: Callable[[], object]) -> int:
        """Return how many statements of the site waited for the job in vain, each as long as it may."""
        failed: list[str] = []

        def execute(ask: Callable[..., Any], sql: str, *args: Any) -> Any:
            try:
                return ask(sql, *args)
            except OperationalError:
                failed.append(sql)
                raise

        with connections[self.alias].execute_wrapper(execute):
            action()
        return len(failed)


@pytest.fixture
def job(database_alias: str, settings: Any) -> Iterator[Job]:
    """A job beside a site with our sessions in this database, where each use is due to be noted."""
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    job = Job(database_alias)
    yield job
    job.connection.close()
    connections[database_alias].close()


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_a_page_that_only_reads_goes_out_and_does_not_wait_for_the_job(browser: Browser, job: Job) -> None:
    browser.visit(login(make_user()))
    browser.visit(put(basket=["tea"]))
    job.begin()
    with connections[job.alias].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 60000")  # Whoever waits as long as the site allows is noticed.
    assert seconds(lambda: [browser.show(read), browser.user()]) < patient(5)
    job.end()
    assert browser.show(read)["basket"] == ["tea"]


@pytest.mark.parametrize("view", [put(basket=[]), put(new=1), rotate, logout, lambda request: request.session.flush()])
def test_who_saves_or_signs_out_gets_503_in_time_and_has_lost_nothing(view: View, browser: Browser, job: Job) -> None:
    browser.visit(login(make_user()))
    browser.visit(put(basket=["tea"]))
    cookie, answers = browser.cookie, []
    job.begin()
    assert job.waits(lambda: answers.append(browser.visit(view))) == 1
    (answer,) = answers
    assert (answer.status_code, set_cookie(answer)) == (503, None)
    assert "Retry-After" in answer.headers
    assert browser.user() == "ann", "a page that reads goes out after it"
    job.end()
    assert (browser.cookie, browser.user()) == (cookie, "ann")
    assert browser.show(read)["basket"] == ["tea"]
    assert browser.visit(view).status_code == 200


def test_a_sign_in_gets_503_and_works_when_the_job_is_done(browser: Browser, job: Job) -> None:
    user = make_user()
    browser.visit(put(basket=["tea"]))
    job.begin()
    assert browser.visit(login(user)).status_code == 503
    assert browser.user() == ""
    job.end()
    browser.visit(login(user))
    assert (browser.user(), browser.show(read)["basket"]) == ("ann", ["tea"])


def test_a_visitor_without_a_session_is_given_no_key_that_opens_nothing(browser: Browser, job: Job) -> None:
    job.begin()
    answer = browser.visit(put(basket=["tea"]))
    assert (answer.status_code, browser.cookie) == (503, None)
    job.end()
    assert browser.visit(put(basket=["tea"])).status_code == 200


def test_a_wrong_password_is_a_wrong_password_though_it_cannot_be_logged(
    browser: Browser, job: Job, settings: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    make_user()

    def sign_in(request: HttpRequest) -> str:
        return str(authenticate(request, username="ann", password="wrong"))

    job.begin()
    answers: list[Any] = []
    assert job.waits(lambda: answers.append(browser.show(sign_in))) == 1
    assert answers == ["None"]
    job.end()
    assert browser.show(sign_in) == "None"
    assert SessionEvent.objects.count() == 1


def test_where_even_reading_waits_for_the_job_the_answer_is_503_and_nobody_is_signed_out(
    browser: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without WAL, a job that has written much keeps readers out, too."""
    connections[job.alias].close()
    gc.collect()  # Tracebacks of failed statements keep connections open.
    monkeypatch.setitem(connections[job.alias].settings_dict["OPTIONS"], "init_command", "")
    assert job.connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    browser.visit(login(make_user()))
    job.begin("EXCLUSIVE")
    answers: list[Any] = []
    for view in (read, name_user, put(a=1), logout):
        assert job.waits(lambda view=view: answers.append(browser.visit(view))) == 1
    assert [(answer.status_code, set_cookie(answer)) for answer in answers] == [(503, None)] * 4
    job.end()
    assert browser.user() == "ann"


def test_stock_django_says_that_the_session_was_deleted_and_loses_what_was_to_be_saved(
    browser: Browser, job: Job, stock: Callable[..., None], settings: Any
) -> None:
    stock("db")
    user = make_user()
    browser.visit(login(user))
    settings.SESSION_SAVE_EVERY_REQUEST = True
    job.begin()
    assert [browser.visit(view).status_code for view in (read, put(a=1), logout)] == [400, 400, 500]
    job.end()
