"""Looking at many sessions without their contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_srvsession.backends.redis.codec import is_cut, record_command
from django_srvsession.backends.redis.wire import Steps


def look_at(keys: Sequence[bytes]) -> Steps[list[Any]]:
    """Return for each session's key the reply of ``codec.record_command``, whole: one round trip as a rule."""
    replies = yield [record_command(key) for key in keys]
    while cut := [number for number, reply in enumerate(replies) if is_cut(reply)]:
        longer = yield [record_command(keys[number], replies[number]) for number in cut]
        for number, reply in zip(cut, longer, strict=True):
            replies[number] = reply
    return replies
