"""Visit a site by connections that stay open and are spread over its processes, many requests at once."""

from __future__ import annotations

import http.client
import itertools
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.patience import patient
from tests.processes import Answer, Site
from tests.trust import rounds

COOKIE = "sessionid"
PATIENCE_SECONDS = patient(30)
_gates = itertools.count(1)

Request = tuple[str, str | None, dict[str, object]]
"""A path, a session cookie, a query."""


class Wire:
    """A connection to one process of a site. ``send()`` and ``answer()`` are apart, so that one thread races many."""

    # 400 is how stock Django says that the session was deleted under the request's feet.
    statuses: tuple[int, ...] = (200, 400)

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)

    def send(self, path: str, cookie: str | None = None, **query: object) -> None:
        """Send a request, with this session cookie."""
        headers = {} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"}
        self._connection.request("GET", f"{path}?{urlencode(query)}" if query else path, headers=headers)

    def answer(self) -> Answer:
        """Wait for the answer to what was sent; a status that no race should bring about is an ``AssertionError``."""
        answer = Answer(self._connection.getresponse())
        assert answer.status in self.statuses, f"{answer.status}: {answer.body[-2000:]!r}"
        return answer

    def get(self, path: str, cookie: str | None = None, **query: object) -> Answer:
        """Send a request and wait for its answer."""
        self.send(path, cookie, **query)
        return self.answer()

    def fileno(self) -> int:
        """Return the socket's number, for selectors."""
        return int(self._connection.sock.fileno())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def cookie_after(answer: Answer, cookie: str | None) -> str | None:
    """Return the session cookie that a browser which had ``cookie`` has after this answer; None: no cookie."""
    morsel = answer.cookies.get(COOKIE)
    if morsel is None:
        return cookie
    return morsel.value if morsel.value and str(morsel["max-age"]) != "0" else None


