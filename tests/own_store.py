"""The files that ``docs/how-to/writing-a-store.rst`` shows, by their captions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tests.docs.blocks import DOCS, blocks_of

NAME = "how-to/writing-a-store"
PAGE = (DOCS / f"{NAME}.rst").read_text()


def files() -> dict[str, str]:
    """Return each file that the page shows: its name and its text."""
    return {block.caption: f"{block.text}\n" for block in blocks_of(NAME) if block.caption}


def write_files(directory: Path) -> None:
    """Write the page's files."""
    for name, text in files().items():
        (directory / name).write_text(text)


def dict_store(text: str | None = None) -> Any:
    """Return the page's store class, or the one that an altered text of its module defines."""
    module = ModuleType("dict_store")
    exec(text or files()["dict_store.py"], module.__dict__)
    return module.__dict__["DictStore"]
