"""Run what an entry names, once on each side, and keep what came out: a JUnit file, and a note of how it was made."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.ecosystem.entry import Entry, Side
from tests.ecosystem.environments import Environment, finish, our_code
from tests.ecosystem.servers import started
from tests.ecosystem.sources import add_files, source
from tests.patience import patient
from tests.runs import ROOT

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
OUR_STORES = "django_srvsession."
_INI_FILES = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


class Results:
    """What the runs of one entry left in its directory."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def junit(self, side: Side) -> Path:
        """Where the JUnit file of a side is."""
        return self.place / f"{side}.xml"

    def note(self, side: Side) -> dict[str, Any]:
        """Return how a side was run; empty where it was not."""
        path = self.place / f"{side}.json"
        noted: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return noted

    def keep(self, side: Side, note: dict[str, Any]) -> None:
        """Write down how a side was run."""
        (self.place / f"{side}.json").write_text(json.dumps(note, indent=1))

    def forget(self, side: Side) -> None:
        """Remove what a side left."""
        for path in (self.junit(side), self.place / f"{side}.json", self.evidence(side)):
            path.unlink(missing_ok=True)

    def evidence(self, side: Side) -> Path:
        """Where the processes of a side note which sessions they made."""
        return self.place / f"{side}.made"

    @property
    def not_here(self) -> Path:
        """Where it stands why the package cannot be run here."""
        return self.place / "not-here"


def fingerprint(entry: Entry, environment: Environment, side: Side, argv: Sequence[str | Path]) -> str:
    """Return a name for what a run depends on: as long as it is the same, the run need not be made again."""
    files = sorted(INSIDE.glob("*.py"))
    if entry.tour:
        files += [*sorted((INSIDE / "touring").rglob("*.*")), tour_file(entry)]
    parts = [
        json.dumps(environment.fingerprint),
        json.dumps([asdict(part) for part in (entry.suite, entry.own) if part]),
        json.dumps(entry.settings(side)),
        *map(str, argv),
        *(path.read_text() for path in files if path.suffix in (".py", ".html")),
        our_code() if side == "ours" else "",
    ]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def run_side(entry: Entry, environment: Environment, side: Side, again: bool = False) -> None:
    """Run one side, unless its result is there."""
    results = Results(environment.place)
    place, path, argv = _command(entry, environment)
    made_of = fingerprint(entry, environment, side, argv)
    before = results.note(side)
    if before.get("made of") == made_of and not before["problem"] and not again:
        return
    results.forget(side)
    argv += [f"--junit-xml={results.junit(side)}"]
    env = {
        "PATH": f"{environment.program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, [INSIDE, *path])),
        "PYTHONDONTWRITEBYTECODE": "",
        "SRVSESSION_ECOSYSTEM_SIDE": side,
        "SRVSESSION_ECOSYSTEM_SETTINGS": json.dumps(entry.settings(side)),
        "SRVSESSION_ECOSYSTEM_EVIDENCE": str(results.evidence(side)),
        "SRVSESSION_ECOSYSTEM_TOUR": str(tour_file(entry)) if entry.tour else "",
    }
    if entry.own:  # They have settings of their own, and start their servers.
        env = {"PATH": env["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "", **entry.own.environment}
    problem = ""
    with ExitStack() as stack:
        env |= stack.enter_context(started(entry.needs))
        try:
            # 0: all passed, 1: some failed, 2: some could not be imported.
            if (code := finish(argv, place, entry.seconds, **env)) not in (0, 1, 2):
                last = (place / "log").read_text(errors="replace").strip().splitlines()[-1:]
                problem = f"pytest ended with {code}: {''.join(last)[:200]}"
        except subprocess.TimeoutExpired:
            problem = f"not finished within {entry.seconds:.0f} seconds"
    (place / "log").replace(environment.place / f"{side}.log")
    if not problem and not results.junit(side).is_file():
        problem = "no result was written"
    note = {
        "made of": made_of,
        "version": environment.version,
        "django": environment.installed["django"],
        "python": _python_version(environment),
        "when": datetime.now(UTC).date().isoformat(),
        "problem": problem,
        "made": made(results.evidence(side)),
    }
    results.keep(side, note)


def _python_version(environment: Environment) -> str:
    script = "import sys; print(*sys.version_info[:2], sep='.')"
    argv = [environment.program, "-c", script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=patient(60), check=True).stdout.strip()


def made(evidence: Path) -> dict[str, int]:
    """Return how many session objects the processes of a run made: of ours, and of others."""
    counts = {"ours": 0, "others": 0}
    for line in evidence.read_text().splitlines() if evidence.is_file() else ():
        for module, number in json.loads(line).items():
            counts["ours" if module.startswith(OUR_STORES) else "others"] += number
    return counts


def _command(entry: Entry, environment: Environment) -> tuple[Path, list[Path], list[str | Path]]:
    """Return where pytest runs, from where it imports, and its command line."""
    argv: list[str | Path] = [environment.program, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
    argv += ["--continue-on-collection-errors", "-o", "junit_family=xunit2", "--color=no", "--timeout=300"]
    return (_own if entry.own else _suite if entry.suite else _tour)(entry, environment, argv)


def _own(entry: Entry, environment: Environment, argv: list[str | Path]) -> tuple[Path, list[Path], list[str | Path]]:
    assert entry.own
    place = environment.place / "own"
    place.mkdir(exist_ok=True)
    argv += ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "--ds=tests.settings"]
    return place, [ROOT], [*argv, *(ROOT / word if word.startswith("tests/") else word for word in entry.own.tests)]


def _tour(entry: Entry, environment: Environment, argv: list[str | Path]) -> tuple[Path, list[Path], list[str | Path]]:
    place = environment.place / "tour"
    place.mkdir(exist_ok=True)
    # Under another name: a tour is called as the package that it imports.
    copy = place / f"tour_of_{entry.tour}.py"
    copy.write_text(tour_file(entry).read_text())
    argv += ["-p", "touring.fixtures", "-c", INSIDE / "touring" / "pytest.ini", "--import-mode=importlib"]
    return place, [], [*argv, "--rootdir", place, "--confcutdir", place, copy]


def tour_file(entry: Entry) -> Path:
    """Return where the tour of an entry stands."""
    return HERE / "tours" / f"{entry.tour}.py"


def _suite(entry: Entry, environment: Environment, argv: list[str | Path]) -> tuple[Path, list[Path], list[str | Path]]:
    suite, root = entry.suite, source(environment)
    assert suite
    add_files(root, suite)
    place = root / suite.directory
    files = [directory / name for directory in (place, root) for name in _INI_FILES]
    ini = next((path for path in files if path.is_file() and _is_for_pytest(path)), INSIDE / "touring" / "pytest.ini")
    # Their own options are about coverage, style and parallel runs. The project that would be found is ours.
    argv += ["-c", ini, "--rootdir", place, "--confcutdir", root, "-o", "addopts=", "-o", "django_find_project=false"]
    if suite.settings:
        argv.append(f"--ds={suite.settings}")
    return place, [place, *map(root.joinpath, suite.path)], [*argv, *suite.options, *suite.tests]


def _is_for_pytest(path: Path) -> bool:
    sections = ("[pytest]", "[tool:pytest]", "[tool.pytest")
    return any(line.startswith(sections) for line in path.read_text().splitlines())
