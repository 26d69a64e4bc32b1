"""Which sessions the caller's transaction has written: it reads them from the database, and no copy is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class Transactions:
    """Remember, of each connection, what was written in its transaction; usually there is nothing."""

    def __init__(self) -> None:
        self._written: WeakKeyDictionary[BaseDatabaseWrapper, set[str]] = WeakKeyDictionary()
        self.are_any = False
        """Whether there is something to remember: every request asks."""

    def note(self, connection: BaseDatabaseWrapper, sids: Iterable[str]) -> None:
        """Take note of sessions that are about to be written in this connection's transaction."""
        self._written.setdefault(connection, set()).update(sids)
        self.are_any = True

    def wrote(self, connection: BaseDatabaseWrapper, sid: str) -> bool:
        """Tell whether the transaction of this connection has written a session.

        Nothing says that a transaction was rolled back: what is remembered of it goes when there is none, or with the
        next.
        """
        if is_open(connection):
            return sid in self._written.get(connection, ())
        self._written.pop(connection, None)
        self.are_any = False
        self.are_any = bool(self._written)  # Looked up after that: another thread may have noted something meanwhile.
        return False


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether what this connection writes now is not final, and may not be seen by others."""
    if connection.in_atomic_block:
        return True
    # Before it is opened only the settings say whether its statements are final.
    commits = connection.settings_dict["AUTOCOMMIT"] if connection.connection is None else connection.autocommit
    return not commits
