"""All packages, in the order and under the headings of the page."""

from __future__ import annotations

from tests.ecosystem.entries import admin, drivers, pages, servers, signing_in
from tests.ecosystem.entry import Entry

GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = tuple(
    (module.TITLE, module.ENTRIES) for module in (signing_in, pages, admin, servers, drivers)
)
ENTRIES: tuple[Entry, ...] = tuple(entry for _, entries in GROUPS for entry in entries)
