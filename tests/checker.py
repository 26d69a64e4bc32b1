"""Visitors under load who note every fact that was acknowledged to them, and say afterwards which do not hold.

A fact is: a session was made, a value was saved, somebody signed in, the session ended. Redis copies its data to a
replica after it has answered, so what was acknowledged while one primary took another's place may be lost, whoever
asked. That time is the *doubt*; a test gives its begin and its end. What was acknowledged before or after it must hold:

* an ended session, and a key that a sign-in replaced, opens nothing;
* a live session opens: an outage is answered by 503, not by a visitor who is signed out;
* a counter stands at what was acknowledged last, or at what was tried after it.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import redis

from tests.patience import patient
from tests.processes import Visitor


class Told(NamedTuple):
    """When something was asked for, and when the answer came, by the monotonic clock."""

    asked: float
    answered: float


class Doubt(NamedTuple):
    """The time in which what is acknowledged may be lost, by the monotonic clock."""

    begin: float
    end: float

    def spares(self, fact: Told) -> bool:
        """Whether this fact must hold: it was acknowledged before, or asked for afterwards."""
        return fact.answered < self.begin or fact.asked > self.end


class OutageError(Exception):
    """Nothing was acknowledged; whether anything was done is not known."""


class Door(Protocol):
    """One session, and the way to it. Each method raises ``OutageError`` where there is no answer."""

    def save(self, number: int) -> bool:
        """Store the number; return whether the session was there, where it was made before."""

    def read(self) -> int | None:
        """Return the number, or None when the session does not open."""

    def end(self) -> None:
        """End the session."""

    def sign_in(self) -> Door | None:
        """Sign in; return the session as who holds the former key still sees it, or None where nothing changed."""


class SiteDoor:
    """A session of a site, ours or stock Django's."""

    def __init__(self, url: str, prefix: str, user: str) -> None:
        self.visitor = Visitor(url, seconds=20)
        self._prefix, self._user, self._signed_in = prefix, user, False

    def _ask(self, view: str, **query: object) -> Any:
        try:
            answer = self.visitor.get(f"{self._prefix}/{view}/", **query)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"the site gave no answer to {view}: {error!r}") from error
        if answer.status == 503:
            raise OutageError
        assert answer.status == 200, f"{view} was answered by {answer.status}"
        return answer.json()

    def save(self, number: int) -> bool:
        before = self.visitor.cookies.get("sessionid")
        self._ask("set", key="n", value=number)
        return before in (None, self.visitor.cookies.get("sessionid"))

    def read(self) -> int | None:
        shown = self._ask("read")
        opens = "n" in shown["items"] and (not self._signed_in or shown["user"] == self._user)
        return int(shown["items"]["n"]) if opens else None

    def end(self) -> None:
        former = dict(self.visitor.cookies)
        self._ask("logout")
        self.visitor.cookies = former

    def sign_in(self) -> Door | None:
        former = SiteDoor("", self._prefix, self._user)
        former.visitor = self.visitor.twin()
        self._ask("login", user=self._user)
        self._signed_in = True
        return former


