"""A second store in memory, to which a site moves from the first."""

from __future__ import annotations

from django_srvsession.backends import memory
from django_srvsession.backends.memory.table import SessionTable


class SecondStore(memory.MemoryStore):
    """Keep sessions in a table of its own."""

    table = SessionTable()


class SessionStore(memory.SessionStore):
    """The engine on it."""

    store_class = SecondStore
