"""What the documentation has people type: each line is done, or looked at as far as a test can."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Collection
from typing import Final

from django.core.management import call_command, get_commands, load_command_class
from gunicorn.config import Config
from packaging.requirements import Requirement

from tests.runs import ROOT

EXTRAS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS: Final = set(re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
OURS: Final = "_srv"
MOVING: Final = "migratesessions_srv"  # Needs two engines: tests/migrating.


def lines(text: str) -> list[list[str]]:
    """Return the words of each command; a line that ends with a backslash goes on in the next one."""
    whole = text.replace("\\\n", " ").splitlines()
    return [words for line in whole if (words := shlex.split(line, comments=True))]


def do(words: list[str], databases: Collection[str] = ()) -> None:
    """Do a command of ours; of pip, make and Django see that they would understand it, on these databases."""
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):  # Variables.
        words = words[1:]
    match words:
        case ["pip", "install", *wanted]:
            for name in wanted:
                if not name.startswith("-"):
                    _installable(Requirement(name))
        case ["make", target, *_]:
            assert target in TARGETS, target
        case ["gunicorn", _, *options]:
            Config().parser().parse_args(options)
        case ["python", "-W", _, *rest]:
            do(["python", *rest], databases)
        case [_, "*", "*", "*", "*", *rest]:  # Of a crontab.
            do(rest, databases)
        case ["python", "manage.py", name, *arguments]:
            _manage(name, ["default" if word in databases else word for word in arguments])
        case other:
            raise AssertionError(f"Nobody knows how to try this out: {other}")


def _installable(requirement: Requirement) -> None:
    if requirement.name == "django-srvsession":
        assert requirement.extras <= EXTRAS.keys(), requirement


def _manage(name: str, arguments: list[str]) -> None:
    if name.endswith(OURS) and name != MOVING:
        try:
            call_command(name, *arguments)
        except SystemExit as ending:
            assert ending.code in (0, 1), ending.code  # doctorsessions_srv found something.
        return
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)
