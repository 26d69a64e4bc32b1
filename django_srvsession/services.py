"""See and end sessions, on whatever store ``SESSION_ENGINE`` names: what every front end calls.

All of it takes effect at the next request in every process. Each function raises ``ImproperlyConfigured`` when the
engine is not one of ours, and ``StoreUnavailableError`` when the store does not answer: then nothing is known about
the sessions that were to be ended.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from django_srvsession import conf
from django_srvsession.engine import current_store, ends
from django_srvsession.engine.reading import USER_KEY
from django_srvsession.engine.seal import Sealer, SealError
from django_srvsession.engine.sealed_record import RECORD
from django_srvsession.engine.values import HASH_KEY
from django_srvsession.escaping import escaped
from django_srvsession.records import LATEST_MS, Ending, Loaded, SessionRecord, Tombstone, is_storable
from django_srvsession.store import CorruptSessionError, Store, listings
from django_srvsession.store.health import Housed, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Portion, Step
from django_srvsession.users import user_id_of as user_id_of
from django_srvsession.users import written_users_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from django_srvsession.models import SessionEvent

_NOT_KNOWN_YET_MS: Final = 60_000
"""For so long after a sign-in a user who is not found is no deleted one: the transaction that made the user, or a copy
of the database, may be a little behind the session. In milliseconds, by this machine's clock."""

_CLOCKS_DIFFER_MS: Final = 60_000
"""By how much the clocks of a site's machines may differ, in milliseconds."""

log = logging.getLogger("django_srvsession")


class SignInRefusedError(PermissionDenied):
    """Report that a user has as many sessions as ``SRVSESSION_MAX_SESSIONS_PER_USER`` allows; nobody is signed in.

    Raised out of ``login()`` under ``SRVSESSION_LIMIT_POLICY = "refuse"``. Its text is for people, in their language;
    a page that does not catch it answers 403.
    """

    def __init__(self) -> None:
        super().__init__(gettext("You are signed in on too many devices. Sign out on one of them first."))


def sessions_of(user: Any) -> Sequence[SessionRecord]:
    """Return a user's live sessions, newest activity first, as a lazy sequence."""
    return current_store().records(user_id_of(user))


async def asessions_of(user: Any) -> Sequence[SessionRecord]:
    """Do as :func:`sessions_of`, with the sessions already fetched."""
    return await current_store().face().records(user_id_of(user))


