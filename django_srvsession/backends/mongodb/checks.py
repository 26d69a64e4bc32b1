"""What can be wrong with ``SRVSESSION_MONGODB``, with its server, and with the indexes there, as system checks."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage


def messages(deploy: bool) -> Sequence[CheckMessage]:
    """Return what is wrong with the settings; with ``deploy``, with the server."""
    return ()
