"""Steps: the engine's procedures, written once as generators and run by a sync and an async driver.

A procedure yields what it wants done (:class:`Call` a verb of the store, :class:`Emit` a signal, :class:`Pause`) and is
sent the answer. So the sync and the async API cannot drift apart, and a test can hold a procedure between two steps and
run another one there, in every order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

from django.dispatch import Signal

from django_srvsession.store import Store, waiting

T = TypeVar("T")


class Call(NamedTuple):
    """Call a verb of the store."""

    verb: str
    args: tuple[Any, ...]

    def run(self, store: Store) -> Any:
        """Do it, blocking."""
        return getattr(store, self.verb)(*self.args)

    async def arun(self, store: Store) -> Any:
        """Do it through the store's face."""
        return await getattr(store.face(), self.verb)(*self.args)


class Brief(NamedTuple):
    """Call a verb of the store, and have it wait for so many seconds at most."""

    call: Call
    seconds: float

    def run(self, store: Store) -> Any:
        """Do it, blocking."""
        with waiting.at_most(self.seconds):
            return self.call.run(store)

    async def arun(self, store: Store) -> Any:
        """Do it through the store's face."""
        with waiting.at_most(self.seconds):
            return await self.call.arun(store)


class Emit(NamedTuple):
    """Send a signal, robustly, once what was written so far is committed."""

    signal: Signal
    sender: Any
    arguments: dict[str, Any]

    def run(self, store: Store) -> None:
        """Send it now, or after the caller's transaction."""
        if self.signal.has_listeners(self.sender):
            store.on_commit(lambda: self.signal.send_robust(self.sender, **self.arguments))

    async def arun(self, store: Store) -> None:
        """Send it now: an event loop is in no transaction."""
        if self.signal.has_listeners(self.sender):
            await self.signal.asend_robust(self.sender, **self.arguments)


class Pause(NamedTuple):
    """Wait before another try."""

    seconds: float

    def run(self, store: Store) -> None:
        """Wait, blocking the thread."""
        time.sleep(self.seconds)

    async def arun(self, store: Store) -> None:
        """Wait, leaving the loop to others."""
        await asyncio.sleep(self.seconds)


Step = Call | Brief | Emit | Pause
Steps = Generator[Step, Any, T]


def brief(steps: Steps[T], seconds: float) -> Steps[T]:
    """Return a procedure each of whose calls of the store waits for so many seconds at most."""
    # The limit holds for each call alone: between two of them another procedure may run in this thread.
    try:
        step = next(steps)
        while True:
            try:
                answer = yield Brief(step, seconds) if isinstance(step, Call) else step
            except BaseException as error:  # noqa: BLE001 - handed on, as the drivers do
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def run(steps: Steps[T], store: Store) -> T:
    """Run a procedure to its end and return its result; an error of a step is raised inside the procedure."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.run(store)
            except BaseException as error:  # noqa: BLE001 - handed to the procedure, which raises what it does not handle.
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun(steps: Steps[T], store: Store) -> T:
    """Run a procedure as :func:`run` does, awaiting its steps."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.arun(store)
            except BaseException as error:  # noqa: BLE001 - as in run(); a cancellation passes through the same way.
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
