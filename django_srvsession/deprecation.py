"""What is deprecated, since when, and with which release it goes: one list, checked against the policy in the docs."""

from __future__ import annotations

import warnings
from typing import Final, NamedTuple


class SrvSessionDeprecationWarning(DeprecationWarning):
    """Warn of something that goes with a later release; ``-W error::DeprecationWarning`` finds its uses."""


class Deprecated(NamedTuple):
    """Say since which release a name is deprecated, with which one it goes, and what to use instead."""

    since: str
    removed_in: str
    instead: str


NAMES: Final[dict[str, Deprecated]] = {}
"""By dotted path, or by the full name of a setting. System checks report the settings (``srvsession.W017``)."""


def warn(name: str, *, stacklevel: int = 2) -> None:
    """Warn whoever called the function that calls this one; ``name`` is one of ``NAMES``."""
    warnings.warn(text_of(name), SrvSessionDeprecationWarning, stacklevel=stacklevel + 1)


def text_of(name: str) -> str:
    """Return the sentence that says what becomes of a name."""
    its = NAMES[name]
    return f"{name} is deprecated since {its.since}, and goes with {its.removed_in}. Use {its.instead}."
