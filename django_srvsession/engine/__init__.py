"""The session engine: Django's ``SessionBase``, sync and async, on a store.

``session`` is the object that a request holds. What it knows is in a ``state`` (``knowledge``), and what it does are
procedures over that and the store's face. They build on each other: ``ending`` < ``reading`` < ``writing`` < ``saving``
< ``changing``, ``settling``. ``signalling`` sends the signals. ``keys``, ``seal``, ``sealed_record``, ``details``,
``values`` and ``lifetimes`` say what a cookie, a stored value, the record, the contents and an expiry are.
"""

from __future__ import annotations

from django_srvsession.engine.ends import clear_expired
from django_srvsession.engine.registry import store_of
from django_srvsession.engine.session import SessionStore, current_store

__all__ = ["SessionStore", "clear_expired", "current_store", "store_of"]
