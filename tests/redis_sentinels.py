"""A primary Redis, its replica, and three Sentinels that make the replica the primary when the primary is lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.patience import patient
from tests.servers import RedisServer

NAME = "sessions"
"""What the Sentinels call the primary."""


class Proxy:
    """Carry connections to a server on 127.0.0.1, and cut that server off from the Sentinels alone.

    It runs in a thread of the tests. A Sentinel is known by its first words: the name it gives its connection.
    """

    def __init__(self) -> None:
        self.target_port = 0
        self.is_cut = False
        self._sentinels: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def cut(self) -> None:
        """End the connections of the Sentinels, and let them make no others."""
        self.is_cut = True
        self._do(self._end(self._sentinels))

    def mend(self) -> None:
        """End a ``cut()``."""
        self.is_cut = False

    def close(self) -> None:
        """Carry nothing any more."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self, writers: set[asyncio.StreamWriter]) -> None:
        for writer in list(writers):
            writer.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            first = await reader.read(65536)
            if is_sentinel := b"sentinel-" in first:
                if self.is_cut:
                    return
                self._sentinels.add(writer)
            try:
                there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
                with contextlib.closing(back):
                    back.write(first)
                    await _first_ended(_pipe(reader, back), _pipe(there, writer))
            finally:
                if is_sentinel:
                    self._sentinels.discard(writer)


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


async def _first_ended(*coroutines: Any) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class ReplicatedServer(RedisServer):
    """A Redis that is reached through a proxy, and may be the replica of another."""

    def __init__(self, primary: ReplicatedServer | None = None) -> None:
        super().__init__(appendonly=True)
        self.primary = primary
        self.proxy = Proxy()

    def command(self) -> list[str | Path]:
        self.proxy.target_port = self.port
        options = ["--replica-announce-port", str(self.proxy.port), "--repl-diskless-sync-delay", "0"]
        if self.primary:
            options += ["--replicaof", self.host, str(self.primary.proxy.port)]
        return [*super().command(), *options]

    @property
    def role(self) -> str:
        """What it takes itself for: "master", or "slave"."""
        with self.client() as client:
            return str(client.info("replication")["role"])

    def is_replica_in_step(self) -> bool:
        """Whether it follows a primary and has all the data."""
        try:
            with self.client() as client:
                return client.info("replication").get("master_link_status") == "up"
        except redis.RedisError:
            return False


