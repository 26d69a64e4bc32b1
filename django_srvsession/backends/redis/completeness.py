"""Whether the lists have every session, without looking: what the primaries were when they were last found complete.

What lists a session is acknowledged before the session is stored. So a list can lack one only where a server lost what
it had acknowledged: by a fail-over or a restart, or because it evicts. Each of these shows in INFO, in one round trip;
who makes sessions, or loads them, has nothing to do for it. Whoever needs the lists complete goes through all sessions
when a primary is not what it was, or is new, and the next one need not.
"""

from __future__ import annotations

from collections.abc import Callable

from redis.exceptions import ResponseError

from django_srvsession.backends.redis.audit import IndexAudit
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.transport import Ask, BlockingTransport
from django_srvsession.backends.redis.transport.replies import checked_index, parse_info, run_in


class Completeness:
    """Know whether the lists are complete, and make them so; each method may raise ``StoreUnavailableError``."""

    def __init__(self, to: BlockingTransport, keys: Keys, audit: IndexAudit) -> None:
        self._to = to
        self._key = keys.complete
        self._audit = audit

    def is_known(self) -> bool:
        """Tell whether no primary can have lost anything since the lists were found complete."""
        now = self._primaries()
        (stored,) = self._to.exchange([("GET", self._key)])
        return now is not None and now <= set((checked_index(stored) or b"").decode().split())

    def restore(self, on_batch: Callable[[], object] | None = None) -> int:
        """Go through all sessions and list those that a list lacks, in batches; return how many those were.

        ``on_batch`` is called after each batch, and may wait, or raise to stop.
        """
        self._to.refresh()  # Nodes of a cluster may have joined.
        # What they were before: a primary that is lost meanwhile is not what will be remembered.
        before, places = self._primaries(), self._places()
        restored = 0
        for _, missing in self._audit.batches(repair=True):
            restored += len(missing)
            if on_batch is not None:
                on_batch()
        # A session that moved from a node that was still to come to one that was done has not been looked at.
        if before is not None and places is not None and places == self._places():
            (reply,) = self._to.exchange([("SET", self._key, " ".join(sorted(before)))])
            checked_index(reply)
        return restored

    def _primaries(self) -> set[str] | None:
        """Return the incarnation of each primary; None where one does not tell."""
        words = [incarnation(ask) for ask in self._to.primaries().values()]
        return None if None in words else {word for word in words if word is not None}

    def _places(self) -> list[list[str]] | None:
        """Return which slots each node of a cluster has; None while some are on their way, or if one does not tell."""
        if self._to.is_one_server:
            return []
        places: list[list[str]] = []
        for ask in self._to.primaries().values():
            reply = ask(("CLUSTER", "NODES"))
            if isinstance(reply, ResponseError):
                return None
            (mine,) = (
                words for words in map(str.split, reply.decode().splitlines()) if "myself" in words[2].split(",")
            )
            places.append([mine[0], *mine[8:]])
        return None if any(slot.startswith("[") for node in places for slot in node) else sorted(places)


def incarnation(ask: Ask) -> str | None:
    """Return a word that changes when a server may have lost something it had; None where it does not tell."""
    reply = ask(("INFO",))
    if isinstance(reply, ResponseError):
        return None
    info = parse_info(reply)
    # The process that runs, the history of its data; it evicts nothing that lists anything under any other policy.
    lost = info.get("evicted_keys", "") if info.get("maxmemory_policy", "").startswith("allkeys") else ""
    run = run_in(info)
    return None if run is None else f"{run}:{lost}"
