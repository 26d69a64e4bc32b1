"""Tables and bars for a terminal; text that came from a browser is shown, never obeyed."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from django_srvsession.escaping import escaped

_WIDEST: Final = 40
_LEAST: Final = 6
_GAP: Final = "  "
_BAR: Final = 30
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_ELLIPSIS: Final = "..."


def room_in(stream: Any) -> int | None:
    """Return how many places a line of a terminal has; None for a pipe or a file, which take lines of any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


class TextTable:
    """Lay out rows in columns: each as wide as the first rows, the head among them, need.

    With a ``room``, in places, no column is wider than 40, and those that ``give`` are cut where the lines would be
    longer; whatever comes later is cut to the same widths, so that all of it stands in line. Without one nothing is
    cut. Columns that are to the ``right`` hold numbers.
    """

    def __init__(
        self,
        first: Iterable[Sequence[str]],
        *,
        room: int | None = None,
        give: Collection[int] = (),
        right: Collection[int] = (),
    ) -> None:
        widths = [max(map(width_of, map(escaped, column))) for column in zip(*first, strict=True)]
        self._is_cut = room is not None
        self._widths = widths if room is None else _fitted([min(width, _WIDEST) for width in widths], room, give)
        self._right = right

    @property
    def width(self) -> int:
        """Return how many places a line takes at most."""
        return sum(self._widths) + len(_GAP) * (len(self._widths) - 1)

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """Yield the rows as lines."""
        for row in rows:
            yield _GAP.join(map(self._cell, range(len(row)), row)).rstrip()

    def _cell(self, number: int, text: str) -> str:
        text, width = escaped(text), self._widths[number]
        if self._is_cut:
            text = cut(text, width)
        blank = " " * (width - width_of(text))
        return blank + text if number in self._right else text + blank


def _fitted(widths: list[int], room: int, give: Collection[int]) -> list[int]:
    """Take places from the widest of the columns that give, until the line fits or all of those are narrow."""
    too_many = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while too_many > 0 and (widest := max(give, key=lambda number: widths[number], default=None)) is not None:
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
        too_many -= 1
    return widths


def cut(text: str, width: int) -> str:
    """Return a text, or its beginning and three dots, in no more than so many places."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - len(_ELLIPSIS):
        text = text[:-1]
    return text + _ELLIPSIS


def width_of(text: str) -> int:
    """Return how many places a terminal needs for a text: Hangul takes two for each, an accent of its own none."""
    return sum(map(_places, text))


def _places(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def bar_of(share: float, *, plain: bool) -> str:
    """Draw a share of 1 as a bar of 30 places; ``plain``: out of ``#``, for terminals without Unicode."""
    if plain:
        return "#" * round(share * _BAR)
    full, rest = divmod(round(share * _BAR * 8), 8)
    return (_EIGHTHS[8] * full + _EIGHTHS[rest]).rstrip()
