"""Browsers, and the example project to visit."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.browsers import Browser, Driver
from tests.browser.demo import DemoSite
from tests.browser.project import Project
from tests.patience import patient
from tests.runs import ROOT, new_directory

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def site() -> Iterator[DemoSite]:
    """The example project, on SQLite. Each test begins by ending all sessions of those before."""
    with DemoSite("db") as site:
        yield site


@pytest.fixture(scope="session", params=["admin", "bootstrap"])
def based_site(request: pytest.FixtureRequest) -> Iterator[DemoSite]:
    """The example project with its pages in the base of another site."""
    with DemoSite("db", look=request.param) as site:
        yield site


@pytest.fixture(scope="session")
def laptop(driver: Driver) -> Iterator[Browser]:
    """A browser that says it is Firefox on Linux."""
    yield from opened(driver.open("laptop", FIREFOX))


@pytest.fixture(scope="session")
def phone(driver: Driver) -> Iterator[Browser]:
    """A browser that says it is Safari on a phone."""
    yield from opened(driver.open("phone", SAFARI))


@pytest.fixture(scope="session")
def packages() -> Path:
    """A directory that holds the package as it is published: the wheel, built and installed."""
    directory = new_directory("packages")
    for command in (
        ["build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)],
        [
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--target",
            str(directory / "site"),
            "--find-links",
            str(directory),
            "django-srvsession",
        ],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, timeout=patient(120), check=False
        )
        assert done.returncode == 0, done.stderr
    return directory / "site"


@pytest.fixture
def project(packages: Path) -> Iterator[Project]:
    """A project that is not made yet."""
    project = Project(f"project-{next(_numbers)}", packages)
    yield project
    project.stop()


def opened(browser: Browser) -> Iterator[Browser]:
    yield browser
    browser.remote.quit()
