"""Print what was measured, beside the goals."""

from __future__ import annotations

import statistics

from benchmarks.measure import Measurement
from benchmarks.places import Place

# Ratios to Django's engine, at most.
GOALS = {
    "redis": {"load": 0.95, "save": 0.75, "create": 0.60},
    "postgresql": {"load": 0.45, "save": 0.50, "create": 0.40, "delete": 0.50},
}


def print_heading(place: Place, size_bytes: int) -> None:
    print(f"\n{place.name}, {size_bytes // 1000} kB; Django's engine: {place.stock_title}")
    print(f"{'':20}{'ours us':>10}{'Django us':>12}{'ratio':>9}   goal")


def print_row(place: Place, measurement: Measurement) -> None:
    stock = f"{statistics.median(measurement.stock):12.0f}" if measurement.stock else f"{'cannot':>12}"
    ratio = "" if measurement.ratio is None else f"{measurement.ratio:9.2f}"
    row = f"{measurement.title:20}{statistics.median(measurement.ours):10.0f}{stock}{ratio:>9}"
    print(f"{row}   {verdict(place, measurement)}".rstrip(), flush=True)


def verdict(place: Place, measurement: Measurement) -> str:
    """Say whether a goal, where there is one, is met."""
    goal = GOALS.get(place.name, {}).get(measurement.title)
    if goal is None or measurement.ratio is None:
        return ""
    return f"<= {goal:.2f} {'met' if measurement.ratio <= goal else 'MISSED'}"


def print_summary(verdicts: list[str]) -> None:
    goals = [text for text in verdicts if text]
    missed = sum(text.endswith("MISSED") for text in goals)
    print(f"\n{len(goals) - missed} of {len(goals)} goals met." if goals else "\nNo goals for these stores.")
