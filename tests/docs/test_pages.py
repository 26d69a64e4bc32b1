"""The pages of the documentation: built without a network, and looked at on a phone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.browsers import Browser, Driver
from tests.browser.conftest import SAFARI, opened
from tests.docs.blocks import DOCS, blocks_of, pages
from tests.patience import patient
from tests.runs import ROOT, new_directory
from tests.trust import WHOLE

SOME_NOT_RUN = "how-to/native-apps"  # Kotlin and Swift.
WIDER = """
return [...document.querySelectorAll("article *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.right > innerWidth + 1 && box.width > 0 && !element.closest(".highlight, .table-wrapper, .headerlink");
}).slice(0, 5).map((element) => `${element.tagName} ${element.className}: ${element.textContent.slice(0, 60)}`);
"""


@pytest.fixture(scope="module")
def built() -> Path:
    """Build all pages, as ``make docs`` does."""
    pytest.importorskip("furo")
    directory = new_directory("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(directory / "trees")]
    done = subprocess.run(
        [*command, "docs", str(directory / "html")],
        cwd=ROOT,
        env={**os.environ, "SRVSESSION_DOCS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=patient(110),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory / "html"


@pytest.fixture(scope="module")
def reader(driver: Driver) -> Iterator[Browser]:
    """A browser of the size of a phone."""
    yield from opened(driver.open("reader", SAFARI))


def test_every_page_is_built_and_has_its_blocks_with_a_button_to_copy_them(built: Path) -> None:
    assert [page for page in pages() if not (built / f"{page}.html").exists()] == []
    text = (built / f"{SOME_NOT_RUN}.html").read_text()
    assert "copybutton.js" in text
    assert text.count("not-run") == sum(not block.is_run for block in blocks_of(SOME_NOT_RUN)) > 0


def test_what_is_copied_out_of_a_block_begins_at_the_left(built: Path) -> None:
    """Options of a block that are indented otherwise than its lines leave blanks before each of these."""
    shifted = [path.stem for path in built.rglob("*.html") if re.search(r"<pre><span></span> ", path.read_text())]
    assert shifted == []


def test_what_is_not_run_says_so_on_the_page(built: Path, reader: Browser) -> None:
    reader.remote.get((built / f"{SOME_NOT_RUN}.html").as_uri())
    said = reader.run('return getComputedStyle(document.querySelector(".not-run"), "::after").content')
    assert "not run by a test" in said


def test_no_page_is_wider_than_a_phone(built: Path, reader: Browser) -> None:
    wide = {}
    reader.prefer(width=390)
    for path in sorted(built.rglob("*.html"))[:: 1 if WHOLE else 3]:  # All are of one style.
        reader.remote.get(path.as_uri())
        if reader.run("return document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide[path.relative_to(built).as_posix()] = reader.run(WIDER)
    assert wide == {}


def test_every_page_can_be_reached_from_the_first_one() -> None:
    listed = {"index"}
    for path in DOCS.rglob("*.rst"):
        inside = False
        for line in path.read_text().splitlines():
            inside = line == ".. toctree::" or (inside and (not line or line.startswith("   ")))
            if inside and (name := line.strip()) and not name.startswith((":", "..")):
                where = DOCS if path.parent == DOCS else path.parent
                listed.add((where / name).relative_to(DOCS).as_posix())
    assert listed == set(pages())
