"""Close WebSockets and event streams whose session has ended: ``LiveSessions`` around an ASGI application.

A server looks at the session when a connection is made, and never again. Here a ``watching.Watcher`` asks the store,
every few seconds and in one question for all connections of a process, which of their sessions are live.
``connections`` ends those that are not, ``asgi`` finds what is to be watched, and ``streams`` is for a view's own.
"""

from __future__ import annotations

from django_srvsession.live.asgi import LiveSessions, unguarded
from django_srvsession.live.connections import ENDED_CODE
from django_srvsession.live.streams import guard

__all__ = ["ENDED_CODE", "LiveSessions", "guard", "unguarded"]
