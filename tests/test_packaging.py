"""What is published: the wheel holds all that the app needs at run time and nothing else, the sdist everything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import django_srvsession
from tests.patience import patient

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "django_srvsession"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and out of it the wheel, with the build backend that is installed, without a package index."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=patient(120))
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    assert path.name == f"django_srvsession-{django_srvsession.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    """What somebody has who unpacks the sdist."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(built / "unpacked", filter="data")
    (directory,) = (built / "unpacked").iterdir()
    return directory


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
    assert "Requires-Python: >=3.11" in metadata
    fields = [line.partition(": ")[::2] for line in metadata.splitlines()]
    extras = {value for name, value in fields if name == "Provides-Extra"}
    assert {"geoip", "progress", "redis", "test", "docs"} <= extras
    always = [value for name, value in fields if name == "Requires-Dist" and "extra ==" not in value]
    assert [value.lower() for value in always] == ["django>=5.2"]


def test_the_sdist_holds_all_that_the_repository_holds(unpacked: Path) -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=patient(60)).stdout
    there = {path for path in tracked.splitlines() if (ROOT / path).exists()}
    assert {".ci/run", "Makefile", "tests/test_packaging.py", "docs/images/sessions.png"} < there
    assert {path for path in there if not (unpacked / path).exists()} == set()


def test_what_the_sdist_names_can_be_done_in_it(unpacked: Path) -> None:
    for name in ("README.rst", "CONTRIBUTING.rst"):
        targets = re.findall(r"``make (\w+)|^ +make (\w+)", (unpacked / name).read_text(), re.MULTILINE)
        for target in {one or other for one, other in targets}:
            command = ["make", "--dry-run", target]
            subprocess.run(command, cwd=unpacked, check=True, capture_output=True, timeout=patient(60))


def test_what_is_published_shows_on_the_index_as_it_was_meant(built: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.glob("django_srvsession-*"))]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("v9.9.9", f"The tag is v9.9.9, and the version of the package is {django_srvsession.__version__}."),
        (f"v{django_srvsession.__version__}", "CHANGELOG.rst has no heading"),
    ],
)
def test_nothing_is_built_for_a_tag_that_says_something_else(tag: str, message: str, tmp_path: Path) -> None:
    for name in (".ci/dist", "django_srvsession/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.rst").write_text("Unreleased\n----------\n")
    command = [tmp_path / ".ci" / "dist", sys.executable]
    env = {**os.environ, "TAG": tag}
    answer = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert answer.returncode == 1
    assert message in answer.stderr
    assert not (tmp_path / "dist").exists()
