"""README's table of promises: every cell was measured here, on the packages themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import pytest

from tests.patience import patient
from tests.peers.site import PEERS
from tests.runs import ROOT
from tests.servers import RedisServer, missing

MODULES = {
    "django-user-sessions": "user_sessions",
    "django-qsessions": "qsessions",
    "allauth.usersessions": "allauth",
}
ROWS = {
    "An ended session stays ended": "ended stays ended",
    "No update is lost": "both updates are kept",
    "An outage is not a logout": "in an outage",
    "People see and end sessions": "people see and end",
    "What is stored opens no session": "what is stored opens it",
}
COLUMNS = ["django.db", "django.cache", "django-user-sessions", "django-qsessions", "allauth.usersessions"]
WORDS = {
    "503, still signed in": "yes: 503",
    "500, still signed in": "error 500",
    "200, signed out": "signed out",
}
KOREAN = {"아니요": "no", "예": "yes", "예: 503": "yes: 503", "오류 500": "error 500", "로그아웃됨": "signed out"}


def measured(name: str, directory: Path, redis: str = "") -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "tests.peers.site", name, str(directory), *([redis] if redis else [])]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def table(readme: str) -> list[list[str]]:
    """Return the cells of a README's first table, row by row."""
    from docutils import nodes
    from docutils.core import publish_doctree
    from docutils.nodes import entry, row

    tree = publish_doctree((ROOT / readme).read_text(), settings_overrides={"report_level": 5})
    return [[cell.astext() for cell in line.findall(entry)] for line in next(tree.findall(nodes.table)).findall(row)]


def said(name: str) -> list[str]:
    """Return the cells of a package's column in README's table."""
    rows = table("README.rst")
    assert [line[0] for line in rows[1:]] == list(ROWS)
    place = 1 + [*COLUMNS, "django-srvsession"].index(name)
    return [line[place] for line in rows[1:]]


def words(seen: dict[str, Any]) -> list[str]:
    """Return what was measured as README says it."""
    cells = {**seen, "what is stored opens it": not seen["what is stored opens it"]}
    return [WORDS.get(str(cells[key])) or ("yes" if cells[key] else "no") for key in ROWS.values()]


@pytest.mark.skipif(django.VERSION >= (6, 0), reason="Measured on Django 5.2, which all of the packages support.")
@pytest.mark.parametrize("name", PEERS)
def test_what_readme_says_of_others_and_of_us_is_what_was_measured(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name in MODULES and find_spec(MODULES[name]) is None:
        missing(MODULES[name])
    redis = ""
    if name == "django.cache":
        server: RedisServer = request.getfixturevalue("redis_server")
        redis = server.url
    assert words(measured(name, tmp_path, redis)) == said(name)


def test_the_korean_readme_says_the_same() -> None:
    cells = [[KOREAN[cell] for cell in line[1:]] for line in table("README.ko.rst")[1:]]
    assert cells == [line[1:] for line in table("README.rst")[1:]]
