"""What commands draw: in line, within the terminal, and whole in a pipe; Hangul takes two places for each sign."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from django_srvsession.management.tables import TextTable, cut, width_of
from django_srvsession.records import Client
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
ADDRESS = "2001:db8:85a3:8d3:1319:8a2e:370:7348"
NAMES = ("ann", "김철수", "박지성이라는아주긴이름을가진사용자", "zoé", "somebody-with-a-long-name@example.org")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, columns: int, command: str, *arguments: str) -> list[str]:
    """Return the lines that a command prints in a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    stdout = Terminal()
    call_command(command, "--no-color", *arguments, stdout=stdout)
    return stdout.getvalue().splitlines()


@pytest.fixture
def people(store: Store, db: None) -> list[str]:
    """Sessions of people with names of many lengths; returns the sids."""
    client, made = Client(ADDRESS, FIREFOX), []
    for name in NAMES:
        user = get_user_model().objects.create_user(name)
        made.append(
            create(store, user_id=str(user.pk), client=client, changed={"장바구니": b"1", "a": b"2"}).record.sid
        )
    return made


def starts(line: str, word: str) -> int:
    return width_of(line[: line.index(word)])


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (80, ["SID", "USER", "DEVICE", "ADDRESS", "ACTIVE"]),
        (120, ["SID", "USER", "DEVICE", "ADDRESS", "STARTED", "ACTIVE", "EXPIRES"]),
        (200, ["SID", "USER", "DEVICE", "ADDRESS", "STARTED", "LAST", "ACTIVE", "EXPIRES"]),
    ],
)
def test_a_list_fits_the_terminal_and_stands_in_line(
    people: list[str], monkeypatch: pytest.MonkeyPatch, columns: int, head: list[str]
) -> None:
    lines = drawn(monkeypatch, columns, "listsessions_srv")
    assert lines[0].split() == head
    assert {line[:18] for line in lines[1:]} == set(people)
    assert max(map(width_of, lines)) <= columns
    assert {starts(line, "2001:") for line in lines[1:]} == {starts(lines[0], "ADDRESS")}


def test_in_a_pipe_nothing_is_cut(people: list[str]) -> None:
    stdout = io.StringIO()
    call_command("listsessions_srv", stdout=stdout)
    for text in (*NAMES, ADDRESS, "LAST ACTIVE"):
        assert text in stdout.getvalue()


def test_later_portions_stand_in_line_with_the_first(people: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_srvsession.management.commands.listsessions_srv._PORTION", 2)
    lines = drawn(monkeypatch, 200, "listsessions_srv")
    assert {starts(line, "2001:") for line in lines[1:]} == {starts(lines[0], "ADDRESS")}


@pytest.mark.parametrize("command", ["sessionstats_srv", "doctorsessions_srv"])
@pytest.mark.parametrize("columns", [80, 120])
def test_what_is_counted_and_found_fits_the_terminal(
    people: list[str], monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    lines = drawn(monkeypatch, columns, command)
    assert max(map(width_of, lines)) <= columns
    if command == "sessionstats_srv":
        keys = [line for line in lines if line.startswith(("  KEY", "  a ", "  장바구니"))]
        assert len(keys) == 3
        assert len(set(map(width_of, keys))) == 1  # Numbers end below one another.


def test_devices_are_named_in_english_whatever_the_language(people: list[str], settings: Any) -> None:
    settings.LANGUAGE_CODE = "ko"
    stdout = io.StringIO()
    call_command("listsessions_srv", "--json", stdout=stdout)
    assert {json.loads(line)["device"] for line in stdout.getvalue().splitlines()} == {"Firefox on Linux"}


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        ("가나다라", 7, "가나..."),
        ("가나다라", 8, "가나다라"),
        ("e\u0301" * 6, 6, "e\u0301" * 6),
    ],
)
def test_a_text_is_cut_by_places_not_by_characters(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected
    assert width_of(cut(text, width)) <= width


def test_the_widest_column_gives_way_first_and_none_vanishes() -> None:
    row = ("x" * 18, "u" * 30, "d" * 12)
    assert TextTable([row], room=40, give=(1, 2)).width == 40
    assert list(TextTable([row], room=10, give=(1, 2)).lines([row])) == [f"{'x' * 18}  uuu...  ddd..."]
    assert list(TextTable([row]).lines([row])) == ["  ".join(row)]
