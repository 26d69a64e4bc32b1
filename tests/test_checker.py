"""The checker of acknowledged facts finds what does not hold, and spares what was in doubt."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.checker import Doubt, Life, Load, OutageError, Told

NO_DOUBT = Doubt(0, 0)


class Forgetful:
    """A session of a store that does not keep its word."""

    def __init__(self, **faults: Any) -> None:
        self.number: int | None = None
        self.faults = faults

    def save(self, number: int) -> bool:
        self.number = number
        return True

    def read(self) -> int | None:
        if self.faults.get("outage"):
            raise OutageError
        return self.faults.get("reads", self.number)

    def end(self) -> None:
        self.number = self.faults.get("after the end")

    def sign_in(self) -> Forgetful | None:
        return self.faults.get("former")


@pytest.mark.parametrize(
    ("faults", "steps", "expected"),
    [
        ({}, ["save", "look", "save", "look", "end", "look"], {}),
        ({"reads": None}, ["save", "look"], {"a live session did not open": 1}),
        ({"reads": 1}, ["save", "look", "save", "look"], {"an update was lost": 1}),
        ({"reads": 9}, ["save", "look"], {"a value was never written": 1}),
        ({"after the end": 1}, ["save", "end", "look", "look"], {"an ended session opened": 2}),
    ],
    ids=["no fault", "a logout", "a lost update", "somebody else's value", "an end undone"],
)
def test_a_fault_is_found_unless_its_fact_was_in_doubt(
    faults: dict[str, Any], steps: list[str], expected: dict[str, int]
) -> None:
    life, began = Life(Forgetful(**faults)), time.monotonic()
    for step in steps:
        getattr(life, step)()
        time.sleep(0.001)
    assert life.faults(NO_DOUBT) == expected
    doubted = life.faults(Doubt(began, time.monotonic()))
    assert doubted == {name: n for name, n in expected.items() if name == "a value was never written"}


def test_the_key_from_before_a_sign_in_must_not_open() -> None:
    former = Forgetful()
    former.number = 1
    life = Life(Forgetful(former=former))
    life.save()
    before = life.sign_in()
    assert before is not None
    before.look()
    assert before.faults(NO_DOUBT) == {"an ended session opened": 1}
    assert not life.faults(NO_DOUBT)


def test_a_sign_in_that_was_in_doubt_may_be_lost_though_the_session_was_not() -> None:
    life = Life(Forgetful(former=Forgetful()))
    life.save()
    begin = time.monotonic()
    life.sign_in()
    doubt = Doubt(begin, time.monotonic())
    life.door.faults["reads"] = None  # type: ignore[attr-defined]
    life.look()
    assert not life.faults(doubt)
    assert life.faults(NO_DOUBT) == {"a live session did not open": 1}


def test_a_fact_must_hold_that_was_acknowledged_before_the_doubt_or_asked_for_after_it() -> None:
    doubt = Doubt(10, 20)
    assert doubt.spares(Told(8, 9.9))
    assert doubt.spares(Told(20.1, 21))
    for asked, answered in [(9, 10), (9, 30), (15, 16), (19, 21)]:
        assert not doubt.spares(Told(asked, answered))


def test_an_outage_is_no_fault_and_an_error_of_a_visitor_is_one() -> None:
    def broken() -> Forgetful:
        raise ZeroDivisionError

    with Load([lambda: Forgetful(outage=True)]) as load:
        load.wait_for_facts(1)
    assert not load.faults(NO_DOUBT)
    with Load([broken]) as load:
        while not load.broken:
            time.sleep(0.001)
    assert load.faults(NO_DOUBT) == {"ZeroDivisionError()": 1}
