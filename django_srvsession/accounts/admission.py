"""How many sessions a user may have: what ``SRVSESSION_MAX_SESSIONS_PER_USER`` and ``SRVSESSION_LIMIT_POLICY`` do."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router

from django_srvsession import conf, services
from django_srvsession.accounts.current_request import belongs_to, forget_user
from django_srvsession.engine import SessionStore
from django_srvsession.services import SignInRefusedError
from django_srvsession.store import LimitReachedError, StoreUnavailableError

REASON: Final = "limit"


def enforce(request: Any, session: SessionStore, user: Any) -> None:
    """Hold a user who has just signed in to the limit: end other sessions, or refuse this one.

    The session is saved first: the store counts what it has. Does no I/O where the user has no limit.

    Raises :class:`SignInRefusedError`, with the session ended and nobody signed in; ``ImproperlyConfigured``, and
    ``StoreUnavailableError``: whether others were ended is not known then, and the browser gets no key.
    """
    if conf.max_sessions_per_user is None or not belongs_to(session, user):
        return  # Some code says "signed in" of a token, without a session.
    limit = limit_of(user)
    if limit is None:
        return
    if conf.limit_policy == "refuse":
        _wait_for_turn(session, user)
        session.save()
        _admit(request, session, user, limit)
    else:
        session.save()
        # Others are ended when this sign-in is final: at once, except inside a transaction of the site's.
        session.store().on_commit(partial(_admit, request, session, user, limit))


def limit_of(user: Any) -> int | None:
    """Return how many sessions the user may have, or None: as many as they like.

    Raises ``ImproperlyConfigured`` when the site's function raises, or returns anything else.
    """
    limit = conf.max_sessions_per_user
    if not callable(limit):
        return limit
    name = f"{conf.PREFIX}MAX_SESSIONS_PER_USER"
    try:
        number = limit(user)
    except StoreUnavailableError:
        raise
    except Exception as error:
        # It is the site's code, which may raise anything; without its name a failing login is hard to explain.
        raise ImproperlyConfigured(f"The function of {name} raised {error!r}.") from error
    if number is None or conf.is_limit(number):
        return number  # type: ignore[no-any-return]
    raise ImproperlyConfigured(
        f"The function of {name} returned {number!r}; it must return a whole number above 0, or None."
    )


def _wait_for_turn(session: SessionStore, user: Any) -> None:
    """Let a user's sign-ins in transactions of the site's go one after another, on MariaDB and MySQL.

    The lock under which the store counts is not held to the end of a transaction there, while the rows are: two that
    have saved their session would wait for each other. So the user's row is locked first.
    """
    using = router.db_for_write(type(user), instance=user)
    connection = connections[using]
    if connection.vendor != "mysql" or not (session.store().in_transaction and connection.in_atomic_block):
        return
    rows = type(user)._base_manager.using(using).select_for_update().filter(pk=user.pk)
    try:
        rows.values_list("pk").first()
    except DatabaseError as error:
        outage = StoreUnavailableError("The database could not lock the row of the user.")
        session.note_outage(outage)
        raise outage from error


def _admit(request: Any, session: SessionStore, user: Any, limit: int) -> None:
    """Have the store count the session, and do what that costs."""
    try:
        _end_others_or_refuse(request, session, user, limit)
    except StoreUnavailableError as error:
        session.withhold(REASON)
        session.note_outage(error)
        raise


def _end_others_or_refuse(request: Any, session: SessionStore, user: Any, limit: int) -> None:
    store, sid = session.store(), session.sid
    try:
        others = store.admit(services.user_id_of(user), sid or "", limit, conf.limit_policy)
        for _record in services.revoke_many(others, reason=REASON):
            pass
    except LimitReachedError:
        session.refuse_sign_in(REASON)
        forget_user(request)
        raise SignInRefusedError from None