class SentinelServer(RedisServer):
    """One Sentinel. Its file is its own to write."""

    def __init__(self, primary: ReplicatedServer) -> None:
        super().__init__()
        self._primary = primary
        self._file = self.directory / "sentinel.conf"

    def prepare(self) -> None:
        super().prepare()
        lines = [
            f"bind {self.host}",
            f"dir {self.data}",
            f"sentinel monitor {NAME} {self.host} {self._primary.proxy.port} 2",
            f"sentinel down-after-milliseconds {NAME} {patient(1000):.0f}",
            f"sentinel failover-timeout {NAME} {patient(3000):.0f}",
        ]
        self._file.write_text("\n".join(lines) + "\n")
        if self.user:
            shutil.chown(self._file, self.user)

    def command(self) -> list[str | Path]:
        return [self.program, self._file, "--port", str(self.port), "--sentinel"]

    def start(self) -> None:
        super().start()
        with self.client() as client, contextlib.suppress(redis.ResponseError):  # Of Redis 7.
            # By default they tell each other every second or two what they see.
            for period in ("publish-period", "info-period", "ping-period", "ask-period", "min-link-reconnect-period"):
                client.execute_command("SENTINEL", "DEBUG", period, f"{patient(200):.0f}")

    def ask(self, *words: Any) -> Any:
        """Send one ``SENTINEL`` command and return the reply as it came, in bytes."""
        with self.client(protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command("SENTINEL", *words)

    def state(self) -> dict[str, str]:
        """Return what it knows of the primary."""
        words = [word.decode() for word in self.ask("MASTER", NAME)]
        return dict(zip(words[::2], words[1::2], strict=True))


class SentinelGroup:
    """Two servers, of which one is the primary, and three Sentinels, of which two decide."""

    def __init__(self) -> None:
        first = ReplicatedServer()
        self.servers = [first, ReplicatedServer(first)]
        self.sentinels = [SentinelServer(first) for _ in range(3)]

    def start(self) -> None:
        """Start all and wait until the Sentinels know each other and the replica."""
        for server in [*self.servers, *self.sentinels]:
            server.start()
        self.heal()

    def stop(self) -> None:
        """Kill all."""
        for server in [*self.sentinels, *self.servers]:
            if server.job:
                server.kill()
        for server in self.servers:
            server.proxy.close()

    @property
    def primary(self) -> ReplicatedServer:
        """The server that the Sentinels call the primary."""
        port = int(self.sentinels[0].state()["port"])
        return next(server for server in self.servers if server.proxy.port == port)

    @property
    def replica(self) -> ReplicatedServer:
        """The other one."""
        return next(server for server in self.servers if server is not self.primary)

    def wait(self, is_so: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something is so; raise ``RuntimeError`` when time is up, and tell how all stand."""
        give_up = time.monotonic() + patient(seconds)
        while not is_so():
            if time.monotonic() > give_up:
                raise RuntimeError(f"The Sentinels and servers do not come to what is waited for:\n{self._story()}")
            time.sleep(0.02)

    def _story(self) -> str:
        lines = []
        for server in self.servers:
            try:
                role = server.role
            except redis.RedisError as error:
                role = repr(error)
            lines.append(f"Server {server.port}, reached by {server.proxy.port}: {role}")
        for sentinel in self.sentinels:
            try:
                state = sentinel.state()
            except redis.RedisError as error:
                lines.append(f"Sentinel {sentinel.port}: {error!r}")
            else:
                lines.append(f"Sentinel {sentinel.port}: {state['port']} is {state['flags']}")
            lines.append(sentinel.job.last_words(12) if sentinel.job else "not started")
        return "\n".join(lines)

    def wait_promoted(self, server: ReplicatedServer) -> None:
        """Wait until all Sentinels tell clients that this server is the primary, and it is."""
        self.wait(lambda: self._is_primary(server))

    def _is_primary(self, server: ReplicatedServer) -> bool:
        ports = {int(sentinel.state()["port"]) for sentinel in self.sentinels}
        return ports == {server.proxy.port} and server.role == "master"

    def failover(self) -> ReplicatedServer:
        """Have the replica made the primary, as an operator does (``SENTINEL FAILOVER``); return it, promoted."""
        promoted = self.replica
        self.sentinels[0].ask("FAILOVER", NAME)
        self.wait_promoted(promoted)
        return promoted

    def heal(self) -> None:
        """Bring back whatever a test killed, froze or cut off; wait until the replica is in step and all know it."""
        for server in self.servers:
            server.proxy.mend()
        for server in [*self.servers, *self.sentinels]:
            server.ensure()
        self.wait(self._agree)
        with self.replica.client() as client:  # The Sentinels would do so, in time.
            client.replicaof(self.primary.host, self.primary.proxy.port)
        self.wait(self._is_well, 60)

    def _agree(self) -> bool:
        """Whether no failover is under way, or will be."""
        states = [sentinel.state() for sentinel in self.sentinels]
        return len({state["port"] for state in states}) == 1 and {state["flags"] for state in states} == {"master"}

    def _is_well(self) -> bool:
        states = [sentinel.state() for sentinel in self.sentinels]
        known = {(state["num-slaves"], state["num-other-sentinels"]) for state in states}
        return (
            self._agree()
            and known == {("1", "2")}
            and self.replica.is_replica_in_step()
            and self.primary.role == "master"
        )

    def cache_settings(self, **options: Any) -> dict[str, Any]:
        """Return a ``CACHES`` entry of django-redis that asks these Sentinels, with short time limits."""
        limit = patient(0.5)
        asked = {"socket_timeout": limit, "socket_connect_timeout": limit, "retry": Retry(NoBackoff(), 0)}
        own = {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": [(sentinel.host, sentinel.port) for sentinel in self.sentinels],
            "SENTINEL_KWARGS": asked,
            "SOCKET_TIMEOUT": limit,
            "SOCKET_CONNECT_TIMEOUT": limit,
        }
        return {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{NAME}/0",
            "OPTIONS": {**own, **options},
        }