class RedisDoor:
    """A key of Redis by redis-py alone, which shows what Redis itself loses."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._key = client, f"control:{random.getrandbits(64):x}"

    def _do(self, *command: Any) -> Any:
        try:
            return self._client.execute_command(*command)
        except (redis.RedisError, OSError) as error:
            raise OutageError from error

    def save(self, number: int) -> bool:
        return self._do("SET", self._key, number, *(["XX"] if number > 1 else [])) is not None

    def read(self) -> int | None:
        found = self._do("GET", self._key)
        return None if found is None else int(found)

    def end(self) -> None:
        self._do("DEL", self._key)

    def sign_in(self) -> Door | None:
        return None


@dataclass
class Life:
    """What one visitor knows of one session."""

    door: Door
    lived: list[Told] = field(default_factory=list)
    saved: list[tuple[Told, int]] = field(default_factory=list)
    looks: list[tuple[Told, int | None]] = field(default_factory=list)
    ended: Told | None = None
    tried: int = 0
    unknown: bool = False

    def save(self) -> None:
        """Store the next number."""
        self.tried += 1
        asked = time.monotonic()
        was_there = self.door.save(self.tried)
        told = Told(asked, time.monotonic())
        if was_there:
            self.lived.append(told)
            self.saved.append((told, self.tried))
        else:
            self.looks.append((told, None))
            self.unknown = True  # It is another session now.

    def look(self) -> None:
        """See whether the session opens, and what it holds."""
        asked = time.monotonic()
        number = self.door.read()
        self.looks.append((Told(asked, time.monotonic()), number))

    def end(self) -> None:
        """End the session."""
        self.unknown = True
        asked = time.monotonic()
        self.door.end()
        self.ended, self.unknown = Told(asked, time.monotonic()), False

    def sign_in(self) -> Life | None:
        """Sign in; return the life of the former key, which has ended."""
        self.unknown = True
        asked = time.monotonic()
        former = self.door.sign_in()
        if former is None:
            self.unknown = False
            return None
        told = Told(asked, time.monotonic())
        self.look()
        if self.looks[-1][1] is not None:  # Else the session had been lost, and this is another.
            self.unknown = False
            self.lived = [told]  # What was acknowledged to the former key says nothing of this one.
        return Life(former, ended=told, tried=self.tried)

    def faults(self, doubt: Doubt) -> Counter[str]:
        """Count what was seen that must not be."""
        found: Counter[str] = Counter()
        for look, number in self.looks:
            if self.ended is not None and look.asked > self.ended.answered:
                found["an ended session opened"] += number is not None and doubt.spares(self.ended)
                continue
            lived = any(doubt.spares(told) for told in self.lived if told.answered < look.asked)
            least = [n for told, n in self.saved if told.answered < look.asked and doubt.spares(told)]
            found["a live session did not open"] += lived and number is None
            found["an update was lost"] += number is not None and number < max(least, default=0)
            found["a value was never written"] += number is not None and number > self.tried
        return +found

    def story(self, doubt: Doubt) -> str:
        """Tell what happened, in seconds from the begin of the doubt."""

        def since(told: Told) -> str:
            return f"{told.asked - doubt.begin:.3f} to {told.answered - doubt.begin:.3f}"

        saved = [f"{since(told)}: {number}" for told, number in self.saved]
        looks = [f"{since(told)}: {number}" for told, number in self.looks]
        ended = self.ended and since(self.ended)
        return f"{type(self.door).__name__} lived {list(map(since, self.lived))}, saved {saved}, {ended=}, {looks=}"


class Load:
    """Threads that visit, each one session after the other, until they are told to stop."""

    def __init__(self, doors: Sequence[Any], pause: float = 0.002) -> None:
        self.lives: list[Life] = []
        self.answered: list[float] = []
        self.outages: list[float] = []
        self.broken: list[BaseException] = []
        self.visitors = len(doors)
        """How many of them visit; the others wait."""
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=item, daemon=True) for item in enumerate(doors)]

    def __len__(self) -> int:
        return len(self._threads)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let all visitors finish what they do, and look once more at every session that is left to them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(patient(60))
            assert not thread.is_alive(), "a visitor hangs"

    def facts(self) -> int:
        """Return how many facts were acknowledged."""
        return sum(len(life.lived) + (life.ended is not None) for life in self.lives)

    def wait_for_facts(self, more: int, seconds: float = 60) -> None:
        """Wait until so many more facts have been acknowledged."""
        wanted, give_up = self.facts() + more, time.monotonic() + patient(seconds)
        while self.facts() < wanted:
            assert time.monotonic() < give_up, f"no work gets done: {self.broken}"
            time.sleep(0.02)

    def faults(self, doubt: Doubt) -> Counter[str]:
        """Count what was seen that must not be; ``doubt`` is the time whose facts may be lost."""
        found: Counter[str] = Counter()
        for life in self.lives:
            found += life.faults(doubt)
        found += Counter(repr(error) for error in self.broken)
        return found

    def stories(self, doubt: Doubt) -> str:
        """Tell the lives that have faults, and how long the doubt was."""
        told = [life.story(doubt) for life in self.lives if life.faults(doubt)]
        return "\n".join([f"The doubt: {doubt.end - doubt.begin:.3f} s", *told])

    def report(self, doubt: Doubt) -> str:
        """Say in a line what came of it: how many facts, faults, faults if nothing were in doubt, and outages."""
        times = sorted(self.answered)
        silence = max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)
        faults, all_faults = dict(self.faults(doubt)), dict(self.faults(Doubt(0, 0)))
        outages = f"{len(self.outages)} outages, {silence:.1f} s without an answer"
        return f"{self.facts()} facts, faults {faults}, with those in doubt {all_faults}, {outages}"

    def look_at_all(self) -> None:
        """Look at every session once more, when all is well again."""
        for life in self.lives:
            if not life.unknown:
                life.look()

    def _visit(self, number: int, new_door: Any) -> None:
        try:
            while not self._stop.is_set():
                if number >= self.visitors:
                    time.sleep(0.02)
                    continue
                life = Life(new_door())
                self.lives.append(life)
                for step in self._plan(life):
                    self._do(step)
                    if self._stop.is_set() or life.unknown or not life.lived:
                        break
                    time.sleep(self._pause)
        except BaseException as error:  # noqa: BLE001 - a fault like any other, told at the end.
            self.broken.append(error)

    def _do(self, step: Any) -> None:
        try:
            former = step()
        except OutageError:
            self.outages.append(time.monotonic())
            time.sleep(0.02)
        else:
            self.answered.append(time.monotonic())
            if former is not None:
                self.lives.append(former)
                self._do(former.look)

    def _plan(self, life: Life) -> list[Any]:
        work = [random.choice([life.save, life.look]) for _ in range(random.randrange(1, 8))]
        end = [life.end, life.look, life.look] if random.random() < 0.5 else []
        return [life.save, *random.choice([[], [life.sign_in]]), *work, *end]
