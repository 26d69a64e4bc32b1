"""Listen to a site's WebSockets and event streams over plain sockets, and say what came last."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, RejectConnection, Request

from tests.patience import patient
from tests.processes import Visitor


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what must come true."""
    give_up = time.monotonic() + patient(20)
    while not condition():
        assert time.monotonic() < give_up, "it does not happen"
        time.sleep(0.05)


def _cookies(visitor: Visitor) -> str:
    return "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())


class Listener:
    """A connection that stays open; ``end`` is what the server said last, once it has."""

    def __init__(self, visitor: Visitor, path: str) -> None:
        host, _, port = urlsplit(f"http://{visitor.address}").netloc.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=patient(10))
        self.host = visitor.address
        self.path = path
        self.cookie = _cookies(visitor)
        self.heard = 0
        self.end: Any = None

    def _more(self, seconds: float) -> bytes | None:
        """Return what came within that time, None if nothing did; b"" is the end of the connection."""
        self.socket.settimeout(max(seconds, 0.001))
        with contextlib.suppress(TimeoutError):
            return self.socket.recv(65536)
        return None

    def _take(self, data: bytes) -> None:
        raise NotImplementedError

    def listen(self, seconds: float) -> Any:
        """Listen for so long, or until the server ends the connection; return how it did, None if it goes on."""
        until = time.monotonic() + seconds
        while self.end is None and (left := until - time.monotonic()) > 0:
            data = self._more(left)
            if data is not None:
                self._take(data)
        return self.end

    def ended(self, seconds: float) -> Any:
        """Return how the server ended the connection; fails if it did not so soon."""
        end = self.listen(patient(seconds))
        assert end is not None, f"{self.path} goes on"
        return end

    def goes_on(self) -> bool:
        """Tell whether something still comes."""
        while (data := self._more(0)) is not None and self.end is None:
            self._take(data)
        before, until = self.heard, time.monotonic() + patient(5)
        while self.end is None and self.heard == before and time.monotonic() < until:
            self.listen(0.01)
        return self.end is None and self.heard > before

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Socket(Listener):
    """A WebSocket; it ends with a code and a reason."""

    def __init__(self, visitor: Visitor, path: str = "/socket/") -> None:
        super().__init__(visitor, path)
        self.ws = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Origin", f"http://{self.host}".encode())]  # As a browser does.
        headers += [(b"Cookie", self.cookie.encode())] if self.cookie else []
        self.socket.sendall(self.ws.send(Request(host=self.host, target=path, extra_headers=headers)))
        self.is_open = False
        until = time.monotonic() + patient(10)
        while not self.is_open and self.end is None and time.monotonic() < until:
            self.listen(0.05)

    def _take(self, data: bytes) -> None:
        self.ws.receive_data(data or None)
        for event in self.ws.events():
            if isinstance(event, AcceptConnection):
                self.is_open = True
            elif isinstance(event, RejectConnection):
                self.end = ("rejected", event.status_code)
            elif isinstance(event, CloseConnection):
                self.end = self.end or (int(event.code), event.reason or "")
            elif isinstance(event, Message):
                self.heard += 1


class Stream(Listener):
    """An event stream; it ends with the name and the data of its last event, if the answer was complete."""

    def __init__(self, visitor: Visitor, path: str = "/stream/") -> None:
        super().__init__(visitor, path)
        cookie = f"Cookie: {self.cookie}\r\n" if self.cookie else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n{cookie}\r\n".encode())
        self.text = b""
        until = time.monotonic() + patient(10)
        while not self.heard and self.end is None and time.monotonic() < until:
            self.listen(0.05)

    def _take(self, data: bytes) -> None:
        self.text += data
        self.heard = self.text.count(b"data: ")
        if not data:
            self.end = ("cut off", "")
        elif self.text.endswith(b"\r\n0\r\n\r\n") or self.text.startswith(b"0\r\n\r\n"):
            body = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", self.text)
            name = re.findall(rb"event: (.+)\n", body)
            last = re.findall(rb"data: (.+)\n", body)
            self.end = ((name or [b""])[-1].decode(), last[-1].decode())


@contextlib.contextmanager
def all_of(*listeners: Listener) -> Iterator[tuple[Listener, ...]]:
    """Hang up in the end."""
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()
