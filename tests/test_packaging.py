"""The built wheel: everything that the app needs at run time is in it, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import django_srvsession
from tests.patience import patient

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "django_srvsession"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel with the build backend that is installed, without a package index."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=patient(120))
    (path,) = directory.glob("*.whl")
    assert path.name == f"django_srvsession-{django_srvsession.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    there = {name for name in wheel.namelist() if name.startswith("django_srvsession/")}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert there == {path.relative_to(ROOT).as_posix() for path in files}


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "api/openapi.json",
        "migrations/0001_initial.py",
        "templates/srvsession/503.html",
        "templates/srvsession/sessions.html",
        "static/srvsession/srvsession.css",
        "locale/ko/LC_MESSAGES/django.mo",
        "management/commands/clearsessions_srv.py",
    ],
)
def test_the_wheel_holds_what_is_not_a_module(wheel: zipfile.ZipFile, name: str) -> None:
    assert wheel.read(f"django_srvsession/{name}") or name == "py.typed"


def test_the_wheel_holds_neither_tests_nor_the_example(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"django_srvsession", f"django_srvsession-{django_srvsession.__version__}.dist-info"}


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = wheel.read(name).decode()
    assert "requires-dist: django>=5.2" in metadata.lower()
    assert "Requires-Python: >=3.11" in metadata
    assert {"redis", "test", "docs"} <= {
        line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra")
    }
