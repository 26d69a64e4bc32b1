"""Sessions in files on a disk without room for another byte, or for another file: no inode, though bytes are free.

Reported: "No space left on device" with gigabytes free, everybody is signed out, files of length nothing; and Django's
own engine hides the error: the page says that all is well, and what was saved is gone. Right is: who reads gets the
page; who saves, or signs in, gets 503; a session that is there stays whole; who signs out is signed out, and so is
whose sessions are ended; and when there is room again, everything is as it was.

``backends/test_file_faults.py`` lets each system call of each verb fail with ``ENOSPC``, ``EDQUOT`` and others.
"""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.file import SessionStore as StockStore

from django_srvsession import services
from django_srvsession.engine import current_store
from tests.engine.pages import Browser, login, logout, make_user, put, read, rotate, set_cookie


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self.filler = path / "filler"

    def fill(self) -> None:
        """Leave no room."""
        self.filler.mkdir(exist_ok=True)
        data = bytes(4096) if self.what == "bytes" else b""
        try:
            for number in itertools.count():
                (self.filler / str(number)).write_bytes(data)
        except OSError as error:
            assert error.errno == errno.ENOSPC

    def empty(self) -> None:
        """Make room again."""
        for path in self.filler.iterdir():
            path.unlink()


@pytest.fixture(params=["bytes", "inodes"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, settings: Any, transactional_db: None) -> Iterator[Disk]:
    """A disk with room for some sessions, and the site's sessions on it."""
    path = tmp_path / "disk"
    path.mkdir()
    size = "size=1m" if request.param == "bytes" else "size=64m,nr_inodes=200"
    options = ["-t", "tmpfs", "-o", f"{size},mode=0700", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    settings.SESSION_FILE_PATH = str(path / "sessions")
    (path / "sessions").mkdir(mode=0o700)
    settings.SESSION_ENGINE = "django_srvsession.backends.file"
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    yield Disk(path, request.param)
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def ann(disk: Disk) -> Browser:
    """A browser in which ann is signed in, with a basket, on a disk that is full since."""
    browser = Browser()
    browser.visit(login(make_user()))
    browser.visit(put(basket=["tea"]))
    disk.fill()
    return browser


def test_pages_that_read_go_out_and_lists_are_whole(ann: Browser) -> None:
    for _ in range(2):
        assert (ann.user(), ann.show(read)["basket"]) == ("ann", ["tea"])
    assert len(services.sessions_of(get_user_model().objects.get())) == 1


@pytest.mark.parametrize("view", [put(basket=["tea"] * 2000), put(new=1), rotate])
def test_who_saves_gets_503_and_keeps_what_was_there(view: Any, ann: Browser, disk: Disk) -> None:
    cookie = ann.cookie
    answer = ann.visit(view)
    assert (answer.status_code, set_cookie(answer)) == (503, None)
    assert "Retry-After" in answer.headers
    assert (ann.user(), ann.show(read)["basket"]) == ("ann", ["tea"])
    assert list(disk.path.rglob("*.tmp")) == []
    disk.empty()
    assert (ann.cookie, ann.user(), ann.show(read)["basket"]) == (cookie, "ann", ["tea"])
    assert ann.visit(view).status_code == 200


def test_who_comes_or_signs_in_gets_503_and_nothing_of_it_is_left(ann: Browser, disk: Disk) -> None:
    bob, visitor = make_user("bob"), Browser()
    for view in (put(a=1), login(bob)):
        answer = visitor.visit(view)
        assert (answer.status_code, visitor.cookie) == (503, None)
    disk.empty()
    assert len(services.sessions_of(bob)) == 0
    assert len(list(services.live_sessions())) == 1
    visitor.visit(login(bob))
    assert visitor.user() == "bob"


@pytest.mark.parametrize("how", ["logout", "everywhere"])
def test_sessions_can_be_ended_and_stay_ended_when_there_is_room_again(how: str, ann: Browser, disk: Disk) -> None:
    thief = ann.copy()
    if how == "logout":
        assert ann.visit(logout).status_code == 200
    else:
        assert len(services.revoke_all(get_user_model().objects.get())) == 1
    assert thief.user() == ""
    disk.empty()
    assert thief.user() == ""
    assert thief.visit(put(a=1)).status_code == 200
    assert (thief.user(), len(services.sessions_of(get_user_model().objects.get()))) == ("", 0)


def test_clearing_makes_room(disk: Disk, settings: Any) -> None:
    settings.SESSION_COOKIE_AGE = 1
    due = Browser()
    due.visit(put(filling="x" * 20_000))
    settings.SESSION_COOKIE_AGE = 3600
    stays = Browser()
    stays.visit(put(a=1))
    disk.fill()
    settings.SRVSESSION_ENDED_KEEP = 0
    store = current_store()
    while not store.clear_expired():
        pass
    assert stays.show(read) == {"a": 1}
    assert len(list(services.live_sessions())) == 1


def test_stock_django_says_that_all_is_well_and_loses_what_was_saved(
    disk: Disk, stock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock("file")
    monkeypatch.setattr(StockStore, "_storage_path", str(disk.path / "sessions"), raising=False)
    browser = Browser()
    browser.visit(put(a=1))
    disk.fill()
    assert browser.visit(put(a=2)).status_code == 200
    assert browser.show(read) == {"a": 1}
