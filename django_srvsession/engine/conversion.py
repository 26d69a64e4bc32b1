"""What a session of another engine is here: the same contents, the same limits, and no more time than it had left.

What Django's engines do not keep is taken at its worst. A session in which somebody is signed in tells nothing of when
that was: not later than it was last changed, nor than the user last signed in anywhere. It is no proof of the person.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from django_srvsession import conf
from django_srvsession.engine import lifetimes
from django_srvsession.engine.details import NONE, Details
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import USER_KEY
from django_srvsession.engine.sealed_record import RECORD, SealedRecord
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.values import SealedValues, is_mark
from django_srvsession.escaping import escaped
from django_srvsession.migrating.source import Found, instant_ms
from django_srvsession.records import Loaded, SessionRecord, expiry
from django_srvsession.users import kind_in, named_in, written_users_of

_NO_PROOF: Final = Details(was_switched=True)

log = logging.getLogger("django_srvsession")


class _Times(NamedTuple):
    created_ms: int
    last_seen_ms: int
    lifetime_ms: int
    expires_ms: int
    signed_in_ms: int | None
    deadline_ms: int | None


def as_ours(state: SessionState, key: SessionKey, found: Found, now_ms: int) -> Loaded | None:
    """Return what the session that was found is under this key; None, which is logged, where it cannot be kept.

    Asks the database of the users only under ``SRVSESSION_MAX_LIFETIME``, and for whom a backend of the site's own has
    signed in. The result may have expired.
    """
    values = SealedValues()
    values.update({name: value for name, value in found.contents.items() if not is_mark(name)})
    sealer = state.sealer(key)
    try:
        sealed = values.everything(sealer)
    except (TypeError, ValueError, RecursionError) as error:
        log.error("Session %s cannot be carried over: SESSION_SERIALIZER does not take it: %s", key.sid, escaped(error))
        return None
    user_id = named_in(values)
    if user_id is None and values.get(USER_KEY) is not None:
        log.info("Session %s is not carried over now: its backend does not say whose it is.", key.sid)
        return None
    times = _times(state, values, user_id, found, now_ms)
    record = SessionRecord(
        key.sid,
        key.verifier,
        times.created_ms,
        times.last_seen_ms,
        times.lifetime_ms,
        times.expires_ms,
        user_id,
        found.client if state.client_of_request is None else state.client_of_request(),
        times.signed_in_ms,
        times.deadline_ms,
        details=(NONE if user_id is None else _NO_PROOF.of_kind(kind_in(user_id))).encode(),
    )
    return Loaded(record, {**sealed, RECORD: SealedRecord.of(record).seal(sealer)}, now_ms)


def _times(state: SessionState, values: SealedValues, user_id: str | None, found: Found, now_ms: int) -> _Times:
    """Return the instants of the session here.

    It expires when it would have there, unless every use extends it and a request uses it now. Where only a change
    extends it, its last change was a lifetime before.
    """
    is_request, age = state.client_of_request is not None, _cookie_age(state, values)
    own_expiry = values.get(lifetimes.EXPIRY_KEY)
    lifetime_ms, deadline_ms = lifetimes.lifetime_of(own_expiry, age, None, now_ms)
    expires_ms = expiry(now_ms, lifetime_ms, deadline_ms)
    if not (is_request and lifetimes.slides(own_expiry)):
        expires_ms = min(expires_ms, found.expires_ms)
    changed_ms = min(max(expires_ms - lifetime_ms, 0), now_ms)
    created_ms = changed_ms if found.created_ms is None else min(found.created_ms, changed_ms)
    signed_in_ms = None
    if user_id is not None:
        signed_in_ms = created_ms if conf.max_lifetime_ms is None else min(created_ms, _last_login_ms(user_id, now_ms))
        deadline_ms = lifetimes.lifetime_of(own_expiry, age, signed_in_ms, now_ms).deadline_ms
        expires_ms = expires_ms if deadline_ms is None else min(expires_ms, deadline_ms)
    last_seen_ms = now_ms if is_request else changed_ms
    return _Times(created_ms, last_seen_ms, lifetime_ms, expires_ms, signed_in_ms, deadline_ms)


def _cookie_age(state: SessionState, values: SealedValues) -> int:
    """Return the age of a session with these contents, as the site's engine says it."""
    before = state.contents
    state.hold(values)
    try:
        return state.owner.get_session_cookie_age()
    finally:
        state.hold(before)


def _last_login_ms(user_id: str, now_ms: int) -> int:
    """Return when the user last signed in anywhere, or now where that is not known."""
    last = getattr(written_users_of([user_id]).get(user_id), "last_login", None)
    return now_ms if last is None else instant_ms(last)
