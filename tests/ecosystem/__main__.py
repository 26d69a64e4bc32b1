"""Run packages beside our sessions, and write the page: ``python -m tests.ecosystem [--again] [name ...]``."""

from __future__ import annotations

import argparse
import sys
import time
from difflib import get_close_matches

from tests.ecosystem import page
from tests.ecosystem.entries import ENTRIES
from tests.ecosystem.entry import Entry
from tests.ecosystem.environments import Environment, NotHereError
from tests.ecosystem.running import Results, run_side

_ABOUT = """Run packages beside our sessions, and write docs/ecosystem.rst. What is up to date is not run again, and
what was interrupted goes on. By make: make ecosystem ARGS="--again django-loginas"."""


def run(entry: Entry, again: bool) -> None:
    """Install a package and run both sides, as far as this is not done yet."""
    environment = Environment(entry)
    results = Results(environment.place)
    results.not_here.unlink(missing_ok=True)
    try:
        environment.make()
        for side in entry.sides:
            run_side(entry, environment, side, again)
    except NotHereError as error:
        environment.place.mkdir(parents=True, exist_ok=True)
        results.not_here.write_text(str(error))


def main(words: list[str]) -> int:
    """Run what is named, or all; return how the program ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.ecosystem", description=_ABOUT)
    parser.add_argument("names", nargs="*", metavar="name", help="a row of the page; none: all")
    parser.add_argument("--again", action="store_true", help="run also what is up to date")
    parser.add_argument("--page", action="store_true", help="run nothing: write the page from what is there")
    parser.add_argument("--list", action="store_true", help="show the names and end")
    given = parser.parse_args(words)
    names = {entry.name: entry for entry in ENTRIES}
    if given.list:
        _say("\n".join(names))
        return 0
    for unknown in sorted(set(given.names) - names.keys()):
        near = "".join(get_close_matches(unknown, names, 1))
        parser.error(f"there is no row {unknown}. {f'Did you mean {near}? ' if near else ''}--list shows the names.")
    for name in () if given.page else given.names or names:
        began = time.monotonic()
        _say(f"{name} ...")
        run(names[name], given.again)
        problems = page.write()
        mine = [what for what in problems if what.startswith(f"{name}: ")]
        _say(f"{name}: {time.monotonic() - began:.0f} s{'' if mine else ', nothing unexplained'}")
        for what in mine:
            _say(f"  {what}")
    problems = [what for what in page.write() if not given.names or what.split(":")[0] in given.names]
    if problems:
        _say(f"{len(problems)} to look at; the logs are in .cache/ecosystem")
    return 1 if problems else 0


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


try:
    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:
    _say("Interrupted. The same command goes on from here.")
    sys.exit(130)
