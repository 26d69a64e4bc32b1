"""System checks: what ``manage.py check`` and ``check --deploy`` say about a site's sessions.

Ids are stable. What only one store can know, its ``Store.check`` says (``srvsession.E1xx`` and ``W1xx``). About the
cookie's settings Django's own checks (``security.W010`` to ``W015``) speak.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_srvsession import conf
from django_srvsession.engine import SessionStore


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Report ``SRVSESSION_*`` settings that do not exist, or whose value is not of their kind."""
    messages: list[CheckMessage] = []
    for full_name in filter(lambda name: name.startswith(conf.PREFIX), dir(settings)):
        name = full_name.removeprefix(conf.PREFIX)
        if name not in conf.SETTINGS:
            near = difflib.get_close_matches(name, conf.SETTINGS, n=1)
            hint = f"Did you mean {conf.PREFIX}{near[0]}?" if near else None
            messages.append(Warning(f"There is no setting {full_name}.", hint=hint, id="srvsession.W001"))
            continue
        try:
            conf.get(name)
        except ImproperlyConfigured as error:
            messages.append(Error(str(error), id="srvsession.E002"))
    return messages


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


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Report a missing session middleware of ours, and two of them."""
    ours = [path for path in settings.MIDDLEWARE if _is_ours(path)]
    if len(ours) == 1:
        return []
    hint = "MIDDLEWARE needs django_srvsession.middleware.SessionMiddleware once, in the place of Django's."
    text = "The session middleware of django-srvsession is in MIDDLEWARE twice."
    if not ours:
        text = (
            "The session middleware of django-srvsession is not in MIDDLEWARE: an outage of the store is answered "
            "with 500, and no session knows where it was last used."
        )
    return [Warning(text, hint=hint, id="srvsession.W002")]


def _is_ours(path: str) -> bool:
    try:
        middleware = import_string(path)
    except ImportError:
        return False  # Django says so itself.
    # By name: front ends do not import each other.
    return any(base.__module__ == "django_srvsession.middleware" for base in getattr(middleware, "__mro__", ()))


def connect() -> None:
    """Register all checks."""
    register(check_settings, Tags.compatibility)
    register(check_engine, Tags.compatibility)
    register(check_middleware, Tags.compatibility)
    register(check_engine_for_deployment, Tags.security, deploy=True)
