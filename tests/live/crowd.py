"""Many connections in a process of their own: ``python -m tests.live.crowd ADDRESS COOKIES COUNT ROUNDS``.

Opens ``COUNT`` WebSockets and event streams, in turn, with the cookies that a file names, one a line, and says so. To
each line on its standard input it answers how they have ended. At "next" it hangs up, and begins anew, so often as
``ROUNDS`` says.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request

_AT_ONCE = 50


class Client:
    """A connection that only listens."""

    def __init__(self, address: str, cookie: str) -> None:
        self.address = address
        self.cookie = cookie
        self.end = "open"
        self.accepted = asyncio.Event()

    async def open(self, gate: asyncio.Semaphore) -> None:
        """Connect, and return when the server has accepted."""
        host, _, port = self.address.partition(":")
        async with gate:
            reader, self.writer = await asyncio.open_connection(host, int(port))
            self.writer.write(self.greeting())
            self.listening = asyncio.create_task(self._listen(reader))
            await self.accepted.wait()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            self.take(data)
        self.accepted.set()

    def greeting(self) -> bytes:
        """Return what is sent first."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """Look at what came."""
        raise NotImplementedError

    async def close(self) -> None:
        """Hang up."""
        self.listening.cancel()
        self.writer.close()
        await asyncio.gather(self.listening, return_exceptions=True)


class Socket(Client):
    """A WebSocket."""

    def greeting(self) -> bytes:
        """Return the handshake."""
        self.ws = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Cookie", f"sessionid={self.cookie}".encode())]
        return self.ws.send(Request(host=self.address, target="/quiet/", extra_headers=headers))

    def take(self, data: bytes) -> None:
        """Wait for the handshake, and the close."""
        self.ws.receive_data(data)
        for event in self.ws.events():
            if isinstance(event, AcceptConnection):
                self.accepted.set()
            elif isinstance(event, CloseConnection):
                self.end = str(event.code)


class Stream(Client):
    """An event stream."""

    def greeting(self) -> bytes:
        """Return the request."""
        return f"GET /quiet/ HTTP/1.1\r\nHost: {self.address}\r\nCookie: sessionid={self.cookie}\r\n\r\n".encode()

    def take(self, data: bytes) -> None:
        """Wait for the first event, and the last."""
        if b"data: 0" in data:
            self.accepted.set()
        if b"session-ended" in data:
            self.end = "session-ended"


async def main(address: str, cookies: Path, count: int, rounds: int) -> None:
    """Do all rounds."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
    for _ in range(rounds):
        kinds = cycle([Socket, Stream])
        clients = [next(kinds)(address, cookie) for cookie in islice(cycle(cookies.read_text().split()), count)]
        await asyncio.gather(*(client.open(gate) for client in clients))
        print("open", flush=True)
        while (await loop.run_in_executor(None, sys.stdin.readline)).strip() not in ("next", ""):
            print(dict(Counter(client.end for client in clients)), flush=True)
        await asyncio.gather(*(client.close() for client in clients))


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
