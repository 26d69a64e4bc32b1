"""``docs/how-to/postgresql-standby.rst`` with a primary and a standby: what has ended stays ended over a fail-over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from django_srvsession import services
from django_srvsession.store import StoreUnavailableError
from tests.databases import SendEverythingTo, add_database
from tests.docs.blocks import block
from tests.runs import wait_until
from tests.servers import PostgreSQLServer
from tests.trust import WHOLE

PAGE = "how-to/postgresql-standby"


class Primary(PostgreSQLServer):
    """A PostgreSQL that standbys may copy."""

    def command(self) -> list[str | Path]:
        return [*super().command(), "-c", "wal_level=replica", "-c", "max_wal_senders=4"]

    def value(self, query: str) -> Any:
        """Return the first value of the first row, or None."""
        with self.connect() as connection:
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
            return None if row is None else row[0]


class Standby(Primary):
    """A copy of a primary."""

    def __init__(self, primary: Primary) -> None:
        super().__init__()
        self.primary = primary

    def prepare(self) -> None:
        where = ["-h", self.primary.host, "-p", str(self.primary.port), "-U", "postgres"]
        self.run(
            self.program.resolve().with_name("pg_basebackup"),
            *where,
            *("-D", str(self.data), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )


@pytest.fixture
def servers() -> Iterator[tuple[Primary, Standby]]:
    primary = Primary()
    primary.start()
    primary.create_database("mysite")
    standby = Standby(primary)
    standby.start()
    for line in block(PAGE, "synchronous").text.splitlines():
        primary.execute(f"ALTER SYSTEM SET {line}")
    primary.execute("SELECT pg_reload_conf()")
    state = "SELECT sync_state FROM pg_stat_replication"
    assert standby.job is not None
    wait_until(lambda: primary.value(state) == "quorum", standby.job)
    yield primary, standby
    standby.kill()
    primary.kill()


@pytest.fixture
def alias(servers: tuple[Primary, Standby], settings: Any, django_db_blocker: Any) -> Iterator[str]:
    names: dict[str, Any] = {}
    exec(block(PAGE, "hosts").text, names)
    entry = names["DATABASES"]["default"]
    entry["HOST"] = ",".join(server.host for server in servers)
    entry["PORT"] = ",".join(str(server.port) for server in servers)
    entry["USER"] = "postgres"
    settings.SESSION_ENGINE = names["SESSION_ENGINE"]
    with django_db_blocker.unblock():
        add_database("fails_over", entry)
        settings.DATABASE_ROUTERS = [SendEverythingTo("fails_over")]
        yield "fails_over"
        connections["fails_over"].close()
    del connections["fails_over"]
    del connections.settings["fails_over"]


@pytest.mark.skipif(not WHOLE, reason="make trust: starts two servers of PostgreSQL")
def test_what_has_ended_stays_ended_over_a_fail_over(servers: tuple[Primary, Standby], alias: str) -> None:
    primary, standby = servers
    ann = get_user_model().objects.create_superuser("ann")
    laptop, phone = Client(), Client()
    laptop.force_login(ann)
    phone.force_login(ann)
    assert services.revoke(phone.session.sid) is not None
    primary.kill()
    assert laptop.get("/admin/").status_code == 503
    with pytest.raises(StoreUnavailableError):
        services.sessions_of(ann)[0]
    standby.execute("SELECT pg_promote()")
    assert standby.job is not None
    wait_until(lambda: laptop.get("/admin/").status_code == 200, standby.job)
    assert phone.get("/admin/").status_code == 302
    assert [record.sid for record in services.sessions_of(ann)] == [laptop.session.sid]
    third = Client()
    third.force_login(ann)
    assert third.get("/admin/").status_code == 200
