"""An environment for each package, in ``.cache/ecosystem/NAME``: made once for a version, and kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.ecosystem.entry import Entry, Own
from tests.patience import patient
from tests.runs import ROOT, Job

CACHE = ROOT / ".cache" / "ecosystem"
PACKAGE = ROOT / "django_srvsession"
_INSTALL_SECONDS = 900
_RUNNERS = ("pytest>=8.3", "pytest-django>=4.11", "pytest-timeout>=2.3")
_TOUR_RUNNERS = ("pytest>=8.3", "pytest-timeout>=2.3", "gunicorn>=25.1")


_OWN_RUNNERS = (
    *_RUNNERS,
    "Django>=5.2,<6.2",
    "PyMySQL>=1.1",
    "django-redis>=7,<8",
    "grimp>=3.9",
    "hypothesis>=6.100",
    "psutil>=6",
    "psycopg[binary]>=3.2",
    "pymongo>=4.13,<5",
    "redis[hiredis]>=6,<9",
    "selenium>=4.20",
)
"""What our own tests of stores import."""


class NotHereError(Exception):
    """Report that a package cannot be run here; says why."""


@functools.cache
def python() -> str:
    """Return the newest Python of this machine that every supported Django runs on, or the one that runs this."""
    places = [*sorted(Path.home().glob(".pyenv/versions/3.1*/bin/python")), *_on_path()]
    supported = {found: version for found in places if (version := _version(found)) and (3, 12) <= version <= (3, 14)}
    newest = max(supported, key=lambda found: supported[found], default=None)
    return str(newest) if newest and sys.version_info < supported[newest] else sys.executable


def _on_path() -> list[Path]:
    return [Path(found) for number in (14, 13, 12) if (found := shutil.which(f"python3.{number}"))]


def _version(program: Path) -> tuple[int, int] | None:
    # Version managers install names that do not run.
    script = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        said = subprocess.run([program, "-c", script], capture_output=True, text=True, timeout=20, check=True).stdout
        major, minor = map(int, said.split())
        return major, minor
    return None


@functools.cache
def our_code() -> str:
    """Return a name for the state of our package: what ran with another one must run again."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def wheel() -> Path:
    """Build our package as it is installed, once for each state of the code."""
    place = CACHE / f"wheel-{our_code()}"
    if not (found := list(place.glob("*.whl"))):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            built = Path(name)
            argv = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", built, ROOT]
            if finish(argv, built, _INSTALL_SECONDS):
                raise RuntimeError(f"Our own package cannot be built: {(built / 'log').read_text()}")
            for path in built.glob("*.whl"):
                path.replace(place / path.name)
        found = list(place.glob("*.whl"))
    return found[0]


def finish(argv: Sequence[str | Path], directory: Path, seconds: float, **env: str) -> int:
    """Run a program, with its output in ``directory/log``, until it ends or the time is over; return its code.

    ``seconds`` are those of a quiet machine. Raises ``subprocess.TimeoutExpired``. The program and its children end
    with this process, however that ends.
    """
    (directory / "log").unlink(missing_ok=True)
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    # What is on our own path must not stand in for what a package brings.
    job = Job(argv, directory, env={"TMPDIR": "/tmp", "PYTHONPATH": "", "DJANGO_SETTINGS_MODULE": "", **kept, **env})
    try:
        return job.process.wait(timeout=patient(seconds))
    finally:
        job.kill()


def _beside(own: Own) -> tuple[str, ...]:
    names = {requirement: re.split(r"[\[<>=]", requirement)[0] for requirement in _OWN_RUNNERS}
    return tuple(requirement for requirement, name in names.items() if name not in own.without)


class Environment:
    """The environment of one package."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.place = CACHE / entry.name
        self.program = self.place / "venv" / "bin" / "python"
        self._note = self.place / "installed.json"
        self.version = ""
        self.installed: dict[str, str] = {}

    def newest(self) -> str:
        """Ask the package index for the newest version that this Python can have, within the entry's bound."""
        wanted = f"{self.entry.package}{self.entry.version}"
        script = [python(), "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        script += ["--disable-pip-version-check", "--report", "-", wanted]
        try:
            said = subprocess.run(script, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=True).stdout
        except subprocess.CalledProcessError as error:
            raise NotHereError(_last_words(error.stderr)) from error
        return str(json.loads(said)["install"][0]["metadata"]["version"])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the environment was made of; another one is made anew."""
        return {"python": python(), "version": self.version, "requirements": list(self.requirements)}

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is installed, but for our package."""
        entry = self.entry
        if entry.own:
            return (f"{entry.package}=={self.version}", *_beside(entry.own), *entry.requirements)
        runners = _RUNNERS if entry.suite else _TOUR_RUNNERS
        return (f"{entry.package}=={self.version}", "Django>=5.2,<6.2", *runners, *entry.requirements)

    def make(self) -> None:
        """Make the environment, unless it is there; put our package as it is now into it."""
        self.place.mkdir(parents=True, exist_ok=True)
        self.version = self.newest()
        note = self._noted()
        if note.get("made of") != self.fingerprint:
            self._note.unlink(missing_ok=True)
            shutil.rmtree(self.place / "venv", ignore_errors=True)
            self._run([python(), "-m", "venv", "--without-pip", self.place / "venv"])
            self._pip(*self.requirements)
            note = {"made of": self.fingerprint, "ours": ""}
        if note["ours"] != our_code():
            self._pip("--force-reinstall", "--no-deps", str(wheel()))
            note["ours"] = our_code()
        self._note.write_text(json.dumps(note))
        argv = [*self.pip, "list", "--format=json", "--disable-pip-version-check"]
        listed = subprocess.run(argv, capture_output=True, text=True, timeout=patient(60), check=True)
        self.installed = {line["name"].lower(): line["version"] for line in json.loads(listed.stdout)}

    def _noted(self) -> dict[str, Any]:
        if not (self._note.is_file() and self.program.exists()):
            return {}
        noted: dict[str, Any] = json.loads(self._note.read_text())
        return noted

    @property
    def pip(self) -> list[str | Path]:
        """The start of a command that lets our pip work on the environment: one of its own takes long to install."""
        return [sys.executable, "-m", "pip", "--python", self.program]

    def _pip(self, *words: str) -> None:
        self._run([*self.pip, "install", "--quiet", "--no-compile", "--disable-pip-version-check", *words])

    def _run(self, argv: Sequence[str | Path]) -> None:
        try:
            code = finish(argv, self.place, _INSTALL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise NotHereError(f"it was not installed within {_INSTALL_SECONDS} seconds") from error
        if code:
            raise NotHereError(_last_words((self.place / "log").read_text(errors="replace")))


def _last_words(log: str) -> str:
    """Return what pip ended with: its last lines that name an error."""
    errors = [line.strip() for line in log.splitlines() if re.match(r"\s*(ERROR|error|fatal)\b", line)]
    words = " ".join(errors[-2:]) or log.strip()[-200:] or "pip said nothing"
    return words[:300]
