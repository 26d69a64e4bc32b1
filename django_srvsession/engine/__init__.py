"""The session engine: Django's ``SessionBase``, sync and async, on a store.

``session`` is the object that a request holds. Its procedures build on each other: ``sealed_record`` < ``reading`` <
``writing`` < ``ending`` < ``saving`` < ``changing``; ``signalling`` sends the signals. ``keys``, ``seal``, ``values``
and ``lifetimes`` say what a cookie, a stored value, the contents and an expiry are.
"""

from __future__ import annotations

from django_srvsession.engine.registry import store_of
from django_srvsession.engine.session import SessionStore, clear_expired, current_store

__all__ = ["SessionStore", "clear_expired", "current_store", "store_of"]
