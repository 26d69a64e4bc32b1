"""What a session object goes through, from cookie to store and back, as steps (see ``steps.py``).

Each method that ends in ``_steps`` is one procedure; ``engine.py`` gives each its sync and async form. The modules
build on each other: ``sealed_record`` < ``reading`` < ``writing`` < ``ending`` < ``saving`` < ``changing``; ``events``
sends the signals.

Only a store's answer changes what a session object believes about the stored session; after an error it is as before.
"""

from __future__ import annotations

from django_srvsession.lifecycle.bookkeeping import best_effort_steps
from django_srvsession.lifecycle.changing import SessionLifecycle
from django_srvsession.lifecycle.events import end_many_steps, end_steps, ended, expire_steps
from django_srvsession.lifecycle.reading import SWITCHED, USER_KEY, WRONG, Found, user_id_in
from django_srvsession.lifecycle.sealed_record import RECORD

__all__ = [
    "RECORD",
    "SWITCHED",
    "USER_KEY",
    "WRONG",
    "Found",
    "SessionLifecycle",
    "best_effort_steps",
    "end_many_steps",
    "end_steps",
    "ended",
    "expire_steps",
    "user_id_in",
]
