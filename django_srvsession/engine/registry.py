"""Which stores there are in this process: one instance of each class, shared by all its threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.signals import setting_changed

from django_srvsession.store import Store

_stores: dict[type[Store], Store] = {}
_instead: ContextVar[Store | None] = ContextVar("srvsession_store", default=None)


def store_of(store_class: type[Store]) -> Store:
    """Return the process's one instance of a store class; built on first use, again when its settings change."""
    instead = _instead.get()
    if type(instead) is store_class:
        return instead
    try:
        return _stores[store_class]
    except KeyError:
        return _stores.setdefault(store_class, store_class())


@contextmanager
def using_store(store: Store) -> Iterator[None]:
    """Take this instance for the one of its class, in this context only: other threads go on with theirs."""
    token = _instead.set(store)
    try:
        yield
    finally:
        _instead.reset(token)


def _forget_stores(*, setting: str, **kwargs: Any) -> None:
    for store_class in [cls for cls in _stores if setting in cls.settings_used]:
        del _stores[store_class]


setting_changed.connect(_forget_stores, dispatch_uid="srvsession.engine")
