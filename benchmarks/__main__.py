"""Measure load, save, create, delete and a user's list on each store, beside Django's engine for the same place."""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys

from benchmarks import performance
from benchmarks.measure import Measurement, compare, time_block
from benchmarks.operations import EACH, ListOfUser
from benchmarks.places import NAMES, Place, served
from benchmarks.report import Result, print_heading, print_row, print_summary, result_of

SIZES_BYTES = (1_000, 10_000)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: for a first look, or for many runs")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="do all of it so often, and take the medians")
    parser.add_argument("--stores", nargs="+", choices=NAMES, default=list(NAMES), metavar="STORE", help=str(NAMES))
    parser.add_argument("--profile", action="store_true", help="print where the time of our engine goes, instead")
    parser.add_argument("--pin", action="store_true", help="run client and servers on one core: steadier ratios")
    parser.add_argument("--write", action="store_true", help=f"put the result into {performance.PAGE.name}")
    return parser.parse_args(arguments)


def measure(place: Place, size_bytes: int, blocks: int, times: int, others: int) -> list[Measurement]:
    """Measure all operations on one store at one size, once."""
    place.use()
    ours, stock = place.engines()
    measured = [compare(kind(size_bytes), ours, stock, blocks, times) for kind in EACH]
    return [*measured, list_of_user(place, ListOfUser(size_bytes, others), max(blocks // 10, 2))]


def list_of_user(place: Place, listing: ListOfUser, blocks: int) -> Measurement:
    """Measure the list of a user; only in the database Django has one to compare with."""
    ours, stock = place.engines()
    has_list = place.database is not None
    engines = (ours, stock) if has_list else (ours,)
    keys = {engine: listing.fill(engine) for engine in engines}
    measurement = compare(listing, ours, stock if has_list else None, blocks, 3)
    for engine in engines:
        for key in keys[engine]:
            engine(key).delete()
    return measurement


def results_of(place: Place, size_bytes: int, runs: list[list[Measurement]]) -> list[Result]:
    """Print the medians over the runs, and return them."""
    print_heading(place, size_bytes)
    results = [result_of(place, size_bytes, same) for same in zip(*runs, strict=True)]
    for result in results:
        print_row(result)
    return results


def profile(place: Place, size_bytes: int, times: int) -> None:
    """Print the functions in which our engine spends most time of its own, per operation."""
    place.use()
    ours, _ = place.engines()
    for kind in EACH:
        operation = kind(size_bytes)
        time_block(operation, ours, 20)
        prepared = [operation.prepare(ours) for _ in range(times)]
        profiler = cProfile.Profile()
        results = [profiler.runcall(operation.run, ours, one) for one in prepared]
        for result in results:
            operation.clean(ours, result)
        print(f"\n{place.name}, {size_bytes // 1000} kB, {operation.title}: {times} times", flush=True)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def pin() -> None:
    """Stay on one core from now on, with all servers that are started."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    if options.pin:
        pin()
    blocks, times, others = (10, 15, 300) if options.quick else (30, 20, 1000)
    with served(options.stores) as places:
        pairs = [(place, size_bytes) for place in places for size_bytes in SIZES_BYTES]
        if options.profile:
            for place, size_bytes in pairs:
                profile(place, size_bytes, 500)
            return
        how = f"Medians in microseconds of {options.runs} x {blocks} blocks of {times}; ratio: ours / Django's."
        print(how)
        # One run goes through all stores before the next: what the machine does meanwhile happens to all.
        runs = [[measure(*pair, blocks, times, others) for pair in pairs] for _ in range(options.runs)]
        by_pair = zip(pairs, zip(*runs, strict=True), strict=True)
        results = [each for pair, same in by_pair for each in results_of(*pair, list(same))]
    print_summary(results)
    if options.write:
        performance.write("speed", performance.speed(how, results))


if __name__ == "__main__":
    main(sys.argv[1:])
