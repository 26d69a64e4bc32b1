"""Hear of the sessions that scripts end, on a channel of Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from django_srvsession.backends.redis.alias import client_of
from django_srvsession.backends.redis.transport.replies import FAILURES, unavailable

_WAIT_S: Final = 1.0
"""For how long a message is waited for before the caller's wish to stop is looked at, in seconds."""


def listen(alias: str, channel: bytes, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
    """Do as ``Store.listen``, on a connection of the alias's pool; redis-py renews it when it is lost."""
    client = client_of(alias)
    try:
        with client.pubsub() as subscription:
            subscription.subscribe(channel)
            while not stopped.is_set():
                message = subscription.get_message(timeout=_WAIT_S)
                if message is not None and message["type"] == "subscribe":  # Also when it was lost, and renewed.
                    heard(())
                elif message is not None and message["type"] == "message":
                    heard((message["data"].decode("ascii", "replace"),))
    except FAILURES as error:
        raise unavailable(error) from error
    return False
