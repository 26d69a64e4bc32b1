"""Read the JUnit files of a package's two runs, and compare them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

PASSED: Final = "passed"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"
MISSING: Final = "missing"
_WORST = (FAILED, SKIPPED, PASSED)


def read(path: Path) -> dict[str, str]:
    """Return how each case ended, by ``module.Class.case``. What pytest reports in parts counts by its worst part."""
    cases: dict[str, str] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = ".".join(filter(None, [case.get("classname"), case.get("name")]))
        ended = _ended(case)
        before = cases.get(name, PASSED)
        cases[name] = min(ended, before, key=_WORST.index)
    return cases


def _ended(case: ElementTree.Element) -> str:
    tags = {part.tag for part in case}
    if tags & {"failure", "error"}:
        return FAILED
    return SKIPPED if "skipped" in tags else PASSED


@dataclass(frozen=True)
class Comparison:
    """Two runs of the same cases: ``there`` on Django's engine, ``here`` on ours."""

    there: Mapping[str, str]
    here: Mapping[str, str]
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By ``Class.case`` or the whole name: why a case ends differently."""
    failing: Mapping[str, str] = field(default_factory=dict)
    """By a regular expression found in the name: why a case fails on both."""

    @property
    def different(self) -> dict[str, tuple[str, str]]:
        """How each case ended there and here, of those that did not end the same way."""
        names = dict.fromkeys([*self.there, *self.here])
        ends = {name: (self.there.get(name, MISSING), self.here.get(name, MISSING)) for name in names}
        return {name: pair for name, pair in ends.items() if pair[0] != pair[1]}

    def reason(self, case: str) -> str | None:
        """Return why a case ends differently, if that is known."""
        return next((why for name, why in self.reasons.items() if f".{case}".endswith(f".{name}")), None)

    @property
    def unexplained(self) -> list[str]:
        """The cases that end differently, and nobody has said why; what ran on ours alone has no excuse to fail."""
        failed_alone = (SKIPPED, FAILED)
        return [name for name, ends in self.different.items() if ends == failed_alone or self.reason(name) is None]

    @property
    def idle(self) -> list[str]:
        """The reasons for differences that there are not."""
        return [name for name in self.reasons if not any(f".{case}".endswith(f".{name}") for case in self.different)]

    @property
    def failed_on_both(self) -> list[str]:
        """The cases that fail whatever the engine is."""
        return [name for name, ended in self.there.items() if ended == FAILED and self.here.get(name) == FAILED]

    def why_failing(self, case: str) -> str | None:
        """Return why a case fails on both, if that is known."""
        return next((why for pattern, why in self.failing.items() if re.search(pattern, case)), None)

    @property
    def run(self) -> int:
        """How many cases ran, on either side."""
        return len({name for side in (self.there, self.here) for name in side if side[name] != SKIPPED})

    @property
    def passed_there(self) -> int:
        """How many passed on Django's engine."""
        return list(self.there.values()).count(PASSED)

    @property
    def passed_here(self) -> int:
        """How many passed on ours."""
        return list(self.here.values()).count(PASSED)
