"""How large a statement may be on MariaDB and MySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django_srvsession.store import TooLargeError

if TYPE_CHECKING:
    from django_srvsession.backends.db.database import Runner

_ASKED_FROM_BYTES: Final = 256 * 1024
"""No server takes less."""
_REST_BYTES: Final = 8192
"""What a statement takes beside the values: its text, and a record."""


def check(table: Runner, data: bytes) -> None:
    """Raise ``TooLargeError`` where the server may refuse values for their size: no retry can help.

    It may close the connection then, as if it were out. So it is asked first, for sessions of an unusual size.
    """
    if table.database.vendor != "mysql" or len(data) < _ASKED_FROM_BYTES:
        return
    ((most,),) = table.rows("SELECT @@max_allowed_packet", {})
    if 2 * len(data) + _REST_BYTES > int(most):
        raise TooLargeError(
            f"The session takes {len(data)} bytes, and drivers send up to twice as many; max_allowed_packet of the "
            f"database is {most}. Keep less in the session, or raise that."
        )