class Lane:
    """Several connections to a site, in turn to each of its processes; on each only these ``statuses`` may come."""

    def __init__(self, site: Site, size: int, statuses: Sequence[int] = Wire.statuses) -> None:
        self.site = site
        self.wires = _spread(site, size)
        for wire in self.wires:
            wire.statuses = tuple(statuses)

    def __getitem__(self, number: int) -> Wire:
        return self.wires[number]

    def get(self, path: str, cookie: str | None = None, **query: object) -> Answer:
        """Send one request by itself and wait for the answer."""
        return self.wires[0].get(path, cookie, **query)

    def together(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all requests, each on a connection of its own; return the answers in the requests' order."""
        return [answer for _, answer in sorted(self.as_they_come(requests).items())]

    def as_they_come(self, requests: Sequence[Request]) -> dict[int, Answer]:
        """Send all requests, each on a connection of its own; return number and answer of each, the first one first."""
        answers: dict[int, Answer] = {}
        with selectors.DefaultSelector() as selector:
            for number, (wire, (path, cookie, query)) in enumerate(zip(self.wires, requests, strict=False)):
                wire.send(path, cookie, **query)
                selector.register(wire, selectors.EVENT_READ, number)
            while len(answers) < len(requests):
                for ready, _ in selector.select(PATIENCE_SECONDS):
                    answers[ready.data] = self.wires[ready.data].answer()
                    selector.unregister(ready.fileobj)
        return answers

    def log_in(self, user: str, cookie: str | None = None) -> str:
        """Sign in and return the cookie."""
        cookie = cookie_after(self.get("/login/", cookie, user=user), cookie)
        assert cookie, "signing in set no cookie"
        return cookie

    def new_session(self, **values: object) -> str:
        """Start an anonymous session with these values and return its cookie."""
        cookie = None
        for key, value in (values or {"key": "value"}).items():
            cookie = cookie_after(self.get("/set/", cookie, key=key, value=value), cookie)
        assert cookie, "a new session set no cookie"
        return cookie

    def items(self, cookie: str | None) -> dict[str, object]:
        """Return what a session holds."""
        items: dict[str, object] = self.get("/read/", cookie).json()["items"]
        return items

    def user(self, cookie: str | None) -> str:
        """Return whom a cookie signs in, or the empty string."""
        return str(self.get("/whoami/", cookie).json()["user"])

    def sessions(self, user: str) -> set[str]:
        """Return the names of a user's listed sessions."""
        return set(self.get("/sessions/", user=user).json()["keys"])

    def names(self, cookies: Sequence[str | None]) -> set[str]:
        """Return the names of those sessions that sign somebody in."""
        answers = [self.get("/key/", cookie).json() for cookie in cookies]
        return {answer["key"] for answer in answers if answer["user"]}

    @contextmanager
    def hold(self, path: str, cookie: str | None, **query: object) -> Iterator[Held]:
        """Hold a request at its gate for the length of a block; its answer is there after the block."""
        held = Held(self, path, cookie, query)
        try:
            yield held
        finally:
            held.let_go()

    def close(self) -> None:
        """Close all connections."""
        for wire in self.wires:
            wire.close()


class Held:
    """A request that has loaded its session and waits at a gate."""

    def __init__(self, lane: Lane, path: str, cookie: str | None, query: dict[str, object]) -> None:
        self._wire = lane.wires[-1]
        name = f"gate-{next(_gates)}"
        self._gate = lane.site.directory / name
        self._wire.send(path, cookie, gate=name, **query)
        self._wait(Path(f"{self._gate}.reached"))
        self.answer: Answer

    def _wait(self, reached: Path) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not reached.exists():
            assert time.monotonic() < give_up, "the request never came to its gate"
            time.sleep(0.001)

    def let_go(self) -> None:
        """Open the gate and wait for the answer."""
        Path(f"{self._gate}.open").touch()
        self.answer = self._wire.answer()


def _spread(site: Site, size: int) -> list[Wire]:
    """Open connections until every process has its share; who accepts one is the kernel's choice, and it has moods.

    A crowd of them keeps one process too busy to take all; a process that is still starting gets its time.
    """
    share = -(-size // site.workers)
    shares: dict[int, list[Wire]] = {}
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(shares) < site.workers or min(map(len, shares.values())) < share:
        assert time.monotonic() < give_up, f"of {site.workers} processes only {len(shares)} took connections"
        for wire, process in _asked(site, max(size, 8 * site.workers)):
            of_process = shares.setdefault(process, [])
            of_process.append(wire) if len(of_process) < share else wire.close()
    in_turn = [wire for row in zip(*shares.values(), strict=True) for wire in row]
    for wire in in_turn[size:]:
        wire.close()
    return in_turn[:size]


def _asked(site: Site, size: int) -> list[tuple[Wire, int]]:
    """Open connections at once, and learn the process at the other end of each."""
    wires = [Wire(site.url) for _ in range(size)]
    for wire in wires:
        wire.send("/none/")
    return [(wire, wire.answer().json()["pid"]) for wire in wires]


@dataclass(frozen=True, slots=True)
class Race:
    """A race: what one round does in a lane with a user of its own, and returns how often the fault showed."""

    round: Callable[[Lane, str], int]
    connections: int = 8

    def faults(self, site: Site, whole: int, lanes: int = 3) -> int:
        """Run this many rounds, by default a twentieth, in a few lanes side by side; return how many faults showed."""
        return self._run(site, rounds(whole), lanes, until_first=False)

    def shows(self, site: Site, at_most: int, lanes: int = 3) -> bool:
        """Tell whether the fault shows within this many rounds; ends with the first."""
        return self._run(site, at_most, lanes, until_first=True) > 0

    def _run(self, site: Site, rounds: int, lanes: int, until_first: bool) -> int:
        lanes = max(1, min(lanes, rounds // 2))  # To open one costs as much as a few rounds.
        faults = [0] * lanes

        def run(number: int) -> None:
            with closing(Lane(site, self.connections)) as lane:
                for _ in range(-(-rounds // lanes)):
                    faults[number] += self.round(lane, f"user{number}")
                    if until_first and any(faults):
                        return

        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(run, range(lanes)))
        return sum(faults)
