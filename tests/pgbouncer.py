"""A private PgBouncer in its transaction mode, in front of a private PostgreSQL."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from tests.servers import DatabaseServer, PostgreSQLServer, psycopg

IS_THROUGH_PGBOUNCER: Final = os.environ.get("SRVSESSION_TESTS_PGBOUNCER", "") not in ("", "0")
"""Whether all tests reach PostgreSQL through PgBouncer, as a row of ``make ecosystem`` wants."""
_SETTINGS = """
[databases]
* = host={behind.host} port={behind.port} user=postgres

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
server_round_robin = 1
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer(DatabaseServer):
    """PgBouncer: transactions get its connections to PostgreSQL in turn."""

    names = ("pgbouncer",)

    def __init__(self, behind: PostgreSQLServer) -> None:
        super().__init__()
        self.behind = behind

    def prepare(self) -> None:
        self.run("/bin/mkdir", self.data)

    def command(self) -> list[str | Path]:
        path = self.directory / "pgbouncer.ini"
        path.write_text(_SETTINGS.format(behind=self.behind, host=self.host, port=self.port))
        path.chmod(0o644)
        return [self.program, path]

    def connect(self) -> Any:
        return self.behind.connect(self.port)

    def answers(self) -> bool:
        try:
            with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW data_directory")
                return Path(cursor.fetchone()[0]) == self.behind.data
        except psycopg.Error:
            return False

    def database_settings(self, name: str) -> dict[str, Any]:
        entry = self.behind.database_settings(name)
        return {**entry, "PORT": str(self.port), "DISABLE_SERVER_SIDE_CURSORS": True}
