"""Stop, or fail, what a store in two places does at each round trip to Redis and at each statement of the database.

A *gate* is asked before each of these steps of its thread, and does the step, or does not, or says that it failed.
Nothing of the store is replaced: the servers are real.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

import pytest
import redis
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections

from django_srvsession.backends.redis.transport import Command, loops, threads
from tests.patience import patient

T = TypeVar("T")

REDIS: Final = "Redis"
DATABASE: Final = "database"

Gate = Callable[[str, str, Callable[[], Any]], Any]
"""Given where a step is done, what is asked for, and what does it; returns the answer, or raises."""

_of_thread = threading.local()
_exchanged, _async_exchanged = threads.exchanged, loops.async_exchanged


def _stopping_exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    gate: Gate | None = getattr(_of_thread, "gate", None)
    if gate is None:
        return _exchanged(connection, commands)
    answer: list[Any] = gate(REDIS, _names(commands), lambda: _exchanged(connection, commands))
    return answer


async def _stopping_async_exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    gate: Gate | None = getattr(_of_thread, "gate", None)
    if gate is None:
        return await _async_exchanged(connection, commands)
    # The gate does nothing here but say what it thinks of the step: what it would do is done on the loop.
    asked: list[None] = []
    try:
        gate(REDIS, _names(commands), lambda: asked.append(None))
    finally:
        answer = await _async_exchanged(connection, commands) if asked else []
    return answer


def _names(commands: Sequence[Command]) -> str:
    return "+".join(str(command[0]) for command in commands)


def _stopping_execute(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    gate: Gate | None = getattr(_of_thread, "gate", None)
    if gate is None or context["connection"].in_atomic_block:  # There it may hold locks.
        return execute(sql, params, many, context)
    return gate(DATABASE, sql.split(None, 1)[0], lambda: execute(sql, params, many, context))


@contextmanager
def steps_can_be_stopped() -> Iterator[None]:
    """Let gates hear of what goes to Redis, for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "exchanged", _stopping_exchanged)
        patch.setattr(loops, "async_exchanged", _stopping_async_exchanged)
        yield


@contextmanager
def gate_of_this_thread(alias: str, gate: Gate) -> Iterator[None]:
    """Ask this gate before each step of this thread, where the database is the one of this alias."""
    with connections[alias].execute_wrapper(_stopping_execute):
        _of_thread.gate = gate
        try:
            yield
        finally:
            _of_thread.gate = None


async def on_a_loop(alias: str, gate: Gate, work: Callable[[], Awaitable[T]]) -> T:
    """Do something on the running event loop with this gate; the database is asked from the thread of its sync code."""
    stack = ExitStack()
    await sync_to_async(lambda: stack.enter_context(gate_of_this_thread(alias, gate)))()
    _of_thread.gate = gate
    try:
        return await work()
    finally:
        _of_thread.gate = None
        await sync_to_async(stack.close)()
        await sync_to_async(lambda: connections[alias].close())()


# Failures.


class Failure(NamedTuple):
    """Say which step of a call fails, by its number from 0, and whether it was done before its answer was lost."""

    number: int
    is_done: bool = False


class Failing:
    """Be a gate at which some steps fail; ``seen`` says what was asked for, and ``failed`` where."""

    def __init__(self, *failures: Failure, out: Sequence[str] = ()) -> None:
        self._failures = {failure.number: failure for failure in failures}
        self._out = out
        self.seen: list[str] = []
        self.failed: list[str] = []

    def __call__(self, place: str, what: str, work: Callable[[], Any]) -> Any:
        failure = self._failures.get(len(self.seen))
        self.seen.append(f"{place} {what}")
        if failure is None and place not in self._out:
            return work()
        self.failed.append(place)
        if failure is not None and failure.is_done:
            work()
        if place == REDIS:
            raise redis.TimeoutError("made to fail")
        raise OperationalError("made to fail")


# Two requests at once.


class Worker:
    """A thread that does one piece of work after the other, each from one step to the next when it is told to.

    It keeps its connection to the database.
    """

    def __init__(self, alias: str) -> None:
        self.is_done = True
        self.error: BaseException | None = None
        self.seen: list[str] = []
        self._alias = alias
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[], object]) -> None:
        """Take up a piece of work, and do what comes before its first step."""
        assert self.is_done
        self.is_done, self.error = False, None
        self.seen.clear()
        self._work.put(work)
        self._wait()

    def step(self) -> None:
        """Do the next step, and all up to the one after it."""
        assert not self.is_done
        self._go.release()
        self._wait()

    def close(self) -> None:
        """End the thread."""
        while not self.is_done:
            self.step()
        self._work.put(None)
        self._thread.join(patient(30))

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=patient(30)), f"it hangs after {self.seen}"

    def _gate(self, place: str, what: str, work: Callable[[], Any]) -> Any:
        self._stands.release()
        self._go.acquire()
        self.seen.append(f"{place} {what}")
        return work()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                with gate_of_this_thread(self._alias, self._gate):
                    work()
            except BaseException as error:  # noqa: BLE001 - told to the test.
                self.error = error
            self.is_done = True
            self._stands.release()
        connections[self._alias].close()
