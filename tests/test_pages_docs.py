"""``docs/reference/pages.rst`` compares the pages with others': each test and picture that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.runs import ROOT
from tests.test_security_docs import names_in

IMAGES = ROOT / "docs" / "images"
REFERENCE = ROOT / "docs" / "reference"
TABLE = (REFERENCE / "pages.rst").read_text().partition(".. _beside-others:")[2]
ROWS = re.findall(r"^   \* - (?:.*\n)+?(?=   \* - |\Z)", TABLE, re.MULTILINE)[1:]
LOOKS = {"look-admin", "look-bootstrap"}
SHOWN = set(re.findall(r"^\.\. image:: /images/([\w-]+)\.png$", (REFERENCE / "pictures.rst").read_text(), re.MULTILINE))


def taken() -> set[str]:
    """Return the names of the pictures that ``make screenshots`` takes, as its modules name them."""
    names: set[str] = set()
    for module in ("screenshots", "admin_screenshots"):
        for node in ast.walk(ast.parse((ROOT / "tests" / "browser" / f"{module}.py").read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("take", "take_both"):
                continue
            name = node.args[1]
            if isinstance(name, ast.JoinedStr):
                names |= LOOKS
            else:
                text = ast.literal_eval(name)
                names |= {text, f"{text}-phone"} if getattr(node.func, "id", "") == "take_both" else {text}
    return names


def test_each_feature_has_a_test_that_is_there_or_is_not_here() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        last = row.rpartition("\n     - ")[2]
        tests = re.findall(r"``([\w/]+\.py)::(\w+)``", last)
        assert tests or last.strip() == "Not here.", row
        for path, name in tests:
            assert name in names_in(path), f"{path}::{name}"


def test_each_picture_that_it_names_is_among_the_pictures() -> None:
    named = {name for row in ROWS for name in re.findall(r"<picture-([a-z-]+)>", row)}
    assert len(named) > 10
    assert named <= SHOWN


def test_every_picture_is_taken_by_make_screenshots_and_shown() -> None:
    kept = {Path(file).stem for file in IMAGES.glob("*.png")}
    assert kept == taken() == SHOWN
