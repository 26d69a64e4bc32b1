"""Models that a test makes: later than the app was made ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connections, router


@contextmanager
def model(name: str, /, *bases: Any, proxy: bool = False, **attributes: Any) -> Iterator[Any]:
    """Make a model for the length of a block, with its table."""
    meta = type("Meta", (), {"app_label": "auth", "proxy": proxy})
    made: Any = type(name, bases, {"__module__": __name__, "Meta": meta, **attributes})
    connection = connections[router.db_for_write(made)]
    if not proxy:
        with connection.schema_editor() as editor:
            editor.create_model(made)
    try:
        yield made
    finally:
        if not proxy:
            with connection.schema_editor() as editor:
                editor.delete_model(made)
        del apps.all_models["auth"][name.lower()]
        apps.clear_cache()
