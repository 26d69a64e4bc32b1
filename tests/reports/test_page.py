"""``docs/why/reports.rst`` names the tests: each exists, and no line goes without."""

from __future__ import annotations

import re

import pytest

from tests.runs import ROOT
from tests.test_security_docs import names_in

ROWS = (ROOT / "docs" / "why" / "reports.rst").read_text().split("\n   * - ")[2:]
NAMED = re.compile(r"``([\w/]+\.py)::(\w+)``")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", " ", row[:60]).strip())
def test_every_report_has_a_right_value_and_tests_that_exist(row: str) -> None:
    reported, right, tests = row.split("\n     - ")
    assert reported
    assert right
    assert [word for word in tests.split() if not NAMED.fullmatch(word)] == []
    for path, name in NAMED.findall(tests):
        assert name in names_in(path)
