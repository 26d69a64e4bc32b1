"""The blocks of code of the documentation: where each stands, in which language, and what the page says of it.

A block says by its caption which file it belongs to. One that no test can run has the class ``not-run``: the page shows
it, and ``tests/docs/test_blocks.py`` passes it over.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from tests.runs import ROOT

DOCS = ROOT / "docs"
_DIRECTIVE = re.compile(r"( *)\.\. code-block::(?: (\S+))?")
_OPTION = re.compile(r" +:([\w-]+):(?: (.*))?")
_UNNAMED = re.compile(r" *(?!\.\. ).*::")


class Block(NamedTuple):
    """A block: its page (below ``docs/``, without suffix) and line, language, text, options, and the text before it."""

    page: str
    line: int
    language: str
    text: str
    options: Mapping[str, str]
    before: str

    @property
    def caption(self) -> str:
        """Which file the block belongs to, or ""."""
        return self.options.get("caption", "")

    @property
    def name(self) -> str:
        """What tests call it, or ""."""
        return self.options.get("name", "")

    @property
    def is_run(self) -> bool:
        """Whether a test runs it."""
        return "not-run" not in self.options.get("class", "").split()

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.page}.rst:{self.line}"


def pages() -> list[str]:
    """Return the names of all pages of the documentation."""
    files = [path for path in DOCS.rglob("*.rst") if "_build" not in path.parts]
    return sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in files)


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """Return the blocks of a page, in order; ``"../README"`` is a page, too."""
    return tuple(_blocks(page, (DOCS / f"{page}.rst").read_text()))


def block(page: str, name: str) -> Block:
    """Return the block of a page that has this ``:name:``."""
    (found,) = [block for block in blocks_of(page) if block.name == name]
    return found


def _blocks(page: str, text: str) -> Iterator[Block]:
    lines = text.splitlines()
    number, paragraph = 0, ""
    while number < len(lines):
        line = lines[number]
        begin = number + 1
        if match := _DIRECTIVE.fullmatch(line):
            inside, number = _indented(lines, begin, len(match[1]))
            options, content = _options(inside)
            yield Block(page, begin, match[2] or "", content, options, paragraph)
        elif _UNNAMED.fullmatch(line) and line.strip() != "::":
            inside, number = _indented(lines, begin, len(line) - len(line.lstrip()))
            yield Block(page, begin, "", textwrap.dedent("\n".join(inside)).strip("\n"), {}, line)
        else:
            before = lines[number - 1] if number else ""
            paragraph = f"{paragraph} {line.strip()}" if line.strip() and before.strip() else line.strip() or paragraph
            number = begin


def _indented(lines: list[str], begin: int, depth: int) -> tuple[list[str], int]:
    """Return the lines from ``begin`` on that are indented more than ``depth``, and where they end."""
    end = begin
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" " * (depth + 1))):
        end += 1
    return lines[begin:end], end


def _options(inside: list[str]) -> tuple[dict[str, str], str]:
    options = {}
    while inside and (option := _OPTION.fullmatch(inside[0])):
        options[option[1]] = option[2] or ""
        inside = inside[1:]
    return options, textwrap.dedent("\n".join(inside)).strip("\n")
