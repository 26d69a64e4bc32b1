"""The ways to Redis: commands in one round trip, for threads and for event loops, to one server or to a cluster.

A procedure of the store is one ``async def`` over a :class:`Transport`. Where a thread may block, ``call`` sends and
waits and is never suspended, so ``run_blocking`` brings the procedure to its end in one go.

Commands are sent on a connection taken from a pool, not through redis-py's clients: these repeat what they think has
failed, and a rotation applied twice loses to itself. Nothing here is ever sent twice, but for what a server says it did
not run: it does not know the script, or has no such slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Command = tuple[Any, ...]
"""A command of Redis and its arguments, as bytes, str, int or float."""

Ask = Callable[[Command], Any]
"""Send one server one command and return its reply, which may be a ``ResponseError``; blocking."""


class Transport(Protocol):
    """Send commands. Replies are as Redis sent them; an error reply is an exception *in the list*."""

    is_one_server: bool
    """Whether one script may touch several keys."""

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands and return their replies, in their order; commands on one key are done in their order.

        Raises :class:`StoreUnavailableError`; which of the commands were done is not known then.
        """
        ...


class BlockingTransport(Transport, Protocol):
    """Send commands from any thread; safe over ``fork()``, because the pools are. ``call`` is never suspended."""

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Do as :meth:`call`."""
        ...

    def read(self, command: Command) -> Any:
        """Send one command that changes nothing, and return its reply; else as :meth:`call`."""
        ...

    def primaries(self) -> Mapping[str, Ask]:
        """Return a way to ask each primary alone, by its name; one server has none."""
        ...

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """Yield the keys that match, in portions of about ``count`` looked at; a key may come twice."""
        ...

    def refresh(self) -> None:
        """Learn anew which servers there are."""
        ...
