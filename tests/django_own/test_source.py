"""Fetching Django's own tests: what a machine without a package index sees, and what an archive cannot do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.django_own import source


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_an_impossible_fetch_skips_on_a_laptop_and_fails_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(directory: Path) -> Path:
        raise source.FetchError("no index here")

    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(source, "CACHE", tmp_path)
    monkeypatch.setattr(source, "download", download)
    with pytest.raises(outcome, match="no index here"):
        source.django_tests()
    assert list(tmp_path.iterdir()) == []


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = 1
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_only_the_kept_packages_are_unpacked(tmp_path: Path) -> None:
    names = ["d/tests/sessions_tests/tests.py", "d/tests/auth_tests/urls.py", "d/tests/admin_views/x.py", "d/setup.py"]
    source.unpack(archive(tmp_path / "a.tar.gz", *map(member, names)), tmp_path / "tests")
    found = {str(path.relative_to(tmp_path / "tests")) for path in (tmp_path / "tests").rglob("*.py")}
    assert found == {"sessions_tests/tests.py", "auth_tests/urls.py"}


@pytest.mark.parametrize(
    "hostile",
    [
        member("d/tests/auth_tests/../../../../../outside"),
        member("d/tests/auth_tests/link", type=tarfile.SYMTYPE, size=0, linkname="/etc/passwd"),
        member("d/tests/auth_tests/device", type=tarfile.CHRTYPE, size=0),
    ],
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    with pytest.raises(tarfile.FilterError):
        source.unpack(archive(tmp_path / "a.tar.gz", hostile), tmp_path / "inside" / "tests")
    assert not (tmp_path / "outside").exists()
