"""Write ``docs/ecosystem.rst`` from what the runs left; rows that were not run this time stay as they are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.ecosystem.entries import GROUPS
from tests.ecosystem.entry import SIDES, Entry
from tests.ecosystem.environments import CACHE
from tests.ecosystem.junit import Comparison, read
from tests.ecosystem.running import Results
from tests.runs import ROOT

PAGE = ROOT / "docs" / "ecosystem.rst"
COLUMNS = ("Package", "Version", "Cases run", "Passed on Django's", "Passed on ours", "Differences, and why")
_WIDTHS = "16 16 8 10 10 40"
_WIDTH = 120
INTRODUCTION = """\
Beside other packages
=====================

This page is written by ``make ecosystem``. It installs each package at its newest version into an environment of its
own, and runs *the package's own tests* there twice: once on Django's session engine (``db``, unless the row says
otherwise), and once on ours (``django_srvsession.backends.db``) with our middleware. Of its tests those are run that
are about sessions, sign-in, middleware and pages.

Where the source distribution of a package has no tests that can be run, or none that meets a session, the row says
"Tour". There real requests visit a small site with that package: they sign in, use it and sign out. The same steps are
taken on both engines. Passwords are hashed by MD5 in all runs, which saves half of the time.

What stands below an engine, such as a driver of a database, meets our own tests of stores instead: "Our tests".
Django's engine has no part in these.

The figures are cases in the JUnit files of the two runs; what is skipped on both is not counted. Each row says when it
was run. ``make ecosystem`` fails where a case ends differently on our engine, and this page gives no reason.

To repeat it:

.. code-block:: shell

   make ecosystem                        # all that is not up to date; it goes on where it was interrupted
   make ecosystem ARGS="django-allauth"  # one package; the other rows stay
   make ecosystem ARGS="--again"         # everything

What it fetches and installs stays in ``.cache/ecosystem``.
"""
NOT_RUN = "not run yet"


def write(page: Path = PAGE, cache: Path = CACHE) -> list[str]:
    """Write the page, and return what is wrong in the rows of results that are there."""
    kept = rows_of(page.read_text()) if page.is_file() else {}
    problems: list[str] = []
    parts = [INTRODUCTION]
    for title, entries in GROUPS:
        rows = []
        for entry in entries:
            row, wrong = row_of(entry, Results(cache / entry.name))
            problems += [f"{entry.name}: {what}" for what in wrong]
            rows.append(row or kept.get(shown(entry)) or _row([shown(entry), NOT_RUN, "", "", "", ""]))
        parts.append(f"{title}\n{'-' * len(title)}\n\n{_table(rows)}")
    page.write_text("\n".join(parts))
    return problems


def shown(entry: Entry) -> str:
    """Return what the page calls an entry."""
    return entry.shown or entry.name


def rows_of(text: str) -> dict[str, str]:
    """Return the rows of a page as they stand in it, by their first cell."""
    blocks = re.findall(r"^   \* - .*\n(?:     .*\n)*", text, re.MULTILINE)
    return {block.split("\n")[0].removeprefix("   * - "): block for block in blocks}


def _table(rows: Iterable[str]) -> str:
    head = f".. list-table::\n   :header-rows: 1\n   :widths: {_WIDTHS}\n\n"
    return head + _row(COLUMNS) + "".join(rows)


def _row(cells: Iterable[str]) -> str:
    first, *others = (textwrap.fill(cell, _WIDTH, break_long_words=False, break_on_hyphens=False) for cell in cells)
    lines = [f"* - {first}", *(f"  - {cell}".rstrip() for cell in others)]
    indented = [line.replace("\n", "\n    ") for line in lines]
    return textwrap.indent("\n".join(indented), "   ") + "\n"


def row_of(entry: Entry, results: Results) -> tuple[str, list[str]]:
    """Return the row of an entry's results, empty where there are none of both sides; and what is wrong in it."""
    if results.not_here.is_file():
        why = f"Could not be installed here: {_escaped(results.not_here.read_text())}"
        return _row([shown(entry), "\\-", "", "", "", why]), []
    if entry.own:
        return _row_of_ours(entry, results)
    there, here = (results.note(side) for side in SIDES)
    if not there or not here or there["version"] != here["version"]:
        return "", []
    version = f"{there['version']}, Django {here['django']}, Python {here['python']}. {here['when']}"
    stopped = [f"{side}: {note['problem']}" for side, note in zip(SIDES, (there, here), strict=True) if note["problem"]]
    if stopped:
        return _row([shown(entry), version, "", "", "", f"No result: {_escaped('; '.join(stopped))}"]), stopped
    compared = Comparison(*(read(results.junit(side)) for side in SIDES), entry.differences, entry.failing)
    wrong = unsound(compared, there["made"], here["made"], "srvsession" in str(entry.ours))
    cells = [str(compared.run), str(compared.passed_there), str(compared.passed_here)]
    return _row([shown(entry), version, *cells, " ".join(_said(entry, compared, wrong))]), wrong


