"""What is known of a package beforehand: how it is installed, what of it runs, and which differences have a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["django", "ours"]
SIDES: tuple[Side, ...] = ("django", "ours")
OURS = {"SESSION_ENGINE": "django_srvsession.backends.db"}


@dataclass(frozen=True)
class Suite:
    """The tests of a package, as its source distribution has them. They are run by pytest."""

    tests: tuple[str, ...]
    """Files and directories, from ``directory``; those that are about sessions, sign-in and middleware."""
    settings: str = ""
    """The settings' module; empty where the tests configure Django themselves."""
    directory: str = "."
    """Where they run, from the root of the distribution."""
    path: tuple[str, ...] = ()
    """More directories to import from, likewise."""
    options: tuple[str, ...] = ()
    """More options of pytest."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files that the tests need and the distribution lacks, likewise, with their contents."""


@dataclass(frozen=True)
class Own:
    """Tests of ours, which run from this tree and on our engine only: about what stands below the engine."""

    tests: tuple[str, ...]
    """Files, and more words for pytest."""
    without: tuple[str, ...] = ()
    """Libraries that are not installed beside the package: it takes their place."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What tells our tests to use it."""


@dataclass(frozen=True)
class Entry:
    """One row of the page."""

    name: str
    """As on the command line; the distribution's, where there is one row for it."""
    requirements: tuple[str, ...] = ()
    """What is installed beside the package."""
    distribution: str = ""
    """What is installed, at its newest version; empty: of the row's name."""
    version: str = ""
    """The bound of its version (``"<7"``), where the row is not about the newest one."""
    shown: str = ""
    """What the page calls it; empty: the name."""
    suite: Suite | None = None
    own: Own | None = None
    """Tests of ours, where the package has none that would say anything of ours."""
    tour: str = ""
    """A module of ``tours``, where there are no tests, or none of these matters."""
    why: str = ""
    """What the tour is there for, where the distribution has tests; and anything else that a reader should know."""
    needs: tuple[str, ...] = ()
    """Servers to start: ``postgresql``, ``mariadb``, ``redis``."""
    packages: tuple[str, ...] = ()
    """Packages of the system without which it cannot be installed, by Debian's names; they are only named."""
    django: Mapping[str, Any] = field(default_factory=dict)
    """Settings for the run on Django's engine, in JSON's types."""
    ours: Mapping[str, Any] = field(default_factory=lambda: OURS)
    """Settings for the run on ours. The middleware is ours there in any case."""
    differences: Mapping[str, str] = field(default_factory=dict)
    """Cases that end differently on purpose, by ``Class.case`` or ``module.case``: the reason."""
    failing: Mapping[str, str] = field(default_factory=dict)
    """Why cases fail on both; by a pattern of names."""
    seconds: float = 600
    """The time limit of one run."""

    @property
    def package(self) -> str:
        """The name that the package index has."""
        return self.distribution or self.name

    @property
    def sides(self) -> tuple[Side, ...]:
        """On which engines it is run."""
        return ("ours",) if self.own else SIDES

    def settings(self, side: Side) -> dict[str, Any]:
        """Return the settings of a side."""
        return dict(self.ours if side == "ours" else self.django)
