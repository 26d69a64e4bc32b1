"""The engine: whether it is ours, and what its store has to say."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from django_srvsession.engine import SessionStore


def check_engine(**kwargs: Any) -> list[CheckMessage]:
    """Report an engine that is not ours, and what its store has to say about its settings."""
    return _engine_messages(deploy=False)


def check_engine_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report what the engine's store has to say about serving a real site."""
    return _engine_messages(deploy=True)


def _engine_messages(deploy: bool) -> list[CheckMessage]:
    try:
        engine = import_module(settings.SESSION_ENGINE).SessionStore
    except (ImportError, AttributeError) as error:
        return [] if deploy else [Error(f"SESSION_ENGINE cannot be used: {error}.", id="srvsession.E001")]
    if issubclass(engine, SessionStore):
        return list(engine.store_class.check(deploy))
    hint = "Set it to django_srvsession.backends.db, .redis, .file or .memory."
    text = f"SESSION_ENGINE is {settings.SESSION_ENGINE}: its sessions cannot be listed or ended."
    return [] if deploy else [Error(text, hint=hint, id="srvsession.E001")]
