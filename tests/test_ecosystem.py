"""The page of other packages: it says what the JUnit files say, keeps every row, and hides no difference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.ecosystem import page
from tests.ecosystem.entries import ENTRIES
from tests.ecosystem.entry import SIDES, Entry, Own, Suite
from tests.ecosystem.junit import FAILED, PASSED, SKIPPED, read
from tests.ecosystem.running import HERE, Results, made
from tests.runs import ROOT

DAY = "2026-11-29"
MADE = {"django": {"ours": 0, "others": 5}, "ours": {"ours": 5, "others": 0}}


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> tuple[Entry, ...]:
    """A page of three packages."""
    suite = Suite(("tests",))
    three = (
        Entry("one", suite=suite),
        Entry("two", suite=suite, differences={"Case.test_b": "We mean it."}),
        Entry("three", tour="hijack"),
    )
    monkeypatch.setattr(page, "GROUPS", (("Some", three[:2]), ("Others", three[2:])))
    return three


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where the page is."""
    return tmp_path / "page.rst"


def junit(path: Path, **cases: str) -> None:
    inner = {PASSED: "", FAILED: '<failure message="no"/>', SKIPPED: '<skipped message="not here"/>'}
    lines = [f'<testcase classname="t.Case" name="{name}">{inner[end]}</testcase>' for name, end in cases.items()]
    path.write_text(f"<testsuites><testsuite>{''.join(lines)}</testsuite></testsuites>")


def leave(cache: Path, name: str, django: dict[str, str], ours: dict[str, str], **note: Any) -> None:
    """Leave what two runs of a package leave."""
    results = Results(cache / name)
    results.place.mkdir(exist_ok=True)
    for side, cases in zip(SIDES, (django, ours), strict=True):
        junit(results.junit(side), **cases)
        usual = {"version": "1.0", "django": "6.0", "python": "3.13", "when": DAY, "problem": "", "made": MADE[side]}
        results.keep(side, {**usual, **note})


GOOD = {"test_a": PASSED, "test_b": PASSED}
WORSE = {"test_a": PASSED, "test_b": FAILED}


def cells(there: Path, name: str) -> list[str]:
    """Return a row's cells behind the first one, each on one line."""
    _, *rest = re.split(r"^     -", page.rows_of(there.read_text())[name], flags=re.MULTILINE)
    return [" ".join(cell.split()) for cell in rest]


def test_a_row_says_what_the_junit_files_say(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "one", {**GOOD, "test_c": SKIPPED}, {**GOOD, "test_c": SKIPPED})
    assert page.write(there, tmp_path) == []
    assert cells(there, "one") == [f"1.0, Django 6.0, Python 3.13. {DAY}", "2", "2", "2", "No difference."]


def test_a_difference_with_a_reason_is_on_the_page(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "two", GOOD, WORSE)
    assert page.write(there, tmp_path) == []
    assert cells(there, "two")[1:] == ["2", "2", "1", "``Case.test_b``: We mean it."]


@pytest.mark.parametrize(
    ("django", "ours", "what"),
    [
        (GOOD, WORSE, "one: t.Case.test_b: passed on Django's engine, failed on ours"),
        (WORSE, GOOD, "one: t.Case.test_b: failed on Django's engine, passed on ours"),
        (GOOD, {"test_a": PASSED}, "one: t.Case.test_b: passed on Django's engine, missing on ours"),
        (GOOD, {**GOOD, "test_b": SKIPPED}, "one: t.Case.test_b: passed on Django's engine, skipped on ours"),
        (WORSE, WORSE, "one: t.Case.test_b fails on both, and nobody says why"),
    ],
)
def test_a_difference_without_a_reason_fails_the_run(
    entries: tuple[Entry, ...], there: Path, tmp_path: Path, django: Any, ours: Any, what: str
) -> None:
    leave(tmp_path, "one", django, ours)
    assert page.write(there, tmp_path) == [what]
    assert "not explained yet" in cells(there, "one")[-1]


def test_what_only_ours_can_do_must_not_fail_for_any_reason(
    entries: tuple[Entry, ...], there: Path, tmp_path: Path
) -> None:
    leave(tmp_path, "two", {**GOOD, "test_b": SKIPPED}, WORSE)
    assert page.write(there, tmp_path) == ["two: t.Case.test_b: skipped on Django's engine, failed on ours"]


def test_a_reason_for_no_difference_fails_the_run(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "two", GOOD, GOOD)
    assert page.write(there, tmp_path) == ["two: a reason is given for Case.test_b, which ends the same way on both"]


def test_a_run_that_did_not_use_the_engine_proves_nothing(
    entries: tuple[Entry, ...], there: Path, tmp_path: Path
) -> None:
    leave(tmp_path, "one", GOOD, GOOD, made={"ours": 0, "others": 5})
    (problem,) = page.write(there, tmp_path)
    assert "not used" in problem
    assert "proves nothing" in cells(there, "one")[-1]


