"""What ``manage.py check`` says of the directory of session files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.file.directory import problem_with


def session_path() -> str:
    """Return the absolute path that ``SESSION_FILE_PATH`` names.

    Raises ``ImproperlyConfigured`` without one. There is no default: in a shared temporary directory others can plant
    files, and a job that tidies it up would sign people out.
    """
    path = getattr(settings, "SESSION_FILE_PATH", None)
    if not path:
        raise ImproperlyConfigured(
            "Set SESSION_FILE_PATH to a directory of the site's own (mode 0700) for its sessions."
        )
    return os.path.abspath(str(path))


def messages() -> Sequence[CheckMessage]:
    """Report a directory that is not set, or that others can enter."""
    try:
        path = session_path()
        problem = problem_with(path) if os.path.lexists(path) else None
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="srvsession.E104")]
    return [checks.Error(problem, id="srvsession.E105")] if problem else ()
