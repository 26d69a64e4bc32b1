"""The test servers: they do what tests ask of them, and no run leaves a process or a file behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from django.contrib.auth import get_user_model
from django.db import InternalError, connections
from django.test import TransactionTestCase

from tests.databases import forget_connections, lent
from tests.patience import patient
from tests.reaper import wait_dead
from tests.runs import ROOT
from tests.servers import SERVERS, DatabaseServer, RedisServer, Server, missing
from tests.trust import WHOLE

# Starts every server of this machine and a site, then reports and waits to be killed. In a mess one server is crashed,
# one is frozen, and a process has left its group and its parent.
CHILD = """
import json, sys, time
import psutil
from tests.processes import WSGISite
from tests.runs import Job, current_run
from tests.servers import SERVERS
servers = [kind() for kind in SERVERS if kind.installed()]
site = WSGISite(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
for server in [*servers, site]:
    server.start()
jobs = [server.job.leader for server in [*servers, site]]
jobs += [child for job in jobs for child in job.children(recursive=True)]
pids = [job.pid for job in jobs]
lines = [file.read_text().splitlines() for file in current_run().directory.glob("*/data/postmaster.pid")]
memory = [line[6].split()[1] for line in lines]
if sys.argv[1] == "with a mess" and servers:
    stray = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    job = Job([sys.executable, "-c", stray], site.directory.parent)
    job.finish()
    pids.append(int(job.last_words()))
    servers[-1].freeze()
    servers[len(servers) // 2].kill()
print(json.dumps({"directory": str(current_run().directory), "pids": pids, "memory": memory}), flush=True)
if sys.argv[1] != "and end":
    time.sleep(600)
"""


def shared_memory() -> set[str]:
    """Return the identifiers of this machine's System V shared memory."""
    table = Path("/proc/sysvipc/shm")
    return {line.split()[1] for line in table.read_text().splitlines()[1:]} if table.exists() else set()


@pytest.mark.parametrize(
    ("mood", "number"),
    [
        ("with a mess", signal.SIGKILL),
        ("calm", signal.SIGINT),
        *([("calm", signal.SIGKILL), ("calm", signal.SIGTERM), ("and end", None)] if WHOLE else []),
    ],
)
def test_a_run_leaves_nothing_behind_however_it_ends(mood: str, number: int | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, mood], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as child:
        assert child.stdout
        report = json.loads(child.stdout.readline())
        processes = []
        for pid in report["pids"]:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(pid))
        if number is not None:
            assert processes
            assert shared_memory() >= set(report["memory"])
            child.send_signal(number)
        child.wait(timeout=patient(60))

    directory = Path(report["directory"])
    give_up = time.monotonic() + patient(15)
    while directory.exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    assert not directory.exists()
    wait_dead(processes, seconds=0)
    assert [process for process in processes if process.is_running() and process.status() != "zombie"] == []
    assert shared_memory().isdisjoint(report["memory"])


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.__name__)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this module's own."""
    kind: type[Server] = request.param
    server = RedisServer(appendonly=True) if kind is RedisServer else kind()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(own_server: Server) -> Server:
    """A running server, to be maltreated."""
    own_server.ensure()
    return own_server


def remember(server: Server, value: int) -> None:
    """Keep a number in the server."""
    if isinstance(server, RedisServer):
        server.client().set("remembered", value)
    elif isinstance(server, DatabaseServer):
        server.execute("CREATE TABLE IF NOT EXISTS remembered (value integer)")
        server.execute(f"INSERT INTO remembered VALUES ({value})")


def recall(server: Server) -> int:
    """Return the largest number kept in the server."""
    if isinstance(server, RedisServer):
        return int(server.client().get("remembered") or 0)
    assert isinstance(server, DatabaseServer)
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(value) FROM remembered")
        return int(cursor.fetchone()[0])


