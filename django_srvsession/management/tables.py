"""Tables and bars for a terminal; text that came from a browser is shown, never obeyed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

_WIDEST: Final = 40
_BAR: Final = 30
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def printable(text: str) -> str:
    """Return the text with everything that a terminal could take for a command replaced by "?"."""
    return "".join(char if char.isprintable() else "?" for char in text)


def rows_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, each column as wide as it needs to be, up to 40 places."""
    table = [[_cut(printable(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def bar_of(share: float, *, plain: bool) -> str:
    """Draw a share of 1 as a bar of 30 places; ``plain``: out of ``#``, for terminals without Unicode."""
    if plain:
        return "#" * round(share * _BAR)
    full, rest = divmod(round(share * _BAR * 8), 8)
    return (_EIGHTHS[8] * full + _EIGHTHS[rest]).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
