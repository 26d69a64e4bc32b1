"""What nobody asked for, and no answer depends on: to note a use, to seal anew, to end what has run out.

A store that cannot write (a read-only database, a Redis that became a replica or is full, a lock that somebody holds)
must not withhold pages that only read. So this is tried briefly, given up, and not tried again for a while.
"""

from __future__ import annotations

import logging
import time
from typing import Final, TypeVar

from django_srvsession.engine.steps import Steps, brief
from django_srvsession.escaping import escaped
from django_srvsession.store import Store, StoreUnavailableError

T = TypeVar("T")

WAIT_SECONDS: Final = 0.2
"""How long it may take, if the store's own time-out is not shorter."""
PAUSE_SECONDS: Final = 5
"""How long after a failure nothing of it is tried in this process."""

log = logging.getLogger("django_srvsession")


def best_effort_steps(store: Store, steps: Steps[T]) -> Steps[T | None]:
    """Run a procedure briefly, unless the store has just failed at one; None if it was not done to its end."""
    if time.monotonic() < store.bookkeeping_rests_until:
        return None
    try:
        done = yield from brief(steps, WAIT_SECONDS)
    except StoreUnavailableError as error:
        store.bookkeeping_rests_until = time.monotonic() + PAUSE_SECONDS
        if not store.bookkeeping_fails:
            store.bookkeeping_fails = True
            log.warning("The use of sessions cannot be noted, and pages go out without: %s", escaped(error))
        return None
    if store.bookkeeping_fails:
        store.bookkeeping_fails = False
        log.info("The use of sessions is noted again.")
    return done
