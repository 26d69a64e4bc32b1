"""What is published: the wheel holds all that the app needs at run time and nothing else, the sdist everything."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

import django_srvsession
from tests.own_store import write_files
from tests.patience import patient
from tests.trust import WHOLE

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
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Since 3.11.4; Debian has 3.11.2.
        archive.extractall(built / "unpacked")
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
        "backends/redis/lua/write.lua",
        "migrations/0001_initial.py",
        "templates/srvsession/503.html",
        "templates/srvsession/sessions.html",
        "static/srvsession/srvsession.css",
        "locale/fr/LC_MESSAGES/django.mo",
        "locale/ko/LC_MESSAGES/django.mo",
        "management/commands/clearsessions_srv.py",
        "testing/contract.py",
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
    assert {"geoip", "progress", "redis", "test", "testing", "docs"} <= extras
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


def test_the_contract_of_stores_can_be_used_from_the_wheel(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.whl")
    write_files(tmp_path)
    text = "import sys; sys.path.insert(0, sys.argv[1]); import pytest; sys.exit(pytest.main(sys.argv[2:]))"
    options = ["-q", "-p", "no:django", "-p", "no:cacheprovider", "-k", "merging or loaded"]
    told = answer_of(tmp_path, sys.executable, "-c", text, str(path), *options, ".")
    passed = re.search(r"^(\d+) passed", told, re.MULTILINE)
    assert passed is not None and int(passed[1]) > 50, told


@pytest.mark.skipif(not WHOLE, reason="make trust: builds an environment")
def test_a_store_in_a_package_of_its_own_keeps_the_contract(built: Path, tmp_path: Path) -> None:
    """Install the wheel, and what ``docs/how-to/writing-a-store.rst`` shows as a package, apart from this tree."""
    project, environment = tmp_path / "project", tmp_path / "environment"
    project.mkdir()
    write_files(project)
    (project / "test_a_site.py").write_text(SITE)
    answer_of(project, sys.executable, "-m", "build", "--wheel", "--no-isolation", ".")
    answer_of(project, sys.executable, "-m", "venv", "--without-pip", str(environment))
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    answer_of(project, *pip, *map(str, [*built.glob("*.whl"), *project.glob("dist/*.whl")]))
    (project / "dict_store.py").unlink()
    # What the two need (Django, pytest, hypothesis) this environment lends; what is installed there comes first.
    purelib = answer_of(project, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(purelib) / "lent.pth").write_text("\n".join(site.getsitepackages()))
    shown = answer_of(
        project, python, "-c", "import django_srvsession, dict_store; print(django_srvsession, dict_store)"
    )
    assert shown.count(str(environment)) == 2
    told = answer_of(project, python, "-m", "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider", ".")
    passed = re.search(r"^(\d+) passed in", told, re.MULTILINE)
    assert passed is not None and int(passed[1]) > 280, told


def answer_of(directory: Path, *command: str) -> str:
    """Run a command that finds nothing of this tree, and return what it says; fail where it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "DJANGO"))}
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": False}
    answer = subprocess.run(command, cwd=directory, env=env, timeout=patient(120), **options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


SITE = """
import asyncio

from django.conf import settings

settings.INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_srvsession"]

import django

django.setup()

from django.core.checks import run_checks

from dict_store import DictStore, SessionStore
from django_srvsession import services


def test_a_site_on_this_store_has_all_of_it():
    assert [found for found in run_checks() if found.id.startswith("srvsession.E")] == []
    session = SessionStore()
    session["cart"] = ["tea"]
    session.save()
    again = SessionStore(session.session_key)
    assert again["cart"] == ["tea"]
    again.cycle_key()
    again.incr("count")
    assert isinstance(SessionStore.store(), DictStore)
    assert [record.sid for record in services.live_sessions()] == [again.sid]
    assert services.revoke(again.sid) is not None
    assert SessionStore(again.session_key).load() == {}
    assert services.clear_expired() == 0


def test_a_site_on_an_event_loop_has_it_too():
    async def use():
        session = SessionStore()
        await session.aset("cart", ["tea"])
        await session.asave()
        again = SessionStore(session.session_key)
        await again.acycle_key()
        assert await again.aget("cart") == ["tea"]
        await again.aflush()
        assert not await SessionStore(session.session_key).aexists(session.session_key)

    asyncio.run(use())
"""
