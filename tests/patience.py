"""How long the tests wait before they give up: seconds of a quiet machine, times how slow this one is now.

The factor is measured once, when a run starts; the run's processes inherit it by their environment.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Final

_VARIABLE = "SRVSESSION_TESTS_PATIENCE"
_WORK = 500_000
_NOMINAL_SECONDS = 0.15
_AT_MOST = 4.0  # Tests of outages wait their time-outs out.


def _measured() -> float:
    """Return how many times longer than nominal a fixed piece of work takes, or how many wait for each processor."""
    began = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", _WORK)
    seconds = time.monotonic() - began
    return max(seconds / _NOMINAL_SECONDS, os.getloadavg()[0] / (os.cpu_count() or 1))


FACTOR: Final = float(os.environ.get(_VARIABLE) or min(max(1.0, _measured()), _AT_MOST))
"""How many times longer than on a quiet machine everything may take."""
os.environ[_VARIABLE] = f"{FACTOR:.2f}"


def patient(seconds: float) -> float:
    """Return how long to wait here for what takes at most ``seconds`` on a quiet machine."""
    return seconds * FACTOR
