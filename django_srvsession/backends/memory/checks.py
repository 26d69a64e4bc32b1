"""What ``manage.py check --deploy`` says of sessions in memory."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Warning


def messages() -> Sequence[CheckMessage]:
    """Warn that one process is the limit."""
    text = "The memory session engine serves one process, and forgets all sessions when that ends."
    hint = "Set SESSION_ENGINE to django_srvsession.backends.db or .redis."
    return [Warning(text, hint=hint, id="srvsession.W105")]
