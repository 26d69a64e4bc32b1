"""Reading the records of many sessions, without their contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_srvsession.backends.redis.commands import record_command
from django_srvsession.backends.redis.format import RECORD_BYTES, record_end
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.backends.redis.transport.replies import checked_look


async def record_replies(to: Transport, keys: Sequence[bytes]) -> list[Any]:
    """Return for each session's key what ``commands.record_command`` reads, its whole record: one round trip as a rule.

    Raises ``StoreUnavailableError`` where a key could not be read: nobody may take that for "no such session".
    """
    asked = [RECORD_BYTES] * len(keys)
    if not keys:
        return []
    replies = [checked_look(reply) for reply in await to.call([record_command(key) for key in keys])]
    while cut := [number for number, reply in enumerate(replies) if _goes_on(reply, asked[number])]:
        for number in cut:
            asked[number] = record_end(replies[number])
        longer = await to.call([record_command(keys[number], asked[number]) for number in cut])
        for number, reply in zip(cut, longer, strict=True):
            replies[number] = checked_look(reply)
    return replies


def _goes_on(reply: Any, asked_bytes: int) -> bool:
    """Tell whether a record goes on behind what was asked for; one that is shorter than that is cut where it stands."""
    return isinstance(reply, bytes) and len(reply) == asked_bytes and record_end(reply) > asked_bytes
