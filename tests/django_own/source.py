"""Django's own tests: fetched once by pip as the source distribution of the installed Django, never committed.

What is kept lies in ``.cache/django-<version>/`` of the checkout, which git ignores: the folders named in ``KEPT``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest

KEPT = ("sessions_tests", "auth_tests")
CACHE = Path(__file__).resolve().parents[2] / ".cache"
_FETCH_SECONDS = 240


class FetchError(Exception):
    """Report that Django's source distribution could not be had; says why."""


def django_tests() -> Path:
    """Return the directory that holds Django's test packages, fetched on first use.

    Without a package index, skips the module on a laptop and fails it in CI, where nobody would notice.
    """
    place = CACHE / f"django-{django.get_version()}"
    if not place.is_dir():
        try:
            fetch(place)
        except FetchError as error:
            _missing(f"Django's own tests could not be fetched: {error}")
    return place


def _missing(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def fetch(place: Path) -> None:
    """Fetch and unpack into ``place``, which appears whole or not at all; raises :class:`FetchError`."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        unpack(download(work), work / "tests")
        try:
            (work / "tests").rename(place)
        except OSError:
            if not place.is_dir():  # Another run may have been first.
                raise


def download(directory: Path) -> Path:
    """Have pip download the source distribution, from whatever index this machine is configured for."""
    wanted = f"Django=={django.get_version()}"
    # Under build isolation pip makes the metadata with the setuptools that this Django asks for.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "Django", wanted]
    try:
        subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", directory],
            check=True,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise FetchError(f"pip download {wanted}: {error.stderr.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"pip download {wanted} took more than {_FETCH_SECONDS} seconds") from error
    found = list(directory.glob("*.tar.gz"))
    if not found:
        raise FetchError(f"pip download {wanted} left no source distribution")
    return found[0]


def unpack(archive: Path, target: Path) -> None:
    """Unpack the kept packages into ``target``; the filter refuses links and paths that lead out of it."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Since 3.11.4; Debian has 3.11.2.
        tar.extractall(target.with_suffix(".all"), members=_members(tar))
    unpacked = next(target.with_suffix(".all").glob("*/tests"), None)
    if unpacked is None:
        raise FetchError("the source distribution holds no tests")
    shutil.move(unpacked, target)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        parts = Path(member.name).parts
        if parts[1:2] == ("tests",) and parts[2:3] and parts[2] in KEPT:
            yield member
