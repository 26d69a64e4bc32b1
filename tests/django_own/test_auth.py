"""Django's ``auth_tests`` against all our engines and our middleware, in a process of their own.

They bring their own models, URLs and settings, so they cannot share a process with ours.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.django_own.differences import AUTH, ON_DATABASE
from tests.django_own.source import django_tests
from tests.every_store import CACHED, MONGODB
from tests.patience import patient
from tests.trust import WHOLE

django_tests()  # Skips, or fails in CI, before a process is started that could only say so.

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ["db", *(["memory", "redis", "file", *CACHED, *MONGODB] if WHOLE else [])]
MODULES = [
    "auth_backends",
    "basic",
    "context_processors",
    "decorators",
    "handlers",
    "login",
    "middleware",
    "mixins",
    "remote_user",
    "signals",
    "templates",
    "views",
]


@pytest.fixture(params=ENGINES)
def engine_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that names an engine, and where it keeps its sessions."""
    more: dict[str, Any] = {}
    if request.param == "redis" or request.param in CACHED:
        request.getfixturevalue("redis_alias")
        names = ("CACHES", "SESSION_CACHE_ALIAS", "SRVSESSION_REDIS_PREFIX")
        more = {name: getattr(settings, name) for name in names}
    if request.param == "file":
        more = {"SESSION_FILE_PATH": str(request.getfixturevalue("session_directory"))}
    if request.param == "mongodb":
        request.getfixturevalue("mongodb")
        more = {"SRVSESSION_MONGODB": settings.SRVSESSION_MONGODB}
    engine = f"django_srvsession.backends.{request.param}"
    return {"SRVSESSION_ENGINE": engine, "SRVSESSION_MORE": json.dumps(more)}


def test_djangos_own_tests_of_sign_in_pass(engine_environment: dict[str, str]) -> None:
    ran = run_django_tests(engine_environment)
    count = re.search(r"Ran (\d+) tests", ran.stderr)
    # Far fewer would mean that they were not found.
    assert count is not None, ran.stderr[-8000:]
    assert int(count[1]) > 400
    in_database = engine_environment["SRVSESSION_ENGINE"].endswith((".db", ".cached_db"))
    assert failed(ran) <= AUTH.keys() - (ON_DATABASE if in_database else set()), ran.stderr[-8000:]
    assert failed(ran) or ran.returncode == 0, ran.stderr[-8000:]


def failed(ran: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the cases that failed, and whatever else did, as ``Class.case``."""
    headings = re.findall(r"^(?:FAIL|ERROR): (\S+) \((\S+)\)", ran.stderr, re.MULTILINE)
    return {".".join(path.split(".")[-2:]) if path.endswith(name) else name for name, path in headings}


def run_django_tests(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    labels = [f"auth_tests.test_{name}" for name in MODULES]
    return subprocess.run(
        [sys.executable, "-m", "django", "test", "--settings", "tests.django_own.auth_settings", *labels],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **environment},
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