def test_what_was_written_survives_a_crash_and_a_restart(server: Server) -> None:
    port = server.port
    remember(server, 1)
    server.kill()
    assert not server.answers()
    server.start()
    assert recall(server) == 1
    remember(server, 2)
    server.restart()
    assert recall(server) == 2
    assert server.port == port


def test_a_frozen_server_takes_connections_and_does_not_answer(server: Server) -> None:
    with server.frozen():
        began = time.monotonic()
        assert not server.answers()
        assert time.monotonic() - began > 1
    assert server.answers()


def test_a_server_is_brought_back_from_a_crash_and_from_a_freeze(server: Server) -> None:
    server.kill()
    server.ensure()
    assert server.answers()
    server.freeze()
    server.ensure()
    assert server.answers()


def test_servers_listen_on_this_machine_alone(server: Server) -> None:
    listening = [c for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


IGNORED = """
import signal, sys
from tests.runs import Job, current_run
for directory in map(current_run().directory.joinpath, ("one", "two")):
    directory.mkdir()
    Job([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"], directory).finish()
    print((directory / "log").read_text().strip())
    signal.raise_signal(signal.SIGINT)  # It is still ignored here.
"""


def test_what_tests_start_has_its_signals_though_they_were_started_without() -> None:
    shell = ["/bin/sh", "-c", 'trap "" INT; exec "$0" "$@"']  # As a background shell and nohup do.
    done = subprocess.run([*shell, sys.executable, "-c", IGNORED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [repr(signal.default_int_handler)] * 2


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_fails_to_restart_breaks_its_own_test_alone(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    users = get_user_model().objects

    def fail_to_restart() -> None:
        with lent(kind, request) as alias, monkeypatch.context() as patch:
            users.using(alias).create(username="ann")
            patch.setattr(server, "program", Path("/bin/false"))
            server.kill()
            server.start()

    with pytest.raises(RuntimeError, match="ended with 1"):
        fail_to_restart()
    with lent(kind, request) as alias:
        assert not users.using(alias).exists()


def test_what_a_failed_test_had_set_on_a_connection_goes_with_it(request: pytest.FixtureRequest) -> None:
    with lent("postgresql", request) as alias:
        with connections[alias].cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        with pytest.raises(InternalError, match="read-only"):
            get_user_model().objects.using(alias).create(username="ann")
        forget_connections()  # As the hook does that reports of the failure.
        get_user_model().objects.using(alias).create(username="ann")


def test_a_database_that_is_lent_shows_nothing_of_tests_that_were_kept_from_it(request: pytest.FixtureRequest) -> None:
    with lent("postgresql", request) as alias:
        pass
    TransactionTestCase._add_databases_failures()
    TransactionTestCase._remove_databases_failures()
    assert "cursor" in vars(connections[alias])  # So Django leaves it; to our store it is a tracer.
    with lent("postgresql", request) as alias:
        assert "cursor" not in vars(connections[alias])


def test_pytest_s_own_time_limit_grows_with_the_machine_s_slowness(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("timeout") == patient(float(pytestconfig.getini("timeout")))


@pytest.mark.parametrize(("factor", "seconds"), [("", 2), ("1.00", 2), ("7.50", 15)])
def test_a_run_is_as_patient_as_was_measured_when_it_began(factor: str, seconds: float) -> None:
    """Without a factor the program measures by itself."""
    env = {**os.environ, "SRVSESSION_TESTS_PATIENCE": factor}
    script = "from tests.patience import patient; print(patient(2))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert float(done.stdout) >= seconds if not factor else float(done.stdout) == seconds


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_skips_on_a_laptop_and_fails_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="a server is not installed"):
        missing("a server")


def test_two_redis_clients_of_two_servers_do_not_meet() -> None:
    first, second = RedisServer(), RedisServer()
    first.start()
    second.start()
    first.client().set("here", 1)
    assert second.client().get("here") is None
    first.stop()
    with pytest.raises(redis.ConnectionError):
        first.client().ping()
    second.stop()
