"""Every block of code in the documentation is run, or says on the page that it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

from django_srvsession import conf
from tests.docs.apart import STORIES, needs_its_own_process, run_apart
from tests.docs.blocks import blocks_of, pages
from tests.docs.site import LANGUAGES, Site
from tests.runs import ROOT

ELSEWHERE: Final = {
    "how-to/writing-a-store": "tests/test_writing_a_store.py",
    "why/express": "tests/express/test_page.py",
}
"""Pages whose blocks of Python another test runs, all of them."""
NOT_HERE: Final = ("unfold", '"USING": "default"', "django-srvsession[oidc]")
"""What needs packages that the tests do without (django-unfold, django-mongodb-backend), or have already (by pip)."""
INCLUDED: Final = ["../CHANGELOG", "../CONTRIBUTING", "../SECURITY"]
TUTORIAL: Final = "tutorial/"  # tests/browser/test_tutorial.py
HERE: Final = [
    page
    for page in [*pages(), *INCLUDED]
    if any(block.is_run for block in blocks_of(page)) and page not in STORIES and not page.startswith(TUTORIAL)
]


def test_every_block_has_a_language_that_a_test_knows_or_shows_that_it_is_not_run() -> None:
    blocks = [block for page in [*pages(), *INCLUDED] for block in blocks_of(page)]
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "docs").glob("test_*.py"))
    unknown = [block for block in blocks if block.is_run and block.language not in LANGUAGES]
    unknown = [block.place for block in unknown if not (block.name and f'"{block.name}"' in tests)]
    assert unknown == [], "Name its language, have a test run it by its name, or give it the class not-run."
    assert [block.place for block in blocks if not block.language] == []


def test_what_a_test_can_run_is_run() -> None:
    left = [block for page in pages() for block in blocks_of(page) if block.language in LANGUAGES and not block.is_run]
    assert [block.place for block in left if not any(word in block.text for word in NOT_HERE)] == []


def test_what_another_test_runs_it_names() -> None:
    for page, test in ELSEWHERE.items():
        assert f"docs/{page}.rst" in (ROOT / test).read_text()


@pytest.mark.parametrize("page", HERE)
def test_what_a_page_shows_can_be_done(site_of: Callable[[str], Site], page: str) -> None:
    if needs_its_own_process(page):
        run_apart(page)
        return
    site = site_of(page)
    for block in blocks_of(page):
        if not (page in ELSEWHERE and block.language == "python"):
            site.do(block)


def test_every_setting_has_an_example() -> None:
    text = "\n".join(block.text for block in blocks_of("reference/settings"))
    shown = set(re.findall(r"^SRVSESSION_(\w+) =", text, re.MULTILINE))
    assert shown == conf.SETTINGS.keys()
