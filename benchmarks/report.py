"""Print what was measured, beside the goals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.measure import Measurement
from benchmarks.places import Place

# Ratios to Django's engine, at most, for sessions of 1 kB.
GOALS = {
    "redis": {"load": 0.85, "save": 0.70, "create": 0.70, "delete": 1.20},
    "postgresql": {"load": 0.35, "save": 0.30, "create": 0.30, "delete": 0.35},
    "sqlite": {"load": 0.20, "save": 0.20, "create": 0.25, "delete": 0.30},
    "cached_db": {"load": 1.00, "save": 0.50, "create": 0.35, "delete": 0.60},
}
LARGE_GOAL = 0.90
"""For the same operations on larger sessions."""


def goal_of(place: str, size_bytes: int, title: str) -> float | None:
    """Return what ratio we promised ourselves, or None."""
    goal = GOALS.get(place, {}).get(title)
    return goal if goal is None or size_bytes <= 1_000 else LARGE_GOAL


class Result(NamedTuple):
    """Say how one operation did on one store: medians over all runs, in microseconds."""

    place: str
    stock_title: str
    size_bytes: int
    title: str
    ours_us: float
    stock_us: float | None
    ratio: float | None

    @property
    def goal(self) -> float | None:
        """What ratio we promised ourselves."""
        return goal_of(self.place, self.size_bytes, self.title)

    @property
    def verdict(self) -> str:
        """Say whether the goal, where there is one, is met."""
        if self.goal is None or self.ratio is None:
            return ""
        return f"<= {self.goal:.2f} {'met' if self.ratio <= self.goal else 'MISSED'}"


def result_of(place: Place, size_bytes: int, runs: Sequence[Measurement]) -> Result:
    """Return the medians over the runs."""
    ratios = [run.ratio for run in runs if run.ratio is not None]
    stock = [statistics.median(run.stock) for run in runs if run.stock]
    return Result(
        place.name,
        place.stock_title,
        size_bytes,
        runs[0].title,
        statistics.median(statistics.median(run.ours) for run in runs),
        statistics.median(stock) if stock else None,
        statistics.median(ratios) if ratios else None,
    )


def print_heading(place: Place, size_bytes: int) -> None:
    print(f"\n{place.name}, {size_bytes // 1000} kB; Django's engine: {place.stock_title}")
    print(f"{'':20}{'ours us':>10}{'Django us':>12}{'ratio':>9}   goal")


def print_row(result: Result) -> None:
    stock = f"{'cannot':>12}" if result.stock_us is None else f"{result.stock_us:12.0f}"
    ratio = f"{'':>9}" if result.ratio is None else f"{result.ratio:9.2f}"
    print(f"{result.title:20}{result.ours_us:10.0f}{stock}{ratio}   {result.verdict}".rstrip(), flush=True)


def print_summary(results: Sequence[Result]) -> None:
    goals = [result.verdict for result in results if result.verdict]
    missed = sum(text.endswith("MISSED") for text in goals)
    print(f"\n{len(goals) - missed} of {len(goals)} goals met." if goals else "\nNo goals for these stores.")
