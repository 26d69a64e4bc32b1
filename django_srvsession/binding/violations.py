"""Tell of uses that were refused because they came without the device's key: by signal, in the log, in the history.

Once a minute for each session, in each process: whoever holds a stolen cookie decides how often it is tried.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from django_srvsession.clients.address import client_of
from django_srvsession.engine import SessionStore
from django_srvsession.events import log as event_log
from django_srvsession.records import SessionRecord
from django_srvsession.signals import unbound_use

MOST_A_DAY: Final = 10
"""How many refused uses of one account's sessions the history keeps of a day."""
_PAUSE_SECONDS: Final = 60
_MOST_REMEMBERED: Final = 1000

_told: dict[str, float] = {}
_lock = threading.Lock()


def tell(request: HttpRequest, record: SessionRecord) -> None:
    """Say that this session was used without its key, unless that was said just now."""
    if _is_news(record.sid):
        event_log.note_unbound_use(record, client_of(request), most=MOST_A_DAY)
        unbound_use.send_robust(SessionStore, record=record, request=request)


async def atell(request: HttpRequest, record: SessionRecord) -> None:
    """Do as :func:`tell`."""
    if _is_news(record.sid):
        await sync_to_async(event_log.note_unbound_use)(record, client_of(request), most=MOST_A_DAY)
        await unbound_use.asend_robust(SessionStore, record=record, request=request)


def _is_news(sid: str) -> bool:
    now = time.monotonic()
    with _lock:
        if now - _told.get(sid, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
            return False
        if len(_told) >= _MOST_REMEMBERED:
            _told.clear()
        _told[sid] = now
        return True
