"""Put what was measured into ``docs/why/performance.rst``, between the comments that name its parts."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from benchmarks.report import Result

PAGE = Path(__file__).parents[1] / "docs" / "why" / "performance.rst"


def write(part: str, lines: Iterable[str]) -> None:
    """Replace what stands between ``.. begin: part`` and ``.. end: part``."""
    page = PAGE.read_text()
    found = re.search(rf"^\.\. begin: {part}\n(.*?)^\.\. end: {part}$", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has no part {part!r}.")
    body = "\n".join(["", *lines, "", ""])
    PAGE.write_text(page[: found.start(1)] + body + page[found.end(1) :])
    print(f"Written: {PAGE.name}, {part}")


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as wide as its longest cells."""
    rows = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]


def surroundings() -> str:
    """Say with which Python and libraries this was measured."""
    libraries = ("Django", "redis", "django-redis", "psycopg", "PyMySQL")
    named = [f"{library} {version(library)}" for library in libraries]
    return f"Python {platform.python_version()}, {', '.join(named)}."


def speed(how: str, results: Sequence[Result]) -> list[str]:
    """Return the tables of all stores: one row for an operation, with both sizes beside each other."""
    lines = [f"{how} {surroundings()}"]
    for place, of_place in groupby(results, attrgetter("place")):
        each = list(of_place)
        lines += ["", f"**{place}**, beside Django's engine: {each[0].stock_title}", ""]
        sizes = sorted({result.size_bytes for result in each})
        heading = [""]
        for size in sizes:
            heading += [f"{size // 1000} kB: us", "Django's us", "ratio", "goal"]
        titles = dict.fromkeys(result.title for result in each)
        found = {(result.title, result.size_bytes): result for result in each}
        lines += table(heading, [_row(title, [found[title, size] for size in sizes]) for title in titles])
    return lines


def _row(title: str, results: Sequence[Result]) -> list[str]:
    cells = [title]
    for result in results:
        cells += [
            f"{result.ours_us:.0f}",
            "cannot" if result.stock_us is None else f"{result.stock_us:.0f}",
            "" if result.ratio is None else f"{result.ratio:.2f}",
            result.verdict.removeprefix("<= "),
        ]
    return cells
