"""Try requests in every order of their steps: each request is a thing that goes on by one step when it is told to."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R", bound="Stepped")

_MOST_STEPS = 100


class Stepped(Protocol):
    """Something that is done step by step."""

    is_done: bool

    def step(self) -> None:
        """Go on by one step."""


def every_order(prepare: Callable[[], tuple[T, list[R]]]) -> Iterator[tuple[T, list[R], str]]:
    """Yield what ``prepare`` returns, with its requests finished, for every order of their steps, each order once."""
    order: list[int] | None = []
    while order is not None:
        prepared, requests = prepare()
        taken, choices = finish(requests, order)
        yield prepared, requests, "".join(map(str, taken))
        order = next_order(taken, choices)


def some_orders(prepare: Callable[[], tuple[T, list[R]]], count: int) -> Iterator[tuple[T, list[R], str]]:
    """Yield as :func:`every_order`, for some of the orders, where there are too many to try them all."""
    for seed in range(count):
        prepared, requests = prepare()
        taken, _ = finish(requests, [], random.Random(seed))
        yield prepared, requests, "".join(map(str, taken))


def most_orders(prepare: Callable[[], tuple[T, list[R]]], at_most: int) -> Iterator[tuple[T, list[R], str]]:
    """Yield as :func:`every_order` for two requests, or, where that may be more than ``at_most``, that many orders."""
    taken, _ = finish(prepare()[1], [])
    are_few = math.comb(len(taken), taken.count(0)) <= at_most
    yield from every_order(prepare) if are_few else some_orders(prepare, at_most)


def finish(
    requests: Sequence[Stepped], order: list[int], chance: random.Random | None = None
) -> tuple[list[int], list[list[int]]]:
    """Run the requests, this order first; return the whole order, and who could have been next at each step."""
    taken: list[int] = []
    choices: list[list[int]] = []
    while unfinished := [number for number, request in enumerate(requests) if not request.is_done]:
        wanted = chance.choice(unfinished) if chance else (order[len(taken) : len(taken) + 1] or unfinished)[0]
        number = wanted if wanted in unfinished else unfinished[0]  # It may have had fewer steps this time.
        requests[number].step()
        taken.append(number)
        choices.append(unfinished)
        assert len(taken) < _MOST_STEPS, f"a request does not come to an end: {taken}"
    return taken, choices


def next_order(taken: list[int], choices: list[list[int]]) -> list[int] | None:
    """Return the start of the next order, by taking the latest step at which a later request could have been next."""
    for step in reversed(range(len(taken))):
        later = [number for number in choices[step] if number > taken[step]]
        if later:
            return [*taken[:step], later[0]]
    return None