def _row_of_ours(entry: Entry, results: Results) -> tuple[str, list[str]]:
    """Return the row of tests of ours; what fails in them needs a reason."""
    note = results.note("ours")
    if not note:
        return "", []
    version = f"{note['version']}, Django {note['django']}, Python {note['python']}. {note['when']}"
    if note["problem"]:
        return _row([shown(entry), version, "", "", "", f"No result: {_escaped(note['problem'])}"]), [note["problem"]]
    ended = read(results.junit("ours"))
    compared = Comparison(ended, ended, failing=entry.failing)
    wrong = [f"{name} fails, and nobody says why" for name in _unclear(compared)]
    if not compared.passed_here:
        wrong.append("no case passed")
    cells = [str(compared.run), "\\-", str(compared.passed_here)]
    return _row([shown(entry), version, *cells, " ".join(_said(entry, compared, wrong))]), wrong


def unsound(compared: Comparison, there: dict[str, int], here: dict[str, int], engine_is_ours: bool) -> list[str]:
    """Return what keeps a comparison from being a proof."""
    wrong = [
        f"{name}: {compared.different[name][0]} on Django's engine, {compared.different[name][1]} on ours"
        for name in compared.unexplained
    ]
    wrong += [f"a reason is given for {name}, which ends the same way on both" for name in compared.idle]
    wrong += [f"{name} fails on both, and nobody says why" for name in _unclear(compared)]
    if there["ours"] or (engine_is_ours and not here["ours"]):
        wrong.append(f"the engines that were meant were not used: {there} on Django's, {here} on ours")
    if not compared.passed_there:
        wrong.append("no case passed on Django's engine")
    return wrong


def _unclear(compared: Comparison) -> list[str]:
    return [name for name in compared.failed_on_both if compared.why_failing(name) is None]


def _said(entry: Entry, compared: Comparison, wrong: list[str]) -> list[str]:
    said = ["Our tests." if entry.own else "Tour." if entry.suite is None else ""]
    said.append(entry.why)
    if not (wrong or compared.different or (entry.own and compared.failed_on_both)):
        said.append("No difference.")
    reasons: dict[str, list[str]] = {}
    for name in compared.different:
        reasons.setdefault(compared.reason(name) or "**not explained yet**.", []).append(name)
    where = "" if entry.own else "On both: "
    for name in compared.failed_on_both:
        reasons.setdefault(where + (compared.why_failing(name) or "**not explained yet**."), []).append(name)
    for reason, names in reasons.items():
        short = sorted({".".join(re.sub(r"\[.*", "", name).split(".")[-2:]) for name in names})
        listed = ", ".join(f"``{name}``" for name in short[:3]) + (f" and {len(short) - 3} more" if short[3:] else "")
        said.append(f"{listed}: {reason}")
    if not compared.passed_there or any("engines that were meant" in what for what in wrong):
        said.append("**This run proves nothing.**")
    return [part for part in said if part]


def _escaped(text: str) -> str:
    """Return what a program has said as text of the page, without addresses and paths of this machine."""
    text = re.sub(r"\S*://\S+|(?<!\w)/\S+", "...", text)
    return re.sub(r"([*`|_\\])", r"\\\1", text)
