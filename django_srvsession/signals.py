"""Signals: a session began with a sign-in, somebody signed in on a new device, a stolen key was used, a session ended.

All are sent with ``sender=django_srvsession.engine.SessionStore``, robustly (a failing receiver is logged, the request
goes on), and after the commit of the transaction that the change was part of.
"""

from __future__ import annotations

from django.dispatch import Signal

session_started = Signal(use_caching=True)
"""Sent once when a user signs in. Arguments: ``record`` (a ``SessionRecord``)."""

signed_in_on_new_device = Signal(use_caching=True)
"""Sent once when a user signed in with a browser that does not show that the user signed in there before.

Arguments: ``record``, ``user``, ``request``. Not sent for a user's very first sign-in. Needs our middleware.
"""

unbound_use = Signal(use_caching=True)
"""Sent when a session that is bound to a device was used without its device's key; once a minute in each process.

Arguments: ``record``, ``request``. Who used it was not let in, and the session goes on, unless
``SRVSESSION_BIND_VIOLATION`` ends it. Needs our middleware.
"""

session_ended = Signal(use_caching=True)
"""Sent once when a session has ended, also when its expiry is noticed. Arguments: ``record``, ``reason``, ``by``.

Reasons are public and stable: ``logout replaced revoked expired_idle expired_lifetime limit password_changed
email_changed confirmation_failed disowned unbound provider_logout user_deactivated user_deleted evicted cleared``.
"""
