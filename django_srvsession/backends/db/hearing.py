"""Hear of the sessions that end in a PostgreSQL, by its NOTIFY."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections

from django_srvsession.backends.db.sql import ENDED_CHANNEL
from django_srvsession.store import StoreUnavailableError

_WAIT_S: Final = 1.0
"""For how long a notification is waited for before the caller's wish to stop is looked at, in seconds."""


def listen(using: str, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
    """Do as ``Store.listen``, on this thread's own connection; False where there is none that notifications come on.

    That needs psycopg 3, and a connection that stays with its session of the server. Behind PgBouncer in its
    transaction mode it does not, and sites say so by ``DISABLE_SERVER_SIDE_CURSORS``.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql" or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {ENDED_CHANNEL}")
        notifies = connection.connection.notifies
        if not callable(notifies):  # psycopg 2.
            return False
        heard(())
        with connection.wrap_database_errors:
            while not stopped.is_set():
                for told in notifies(timeout=_WAIT_S):
                    heard((told.payload,) if told.payload else ())
        with connection.cursor() as cursor:  # Of a pool it goes to others now.
            cursor.execute(f"UNLISTEN {ENDED_CHANNEL}")
        return False
    except (DatabaseError, InterfaceError) as error:
        raise StoreUnavailableError("PostgreSQL does not tell of ends.") from error
    finally:
        connection.close()
