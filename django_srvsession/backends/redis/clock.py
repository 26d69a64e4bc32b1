"""Redis' clock."""

from __future__ import annotations

from typing import Any

from django_srvsession.store.clock import ServerClock


class RedisClock(ServerClock):
    """Learn from the replies of scripts, and to ``TIME``."""

    def learn_from_time(self, reply: Any) -> int:
        """Take note of the reply to TIME."""
        return self.learn(int(reply[0]) * 1000 + int(reply[1]) // 1000)