def test_a_run_without_a_result_is_no_pass(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "one", {}, {}, problem="not finished within 600 seconds")
    stopped = "not finished within 600 seconds"
    assert page.write(there, tmp_path) == [f"one: {side}: {stopped}" for side in SIDES]
    assert cells(there, "one")[1:4] == ["", "", ""]
    assert stopped in cells(there, "one")[-1]


def test_rows_that_were_not_run_this_time_stay(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "one", GOOD, GOOD)
    leave(tmp_path, "two", GOOD, WORSE)
    page.write(there, tmp_path)
    before = page.rows_of(there.read_text())
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    leave(elsewhere, "one", GOOD, GOOD, version="1.1")
    page.write(there, elsewhere)
    after = page.rows_of(there.read_text())
    assert list(after) == list(before) == ["Package", "one", "two", "three"]
    assert after["two"] == before["two"]
    assert "1.1" in after["one"] and "1.0" in before["one"]
    assert cells(there, "three") == [page.NOT_RUN, "", "", "", ""]


def test_an_interrupted_run_is_no_row(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    leave(tmp_path, "one", GOOD, GOOD)
    page.write(there, tmp_path)
    results = Results(tmp_path / "one")
    results.keep("django", {**results.note("django"), "version": "2.0"})
    page.write(there, tmp_path)
    assert cells(there, "one")[0].startswith("1.0")
    results.forget("ours")
    page.write(there, tmp_path)
    assert cells(there, "one")[0].startswith("1.0")


def test_what_cannot_be_installed_says_why(entries: tuple[Entry, ...], there: Path, tmp_path: Path) -> None:
    results = Results(tmp_path / "three")
    results.place.mkdir(exist_ok=True)
    results.not_here.write_text("ERROR: needs a compiler of *_that_* kind in /usr/some/place")
    assert page.write(there, tmp_path) == []
    assert cells(there, "three") == [
        "\\-", "", "", "", "Could not be installed here: ERROR: needs a compiler of \\*\\_that\\_\\* kind in ..."
    ]  # fmt: skip


def test_the_worst_part_of_a_case_counts(tmp_path: Path) -> None:
    parts = ["", "<error/>", '<skipped message="x"/>']
    lines = "".join(f'<testcase classname="t" name="{name}">{part}</testcase>' for part in parts for name in "ab")
    (tmp_path / "x.xml").write_text(f'<testsuite>{lines}<testcase classname="" name="t.c"/></testsuite>')
    assert read(tmp_path / "x.xml") == {"t.a": FAILED, "t.b": FAILED, "t.c": PASSED}


def test_sessions_of_all_processes_are_counted(tmp_path: Path) -> None:
    evidence = tmp_path / "made"
    ours, stock = "django_srvsession.backends.db", "django.contrib.sessions.backends.db"
    lines = [{ours: 2}, {ours: 3, stock: 1}]
    evidence.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert made(evidence) == {"ours": 5, "others": 1}
    assert made(tmp_path / "none") == {"ours": 0, "others": 0}


def test_every_entry_has_tests_or_a_tour_that_is_there() -> None:
    for entry in ENTRIES:
        assert [bool(kind) for kind in (entry.suite, entry.tour, entry.own)].count(True) == 1, entry.name
        assert not entry.tour or (HERE / "tours" / f"{entry.tour}.py").is_file(), entry.name
    assert len({entry.name for entry in ENTRIES}) == len({page.shown(entry) for entry in ENTRIES}) == len(ENTRIES)


def test_the_page_has_a_row_for_every_entry() -> None:
    text = page.PAGE.read_text()
    assert text.startswith(page.INTRODUCTION)
    assert {page.shown(entry) for entry in ENTRIES} == page.rows_of(text).keys() - {"Package"}


def test_tests_of_ours_have_a_row_without_another_side(
    monkeypatch: pytest.MonkeyPatch, there: Path, tmp_path: Path
) -> None:
    driver = Entry("driver", own=Own(("tests/backends/test_db.py",)), failing={"test_b": "It cannot."})
    monkeypatch.setattr(page, "GROUPS", (("Drivers", (driver,)),))
    leave(tmp_path, "driver", {}, WORSE)
    assert driver.sides == ("ours",)
    assert page.write(there, tmp_path) == []
    assert cells(there, "driver")[1:] == ["2", "\\-", "1", "Our tests. ``Case.test_b``: It cannot."]
    leave(tmp_path, "driver", {}, {**WORSE, "test_c": FAILED})
    assert page.write(there, tmp_path) == ["driver: t.Case.test_c fails, and nobody says why"]
    leave(tmp_path, "driver", {}, {})
    assert page.write(there, tmp_path) == ["driver: no case passed"]


def test_tests_of_ours_that_a_row_names_are_there() -> None:
    words = {word for entry in ENTRIES if entry.own for word in entry.own.tests if word.startswith("tests/")}
    assert [word for word in sorted(words) if not (ROOT / word).is_file()] == []
