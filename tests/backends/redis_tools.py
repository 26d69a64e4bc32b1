"""What tests of the Redis store need: a store that tells what it sends, a server that answers as told, a cluster."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.format import NEVER, read_image, session_image
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.transport import Ask, Command
from django_srvsession.records import Delta, Loaded
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.patience import patient
from tests.runs import wait_until
from tests.servers import RedisServer, free_port

_urls = itertools.count(1)


def own_pool(settings: Any, url: str, **options: Any) -> None:
    """Point the sessions' alias at a URL, with a pool of its own: django-redis keeps one per URL for ever."""
    use(settings, pool_entry(url, **options))


def use_alias(settings: Any, entry: dict[str, Any]) -> None:
    """Make a ``CACHES`` entry the sessions' alias, with a pool of its own."""
    use(settings, {**entry, "LOCATION": own_url(entry["LOCATION"])})


def use(settings: Any, entry: dict[str, Any]) -> None:
    """Let the sessions' alias be this one."""
    settings.CACHES = {**settings.CACHES, "sessions": entry}
    settings.SESSION_CACHE_ALIAS = "sessions"


def pool_entry(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of ``CACHES`` with a pool of its own, which all share who use the entry."""
    limits = {"SOCKET_TIMEOUT": patient(0.5), "SOCKET_CONNECT_TIMEOUT": patient(0.5)}
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": own_url(url),
        "OPTIONS": {**limits, **options},
    }


def own_url(url: str) -> str:
    """Return a URL that leads to the same place, and that no pool has yet."""
    return f"{url}{'&' if '?' in url else '?'}client_name=test-{next(_urls)}"


class Recorder:
    """Stand between a store and its transport: note each round trip, and let a test step in."""

    def __init__(self, store: RedisStore) -> None:
        self.transport = store.transport
        self.trips: list[Sequence[Command]] = []
        self.before: Callable[[Sequence[Command]], None] = lambda commands: None
        self.after: Callable[[Sequence[Command]], None] = lambda commands: None
        store.__dict__["transport"] = self

    @property
    def is_one_server(self) -> bool:
        return self.transport.is_one_server

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        return self.exchange(commands)

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        self.before(commands)
        self.trips.append(commands)
        replies = self.transport.exchange(commands)
        self.after(commands)
        return replies

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        return self.transport.scan(pattern, count)

    def primaries(self) -> dict[str, Ask]:
        return {"": lambda command: self.exchange([command])[0]}

    def read(self, command: Command) -> Any:
        return self.exchange([command])[0]

    def refresh(self) -> None: ...

    @property
    def names(self) -> list[list[str]]:
        """The names of the commands, by round trip."""
        return [[command[0] for command in trip] for trip in self.trips]


class FakeRedis:
    """Accept connections and answer each command but those of the handshake with the bytes that a test has chosen.

    ``answer`` gets the command's parts and returns the reply; b"" hangs up.
    """

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self.answer = answer
        self.received: list[list[bytes]] = []
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0?protocol=2"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # shutdown() wakes the thread in accept(); close() alone would leave it there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def named(self, name: bytes) -> list[list[bytes]]:
        """The commands of this name that have come in."""
        return [command for command in self.received if command[0] == name]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            while head := lines.readline():
                command = [lines.read(int(lines.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
                if not (reply := self._reply(command)):
                    return
                connection.sendall(reply)
                if not reply.endswith(b"\r\n"):
                    return  # Truncated, and hung up.

    def _reply(self, command: list[bytes]) -> bytes:
        if command[0] in (b"CLIENT", b"SELECT", b"PING"):
            return b"+OK\r\n"
        self.received.append(command)
        return b"*2\r\n$10\r\n1900000000\r\n$1\r\n0\r\n" if command[0] == b"TIME" else self.answer(command)


class Cluster:
    """Three private servers that are a Redis Cluster."""

    def __init__(self) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
        self.bus_ports = [free_port() for _ in range(3)]  # The default, 10,000 above, may not exist.
        self.servers = [RedisServer(extra=[*options, "--cluster-port", str(port)]) for port in self.bus_ports]

    def start(self) -> None:
        for server in self.servers:
            server.start()
        clients = [server.client() for server in self.servers]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 5462, min(number * 5462 + 5461, 16383))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", self.servers[0].host, self.servers[0].port, self.bus_ports[0])
        job = self.servers[0].job
        assert job
        wait_until(lambda: all(self._is_ready(client) for client in clients), job)

    def _is_ready(self, client: redis.Redis) -> bool:
        # All three must know that all three serve. (redis-py reads these replies into dicts.)
        info, nodes = client.execute_command("CLUSTER INFO"), client.execute_command("CLUSTER NODES")
        return info["cluster_state"] == "ok" and [node["connected"] for node in nodes.values()] == [True] * 3

    @property
    def url(self) -> str:
        """Where one of them answers."""
        return self.servers[0].url

    def stop(self) -> None:
        for server in self.servers:
            server.kill()


def rewrite(client: redis.Redis, key: bytes, **fields: Any) -> None:
    """Change the record of a session where it is stored, by hand; its user's index is taken to hold it for ever."""
    session = read_image("", client.get(key), 0)
    assert isinstance(session, Loaded)
    client.set(key, session_image(session.record._replace(**fields), session.values, NEVER), keepttl=True)


def not_stored_without_a_list(store: RedisStore, keys: Keys, server_of: Callable[[str], Any]) -> None:
    """Put keys of another type where the lists are; no session may come of a creation or a sign-in then."""
    user_id, sid, visitor = new_user(), new_sid(), create(store)
    for taken, delta in (
        (keys.user(user_id), new_delta(user_id=user_id)),
        (keys.live_of("user", sid), new_delta(user_id=user_id)),
        (keys.live_of("anon", sid), new_delta()),
    ):
        server_of(taken).ask("SET", taken, "not ours")
        try:
            with pytest.raises(StoreUnavailableError):
                store.create(sid, new_verifier(), delta)
            assert store.load(sid) is None
        finally:
            server_of(taken).ask("DEL", taken)
    server_of(keys.user(user_id)).ask("SET", keys.user(user_id), "not ours")
    for change in (
        lambda: store.update(visitor.record.sid, visitor.record.verifier, Delta(user_id=user_id), visitor),
        lambda: store.update(
            visitor.record.sid, visitor.record.verifier, Delta(user_id=user_id, new_verifier=new_verifier())
        ),
    ):
        with pytest.raises(StoreUnavailableError):
            change()
        assert stored(store, visitor.record.sid).record == visitor.record
    server_of(keys.user(user_id)).ask("DEL", keys.user(user_id))
