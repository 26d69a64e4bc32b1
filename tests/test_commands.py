"""What all commands have in common: one language, and a hint for who mistypes a user."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.translation import override

from django_srvsession.testing.sessions import create, make_due
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.test_translations import entries, source

HANGUL = re.compile(r"[\uac00-\ud7a3]")
pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    stdout = io.StringIO()
    try:
        with contextlib.suppress(SystemExit):
            call_command(*arguments, stdout=stdout)
    except CommandError as error:
        stdout.write(str(error))
    return stdout.getvalue()


@pytest.mark.parametrize("language", ["de", "ko"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("clearsessions_srv",),
        ("clearsessions_srv", "--dry-run"),
        ("listsessions_srv",),
        ("listsessions_srv", "--user", "nobody"),
        ("sessionstats_srv",),
        ("doctorsessions_srv",),
        ("revokesessions_srv", "--user", "ann", "--dry-run"),
        ("revokesessions_srv", "--everyone", "--no-input"),
    ],
    ids=" ".join,
)
def test_a_command_speaks_one_language_whatever_the_site_speaks(
    language: str, arguments: tuple[str, ...], store: Any
) -> None:
    ann = get_user_model().objects.create_user("ann", password="pass-ann")
    Client().force_login(ann)
    make_due(store, create(store))
    with override(language):
        text = run(*arguments)
    assert text
    assert HANGUL.search(text) is None, text
    assert not [word for word in german_words() if re.search(rf"\b{re.escape(word)}\b", text)], text


def german_words() -> list[str]:
    """Return what the German catalogue says in another way than English does."""
    pairs = entries(source("de")).items()
    return [german for english, german in pairs if german.lower() != english.lower() and "%" not in german]


class Terminal(io.StringIO):
    """Be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_progress_is_shown_where_tqdm_is_and_all_works_without(
    has_tqdm: bool, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        create(store)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    if not has_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    assert "Live sessions: 3," in run("sessionstats_srv", "--sample", "0")
    assert ("sessions" in terminal.getvalue()) == has_tqdm


def test_a_pipe_sees_no_progress_and_verbosity_0_asks_for_none(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, verbosity in ((io.StringIO(), "1"), (Terminal(), "0")):
        monkeypatch.setattr(sys, "stderr", terminal)
        run("sessionstats_srv", "--verbosity", verbosity)
        assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("alcie", "alice"),
        ("ALICE", "alice"),
        ("lice", "alice"),
        ("bob.smith@exmaple.com", "bob.smith@example.com"),
        ("bobsmith", "bob.smith"),
    ],
)
def test_who_mistypes_a_user_is_asked_what_was_meant(typed: str, meant: str) -> None:
    for name in ("alice", "bob.smith", "zoe"):
        get_user_model().objects.create_user(name, f"{name}@example.com")
    with pytest.raises(CommandError) as caught:
        call_command("listsessions_srv", "--user", typed)
    assert str(caught.value).startswith(f"There is no user {typed!r}. Did you mean {meant!r}?")


@pytest.mark.parametrize("typed", ["xyzzy", "", "%", "\x1b[2J", "a" * 10_000])
def test_nobody_is_suggested_where_nobody_is_near(typed: str) -> None:
    get_user_model().objects.create_user("alice", "alice@example.com")
    with pytest.raises(CommandError, match="There is no user") as caught:
        call_command("listsessions_srv", "--user", typed)
    assert "Did you mean" not in str(caught.value)


def test_the_doctor_ends_with_a_line_of_totals(store: Any) -> None:
    *lines, last = run("doctorsessions_srv", "--no-color").splitlines()
    levels = ("ok", "note", "warning", "error")
    counts = {level: sum(line.startswith(f"{level} ") for line in lines) for level in levels}
    assert counts["warning"] == 2
    assert last == f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} note, {counts['ok']} ok."


def test_the_totals_count_one_of_a_kind_as_one(store: Any, settings: Any) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = "soon"
    assert re.fullmatch(r"1 error, \d+ warnings?, \d+ notes?, \d+ ok\.", run("doctorsessions_srv").splitlines()[-1])
