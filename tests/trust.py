"""How long the proof by repetition is: a twentieth by default, the whole of it under ``make trust``.

Only what is repeated to meet luck is shortened: races, random cookies. What tries every case stays whole.
"""

from __future__ import annotations

import os
from typing import Final

WHOLE: Final = os.environ.get("SRVSESSION_TESTS_WHOLE", "") not in ("", "0")
"""Whether all rounds are run: ``SRVSESSION_TESTS_WHOLE=1``, which ``make trust`` sets."""


def rounds(whole: int) -> int:
    """Return how many of ``whole`` rounds a test runs: all of them, or a twentieth, and at least one."""
    return whole if WHOLE else max(1, whole // 20)
