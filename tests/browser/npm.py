"""Files of npm packages that only tests need: fetched once by npm, at one version, and never committed.

What is kept lies in ``.cache/npm/`` of the checkout, which git ignores. The registry is the one that npm is configured
for on this machine; what it sends must be what ``INTEGRITY`` says.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import pytest

from tests.servers import find_program

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "npm"
_FETCH_SECONDS: Final = 240


class Package(NamedTuple):
    """Name a package, its version, the digest of its archive, and the one file in it that is used."""

    name: str
    version: str
    sha512: str
    file: str


AXE: Final = Package(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "axe.min.js",
)
BOOTSTRAP: Final = Package(
    "bootstrap",
    "5.3.9",
    "20cU0rcfw8WdxtVbmfU+xT2EjvVTw9Ror/h1Qvd7DXCujRg8OO9mdBCsmTHdJFf3BuadmBNJtgIuUXsBqSkk/w==",
    "dist/css/bootstrap.min.css",
)


class FetchError(Exception):
    """Report that a package could not be had, or is not what it should be; says why."""


def path_of(package: Package) -> Path:
    """Return the package's file, fetched on first use; without npm or its registry skip, and fail in CI."""
    path = CACHE / f"{package.name}-{package.version}" / Path(package.file).name
    if not path.is_file():
        try:
            fetch(package, path)
        except FetchError as error:
            unavailable(f"{package.name} could not be fetched: {error}")
    return path


def fetch(package: Package, path: Path) -> None:
    """Fetch a package and put its file at ``path``, where it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        content = unpack(checked(download(package, Path(name)), package), package)
        part = Path(name) / "part"
        part.write_bytes(content)
        part.replace(path)


def download(package: Package, directory: Path) -> Path:
    """Have npm fetch the archive; it runs nothing of what it fetches."""
    npm = find_program("npm")
    if npm is None:
        raise FetchError("npm is not installed")
    wanted = f"{package.name}@{package.version}"
    command = [npm, "pack", "--silent", "--ignore-scripts", f"--pack-destination={directory}", wanted]
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS)
    except subprocess.CalledProcessError as error:
        raise FetchError(f"npm pack {wanted}: {error.stderr.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"npm pack {wanted} took more than {_FETCH_SECONDS} seconds") from error
    found = list(directory.glob("*.tgz"))
    if len(found) != 1:
        raise FetchError(f"npm pack {wanted} left no archive")
    return found[0]


def checked(archive: Path, package: Package) -> Path:
    """Return the archive if it is the very one that is meant."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.sha512:
        raise FetchError(f"the archive of {package.name} {package.version} is not the one that is meant: {digest}")
    return archive


def unpack(archive: Path, package: Package) -> bytes:
    """Return the one file's content."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"package/{package.file}")
        if file is None:
            raise FetchError(f"{package.name} has no {package.file}")
        return file.read()


def unavailable(reason: str) -> NoReturn:
    """Skip the test; fail it in CI."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
