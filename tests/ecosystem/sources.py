"""The source distribution of a package: fetched once for a version, kept beside its environment, never committed."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

from tests.ecosystem.entry import Suite
from tests.ecosystem.environments import Environment, NotHereError, finish

_FETCH_SECONDS = 300


def source(environment: Environment) -> Path:
    """Return the directory of the unpacked distribution; raises :class:`NotHereError` where there is none."""
    place = environment.place / f"source-{environment.version}"
    if not place.is_dir():
        for old in environment.place.glob("source-*"):
            shutil.rmtree(old)
        fetched = environment.place / "source.new"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir()
        _unpack(_download(environment, fetched), fetched / "unpacked")
        next((fetched / "unpacked").iterdir()).rename(place)
        shutil.rmtree(fetched)
    return place


def _download(environment: Environment, directory: Path) -> Path:
    name = environment.entry.package
    options = ["--quiet", "--no-deps", "--no-binary", name, "--disable-pip-version-check", "--dest", directory]
    wanted = f"{name}=={environment.version}"
    try:
        finish([*environment.pip, "download", *options, wanted], directory, _FETCH_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotHereError(f"its source distribution was not had within {_FETCH_SECONDS} seconds") from error
    found = [path for path in directory.iterdir() if path.name.endswith((".tar.gz", ".zip"))]
    if not found:
        raise NotHereError(f"no source distribution of {wanted} could be had")
    return found[0]


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as content:
            content.extractall(target)
        return
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Since 3.11.4; Debian has 3.11.2.
        tar.extractall(target)


def add_files(place: Path, suite: Suite) -> None:
    """Write what the tests need and the distribution lacks."""
    for name, content in suite.files.items():
        path = place / suite.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
