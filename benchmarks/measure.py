"""Time two engines in small blocks that take turns, so that what the machine does meanwhile happens to both."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.operations import Operation


@dataclass
class Measurement:
    """Times of one operation on our engine and on Django's, in microseconds, block by block."""

    title: str
    ours: list[float] = field(default_factory=list)
    stock: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Ours to Django's: the median over pairs of neighbouring blocks."""
        return statistics.median(self.ratios) if self.ratios else None


def time_block(operation: Operation, engine: Any, times: int) -> list[float]:
    """Do an operation so many times, and return how long each took, in microseconds."""
    prepared = [operation.prepare(engine) for _ in range(times)]
    took, results = [], []
    gc.collect()
    gc.disable()
    try:
        for one in prepared:
            begin = time.perf_counter_ns()
            result = operation.run(engine, one)
            took.append((time.perf_counter_ns() - begin) / 1000)
            results.append(result)
    finally:
        gc.enable()
    for result in results:
        operation.clean(engine, result)
    return took


def compare(operation: Operation, ours: Any, stock: Any | None, blocks: int, times: int) -> Measurement:
    """Time an operation on both engines in turn; who begins changes from block to block."""
    measurement = Measurement(operation.title)
    for engine in (ours, stock):
        if engine is not None:
            time_block(operation, engine, times)  # connections, statements, scripts, imports
    for number in range(blocks):
        times_of = {}
        for engine in (ours, stock) if number % 2 else (stock, ours):
            if engine is not None:
                times_of[engine] = time_block(operation, engine, times)
        measurement.ours += times_of[ours]
        if stock is not None:
            measurement.stock += times_of[stock]
            measurement.ratios.append(statistics.median(times_of[ours]) / statistics.median(times_of[stock]))
    return measurement
