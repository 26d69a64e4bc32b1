"""``docs/why/security.rst`` names the tests that prove it: each exists, and no line goes without."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.runs import ROOT

PAGE = (ROOT / "docs" / "why" / "security.rst").read_text()
LINES: list[str] = re.findall(r"^   \* - (?:.*\n)+?(?=   \* - |\n\S|\Z)", PAGE, re.MULTILINE)
HEADS = ("   * - What they can and cannot do\n", "   * - Requirement\n")
NAMED = sorted(set(re.findall(r"``([\w/]+\.py)::(\w+)``", PAGE)))
V7 = "7.1.1 7.1.2 7.1.3 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.5.3 7.6.1 7.6.2"
V3_3 = "3.3.1 3.3.2 3.3.3 3.3.4 3.3.5"


@cache
def names_in(path: str) -> set[str]:
    """Return the names of what pytest, or a store's module, may collect from a file: functions, methods, classes."""
    names: set[str] = set()
    file = ROOT / path if path.startswith("django_srvsession/") else ROOT / "tests" / path
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return {name for name in names if name.startswith(("test_", "Test"))}


@pytest.mark.parametrize(("path", "name"), NAMED, ids="::".join)
def test_every_test_that_the_page_names_exists(path: str, name: str) -> None:
    assert name in names_in(path)


def test_every_line_names_a_test_or_says_that_there_is_none() -> None:
    rows = [line for line in LINES if not line.startswith(HEADS)]
    assert len(rows) == PAGE.count("\n   * - ") - sum(PAGE.count(head) for head in HEADS) > 80
    for row in rows:
        last = row.rpartition("\n     - ")[2]
        names = re.findall(r"``[\w/]+\.py::\w+``", last)
        if not names:
            assert last.startswith("Not tested"), row
        else:
            assert last.split() == names, row


def test_every_requirement_has_its_line_once() -> None:
    assert re.findall(r"^   \* - (\d\.\d\.\d) ", PAGE, re.MULTILINE) == f"{V7} {V3_3}".split()
