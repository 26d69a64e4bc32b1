"""Caches and URLs of tests in the same context variables, however often a test changes ``CACHES`` and ``ROOT_URLCONF``.

Django makes a new ``asgiref.local.Local`` for each change, which is a context variable, and a context keeps all of its
variables. Each step between a thread and an event loop goes through all of them: after some thousand tests it takes
milliseconds. So the caches of each change are attributes of one ``Local``, under the number of the change, and what
resolves the URLs of a module is made once.
"""

from __future__ import annotations

import contextlib
from typing import Any

from asgiref.local import Local
from django.core.cache import caches, close_caches
from django.core.signals import setting_changed
from django.test.signals import clear_cache_handlers, root_urlconf_changed
from django.urls import set_urlconf


class Connections:
    """Hold the caches that are open, by alias; those of an earlier number are nobody's any more."""

    def __init__(self) -> None:
        self.__dict__.update(local=Local(), number=0, names=set())

    def _name(self, alias: str) -> str:
        return f"{self.__dict__['number']}:{alias}"

    def __getattr__(self, alias: str) -> Any:
        return getattr(self.__dict__["local"], self._name(alias))

    def __setattr__(self, alias: str, cache: Any) -> None:
        self.__dict__["names"].add(alias)
        setattr(self.__dict__["local"], self._name(alias), cache)

    def __delattr__(self, alias: str) -> None:
        delattr(self.__dict__["local"], self._name(alias))

    def renew(self) -> None:
        for alias in self.__dict__["names"]:
            with contextlib.suppress(AttributeError):
                delattr(self, alias)
        self.__dict__["names"].clear()
        self.__dict__["number"] += 1


def clear_caches(*, setting: str, **kwargs: Any) -> None:
    """Do as Django's ``clear_cache_handlers``."""
    if setting == "CACHES":
        close_caches()
        handler: Any = caches
        handler._settings = handler.settings = handler.configure_settings(None)
        handler._connections.renew()


def keep_resolvers(*, setting: str, **kwargs: Any) -> None:
    """Do as Django's ``root_urlconf_changed``, and forget no URLs: they are kept under the module that has them."""
    if setting == "ROOT_URLCONF":
        set_urlconf(None)


def keep_one_local() -> None:
    """Have one variable for all caches, and one set of them for the URLs of a module, from now on."""
    handler: Any = caches
    handler._connections = Connections()
    setting_changed.disconnect(clear_cache_handlers)
    setting_changed.connect(clear_caches)
    setting_changed.disconnect(root_urlconf_changed)
    setting_changed.connect(keep_resolvers)