def sessions_from(user: Any, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
    """Return a user's next live sessions, latest created first, from behind one on; see ``Store.records_from``."""
    return current_store().records_from(user_id_of(user), after, count)


def those_that_open(user: Any, records: Iterable[SessionRecord]) -> list[SessionRecord]:
    """Leave out the sessions that a new password has killed: their next request signs them out.

    ``user`` is an object, as the database has it now. A changed password ends other sessions at once; this is about
    ``QuerySet.update()``, SQL and a lost ``SECRET_KEY``. The hash of the password that a session was opened with is in
    its contents, so each of these sessions is loaded: for a page of one user's, not for lists of everybody's.
    """
    if not hasattr(user, "get_session_auth_hash"):
        return list(records)
    fallbacks = getattr(user, "get_session_auth_fallback_hash", tuple)
    hashes, store = [user.get_session_auth_hash(), *fallbacks()], current_store()
    return [record for record in records if _fits(store, record.sid, hashes)]


def _fits(store: Store, sid: str, hashes: Collection[str]) -> bool:
    """Tell whether a live session holds none but one of these auth hashes."""
    try:
        found = store.load(sid)
        if not isinstance(found, Loaded) or not found.record.is_live(found.now_ms):
            return False
        if (sealed := found.values.get(HASH_KEY)) is None:
            return True  # Signed in by code that goes without.
        sealer = Sealer(sid, import_string(settings.SESSION_SERIALIZER)(), namespace=store.namespace)
        held = str(sealer.open(HASH_KEY, sealed))
    except (CorruptSessionError, SealError):
        return False  # It opens for nobody.
    return any(constant_time_compare(held, known) for known in hashes)


def session_of(user: Any, sid: str) -> SessionRecord | None:
    """Return one live session of a user; None when it is somebody else's, has ended, or never was.

    The three are one answer, so that nobody learns which it was.
    """
    try:
        return _live_of(user, current_store().load(sid))
    except CorruptSessionError:
        return None


async def asession_of(user: Any, sid: str) -> SessionRecord | None:
    """Do as :func:`session_of`."""
    try:
        return _live_of(user, await current_store().face().load(sid))
    except CorruptSessionError:
        return None


def _live_of(user: Any, found: Loaded | Tombstone | None) -> SessionRecord | None:
    if not isinstance(found, Loaded) or not found.record.is_live(found.now_ms):
        return None
    return found.record if found.record.user_id == user_id_of(user) else None


def live_sessions() -> Sequence[SessionRecord]:
    """Return all live sessions, newest activity first, as a lazy sequence whose ``len()`` may be approximate."""
    return current_store().records()


def revoke(sid: str, *, by: Any = None, reason: str = "revoked") -> SessionRecord | None:
    """End one session for good; return its record, or None if there was none to end.

    ``by`` is who did it: a user, or text such as a command's name.
    """
    return ends.end(current_store(), sid, Ending(reason, _actor(by)))


async def arevoke(sid: str, *, by: Any = None, reason: str = "revoked") -> SessionRecord | None:
    """Do as :func:`revoke`."""
    return await ends.aend(current_store(), sid, Ending(reason, _actor(by)))


def ensure_ended() -> None:
    """Make sure that what has ended has ended in every part of the store, for who asks once more after a 503.

    An end that was answered 503 may have ended a session in a part of the store only (``StoreUnavailableError.ended``).
    It asks about no session, so that nobody learns by it whether there is one.

    Raises ``StoreUnavailableError`` as long as a part has not been told.
    """
    current_store().ensure_listed()


def revoke_if_anonymous(record: SessionRecord, *, by: Any = None, reason: str = "revoked") -> SessionRecord | None:
    """End a session in which nobody has signed in since this record of it was read; return as :func:`revoke`.

    The step that ends it decides, for people who may not end everybody's sessions: ``login()`` changes the key, and
    code that signs somebody in without it names the user.
    """
    if record.user_id is not None:
        return None
    return ends.end(current_store(), record.sid, Ending(reason, _actor(by), record.verifier, {USER_KEY: None}))


def revoke_many(sids: Iterable[str], *, by: Any = None, reason: str = "revoked") -> Iterator[SessionRecord]:
    """End sessions, as many in each step as suits the store, and yield the records of those that this call has ended.

    Each step is final: what was ended before an error stays ended, and who asks again ends the rest. Nothing is ended
    that no record is asked for of: go through all of them.
    """
    store, ending, remaining = current_store(), Ending(reason, _actor(by)), iter(sids)
    while batch := list(itertools.islice(remaining, store.ends_at_once)):
        yield from ends.end_many(store, batch, ending)


def revoke_all(user: Any, *, keep: str | None = None, by: Any = None, reason: str = "revoked") -> list[SessionRecord]:
    """End all sessions of a user, except the one with the sid ``keep``, and return the ended records.

    Also those that no list has, because a server lost what it had acknowledged. A sign-in that is still under way is
    ended, or is listed afterwards: no session works without being listed. While the site moves, those that wait in the
    other engine end too.
    In steps as :func:`revoke_many`.
    """
    return ends.end_all_of(current_store(), user_id_of(user), _kept(keep), Ending(reason, _actor(by)))


async def arevoke_all(
    user: Any, *, keep: str | None = None, by: Any = None, reason: str = "revoked"
) -> list[SessionRecord]:
    """Do as :func:`revoke_all`."""
    return await ends.aend_all_of(current_store(), user_id_of(user), _kept(keep), Ending(reason, _actor(by)))


def _kept(keep: str | None) -> Collection[str]:
    return () if keep is None else (keep,)


def end_waiting(
    user: Any, *, keep: Collection[str] = (), by: Any = None, reason: str = "revoked"
) -> list[SessionRecord]:
    """End all sessions of a user while the site moves, also those that wait in the other engine; else do nothing.

    For who ends all that is listed, and calls this before: no list has those. :func:`revoke_all` does it by itself.
    Returns the records of those that were listed.
    """
    return ends.end_waiting(user_id_of(user), keep, Ending(reason, _actor(by)))


def some_wait() -> bool:
    """Tell whether users may have sessions that no list has: they wait in the engine that the site moves from."""
    if not conf.is_moving():
        return False
    from django_srvsession import migrating  # Most sites do not move.

    return migrating.engines() is not None


def all_sessions_of(user: Any) -> Iterator[SessionRecord]:
    """Yield all live sessions of a user to who ends them: those that are listed first, then what lists had lost.

    After a fail-over of Redis the latter may take seconds, once: until then :func:`sessions_of` may lack a session.
    """
    told: set[str] = set()
    for record in sessions_of(user):
        told.add(record.sid)
        yield record
    if current_store().ensure_listed():
        yield from (record for record in sessions_of(user) if record.sid not in told)


def relist(*, on_batch: Callable[[], object] | None = None) -> int:
    """List the live sessions that no list has, and return how many those were; see ``Store.relist``."""
    return current_store().relist(on_batch)


def clear_expired(
    *,
    batch_size: int = 1000,
    dry_run: bool = False,
    on_progress: Callable[[int], object] | None = None,
    on_swept: Callable[[str, int], object] | None = None,
) -> int:
    """End the sessions whose time is up, each with its signal, in batches; return how many (to be) ended.

    The callbacks are those of ``Store.clear_expired``.
    """
    return ends.clear_expired(
        current_store(), batch_size=batch_size, dry_run=dry_run, on_progress=on_progress, on_swept=on_swept
    )


def end_if_user_is_gone(record: SessionRecord) -> SessionRecord | None:
    """End a session whose user was deleted or deactivated; return its record if this call ended it.

    A database that cannot be asked says nothing of the user, and ends nothing.
    """
    try:
        reason = _why_gone([record]).get(record.sid)
    except (OperationalError, InterfaceError) as error:
        log.error("The database of the users did not say whether one is gone: %s", escaped(error))
        return None
    return None if reason is None else revoke(record.sid, reason=reason)


def end_sessions_of_missing_users(
    *,
    batch_size: int = 1000,
    dry_run: bool = False,
    after: str = "",
    on_progress: Callable[[int], object] | None = None,
    on_place: Callable[[str], object] | None = None,
) -> int:
    """End the live sessions of users who were deleted or deactivated behind Django's signals; return how many.

    ``QuerySet.update()`` and SQL send no signal: such sessions end at their next request, or here. Walks all signed-in
    sessions, newest activity first, from behind a place on (``after``), and asks for their users in batches. After each
    one ``on_place`` gets the place to go on from, and then ``on_progress`` the total so far.
    """
    ended = 0
    for batch in _batches(current_store().walk(after, Filter(signed_in=True)), batch_size):
        records = [step.record for step in batch if step.record is not None]
        gone = _why_gone(records)
        for reason in set(gone.values()):
            sids = [sid for sid, why in gone.items() if why == reason]
            ended += len(sids) if dry_run else sum(1 for _ in revoke_many(sids, reason=reason))
        if on_place is not None:
            on_place(batch[-1].place)
        if on_progress is not None:
            on_progress(ended)
    return ended


def _batches(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    """Put steps together until they stand for ``size`` sessions: also those that were looked at in vain take time."""
    batch: list[Step] = []
    looked_at = 0
    for step in steps:
        batch.append(step)
        looked_at += step.looked_at
        if looked_at >= size:
            yield batch
            batch, looked_at = [], 0
    if batch:
        yield batch


def recent_activity(user: Any) -> QuerySet[SessionEvent]:
    """Return what happened to a user's sessions and account, newest first; to sessions that are gone, too.

    When the user signed in, how and by whom sessions ended, which passwords were wrong, and what was changed.

    Holds what the last ``SRVSESSION_EVENT_LOG`` days wrote down; empty where that is None and always was. What was
    written of an earlier user with the same key, who was deleted, is not in it.
    """
    from django_srvsession.models import SessionEvent  # Only while the apps are ready.

    user_id = user_id_of(user)
    if not is_storable(user_id):
        return SessionEvent.objects.none()
    events = SessionEvent.objects.filter(user_id=user_id)
    deleted = events.filter(kind=SessionEvent.ENDED, reason=SessionEvent.USER_DELETED, at_ms__lte=LATEST_MS)
    last_deleted = Coalesce(Subquery(deleted.order_by("-at_ms").values("at_ms")[:1]), Value(0))
    shown = events.filter(at_ms__gt=last_deleted, at_ms__gte=_joined_ms(user))
    return shown.order_by("-at_ms", "-pk")


def _joined_ms(user: Any) -> int:
    """Return since when the user can have signed in, as far as the user says so: SQL deletes users and tells nobody."""
    joined = getattr(user, "date_joined", None)
    if not isinstance(joined, datetime):
        return 0
    aware = timezone.make_aware(joined) if timezone.is_naive(joined) else joined
    return max(int(aware.timestamp() * 1000) - _CLOCKS_DIFFER_MS, 0)


def _why_gone(records: Collection[SessionRecord]) -> dict[str, str]:
    """Return, by sid, the reason to end those of these sessions whose users are deleted or deactivated.

    Asks the database that users are written to: another one may not have heard of a new user yet.
    """
    users = written_users_of(record.user_id for record in records)
    reasons = {record.sid: _why_ended(record, users[record.user_id]) for record in records if record.user_id in users}
    return {sid: reason for sid, reason in reasons.items() if reason is not None}


def _why_ended(record: SessionRecord, user: Any) -> str | None:
    if user is None:
        signed_in_ms = record.created_ms if record.signed_in_ms is None else record.signed_in_ms
        return "user_deleted" if listings.clock_ms() - signed_in_ms >= _NOT_KNOWN_YET_MS else None
    return None if getattr(user, "is_active", True) else "user_deactivated"


def _actor(by: Any) -> str | None:
    return None if by is None else user_id_of(by)


# For sites whose people sign in at an identity provider.

PROVIDER_KEY: Final = "_provider_session"
"""The session key of what :func:`provider_logout_url` needs; ``oidc.link()`` writes it."""


def provider_logout_url(request: HttpRequest, *, state: str | None = None) -> str | None:
    """Return where the browser signs out at the identity provider, too (OpenID Connect RP-Initiated Logout 1.0).

    None where the session was not linked (``oidc.link()``), or ``SRVSESSION_OIDC`` has no ``end_session_endpoint`` for
    its provider. Ask before ``logout()``, and redirect after it. The provider hands ``state`` back.
    """
    return _end_session_url(request.session.get(PROVIDER_KEY), state)


async def aprovider_logout_url(request: HttpRequest, *, state: str | None = None) -> str | None:
    """Do as :func:`provider_logout_url`."""
    return _end_session_url(await request.session.aget(PROVIDER_KEY), state)


def _end_session_url(told: Any, state: str | None) -> str | None:
    if not isinstance(told, dict):
        return None
    ours = (told.get("issuer"), told.get("client_id"))
    provider = next((each for each in conf.oidc if (each.issuer, each.client_id) == ours), None)
    if provider is None or not provider.end_session_endpoint:
        return None
    parameters = {
        "id_token_hint": told.get("id_token"),
        "client_id": provider.client_id,
        "logout_hint": told.get("logout_hint"),
        "post_logout_redirect_uri": provider.post_logout_redirect_uri,
        "state": state,
    }
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{provider.end_session_endpoint}{'&' if '?' in provider.end_session_endpoint else '?'}{query}"


# For administrators.

NEVER_REVEALED: Final = ("_auth_user_hash", "_csrftoken", PROVIDER_KEY)
"""Session keys whose values help to forge a request, to guess a password, or to act for somebody at their provider."""


class Contents(NamedTuple):
    """Say what is in a live session: names and sizes (bytes as stored), and the values that may be shown.

    A value that cannot be opened, because its seal or ``SESSION_SERIALIZER`` does not fit, is not among them.
    """

    record: SessionRecord
    sizes: dict[str, int]
    revealed: dict[str, Any]


def portion_of_sessions(
    wanted: Filter = EVERYONE, *, count: int = 100, after: str = "", users: Collection[Any] | None = None
) -> Portion:
    """Return the next live sessions that are wanted, newest activity first, from behind a place on.

    Bounded: looks at some thousands of sessions at most, and at all sessions of ``users``, if given. The result's
    ``further`` is where the next portion begins. Raises ``ValueError`` for an ``after`` that is no such place.
    """
    if users is None:
        return current_store().portion(wanted, count, after)
    return _portion_of((sessions_of(user) for user in users), wanted, count, after)


async def aportion_of_sessions(
    wanted: Filter = EVERYONE, *, count: int = 100, after: str = "", users: Collection[Any] | None = None
) -> Portion:
    """Do as :func:`portion_of_sessions`."""
    if users is None:
        return await current_store().face().portion(wanted, count, after)
    return _portion_of([await asessions_of(user) for user in users], wanted, count, after)


def _portion_of(of_users: Iterable[Sequence[SessionRecord]], wanted: Filter, count: int, after: str) -> Portion:
    records = itertools.chain.from_iterable(of_users)
    return listings.gather(listings.walk(records, after), wanted, count)


def activity() -> Activity:
    """Return how many sessions are live, and how many were last used in each minute of the last hour; bounded."""
    return current_store().activity()


def storage_info() -> StorageInfo:
    """Return what the sessions are kept in; where the store does not tell, the engine's name."""
    store = current_store()
    return (
        store.storage_info() if isinstance(store, Housed) else StorageInfo(settings.SESSION_ENGINE.rpartition(".")[2])
    )


async def aactivity() -> Activity:
    """Do as :func:`activity`."""
    return await current_store().face().activity()


def contents_of(sid: str) -> Contents | None:
    """Return what is in a live session, or None where there is none: it has ended, or is damaged.

    Only the values of the keys that ``SRVSESSION_ADMIN_REVEAL`` names are opened, and never ``NEVER_REVEALED``.
    """
    try:
        found = current_store().load(sid)
    except CorruptSessionError:
        return None
    return _contents(found)


async def acontents_of(sid: str) -> Contents | None:
    """Do as :func:`contents_of`."""
    try:
        found = await current_store().face().load(sid)
    except CorruptSessionError:
        return None
    return _contents(found)


def _contents(found: Loaded | Tombstone | None) -> Contents | None:
    if not isinstance(found, Loaded) or not found.record.is_live(found.now_ms):
        return None
    sizes = {name: len(sealed) for name, sealed in found.values.items() if name != RECORD}
    return Contents(found.record, sizes, _revealed(found))


def _revealed(session: Loaded) -> dict[str, Any]:
    names = set(conf.admin_reveal) - set(NEVER_REVEALED)
    serializer = import_string(settings.SESSION_SERIALIZER)()
    sealer = Sealer(session.record.sid, serializer, namespace=current_store().namespace)
    values: dict[str, Any] = {}
    for name in sorted(names & session.values.keys()):
        with contextlib.suppress(SealError):
            values[name] = sealer.open(name, session.values[name])
    return values
