"""Hear of ends from the store, in a thread, for as long as somebody wants to know."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Final

from django_srvsession.engine import current_store
from django_srvsession.store import StoreUnavailableError

_AGAIN_S: Final = 1.0
"""How long to wait before a store that was out of reach is listened to again, in seconds."""

log = logging.getLogger("django_srvsession")


class Hints:
    """Call ``heard`` with the sids of sessions that may have ended, none for "any"; in a thread of its own.

    Nothing depends on it: who watches asks regularly. What cannot be heard is not heard, silently.
    """

    def __init__(self, heard: Callable[[Collection[str]], object]) -> None:
        self._heard = heard
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="srvsession-hints", daemon=True).start()

    def stop(self) -> None:
        """Hear no more; the thread ends a second later, at most."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set() and self._listen():
                self._stopped.wait(_AGAIN_S)
        except Exception:  # A loop that is gone, or a store of somebody else's.
            if not self._stopped.is_set():
                log.exception("Ends of sessions are not heard of; they are found by asking.")

    def _listen(self) -> bool:
        """Listen until told to stop, or the store is out of reach; tell whether to try again."""
        try:
            return current_store().listen(self._tell, self._stopped)
        except StoreUnavailableError:
            return True

    def _tell(self, sids: Collection[str]) -> None:
        if not self._stopped.is_set():
            self._heard(sids)
