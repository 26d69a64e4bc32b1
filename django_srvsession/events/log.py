"""Write down what happened to sessions and accounts: to the log, and to the database for ``SRVSESSION_EVENT_LOG`` days.

Neither holds a key or a verifier. The log (logger ``django_srvsession``, level INFO, DEBUG where nobody was signed in)
is written when it happens; the row after the commit of the database that holds it. A row that cannot be written is
logged, and fails no request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction
from django.dispatch import Signal

from django_srvsession import conf
from django_srvsession.engine import signalling
from django_srvsession.escaping import escaped
from django_srvsession.models import SessionEvent
from django_srvsession.records import Client, SessionRecord
from django_srvsession.signals import session_started

logger = logging.getLogger("django_srvsession")

_DAY_MS: Final = 86_400_000
_PORTION: Final = 500
_LENGTHS: Final = {field.name: field.max_length for field in SessionEvent._meta.local_fields}
_TEXTS: Final = {
    SessionEvent.STARTED: "Session %(sid)s of user %(user_id)s started.",
    SessionEvent.ENDED: "Session %(sid)s of user %(user_id)s ended: %(reason)s.",
    SessionEvent.FAILED: "A password of user %(user_id)s was wrong.",
    SessionEvent.UNBOUND_USE: "Session %(sid)s of user %(user_id)s was used without its device's key, and refused.",
    SessionEvent.CHANGED: "The account of user %(user_id)s was changed: %(reason)s.",
}


class EventLog:
    """Observe starts and ends, as ``engine.signalling`` tells them: after commit, once each."""

    @property
    def is_awake(self) -> bool:
        """Tell whether a start or an end would be written anywhere."""
        return logger.isEnabledFor(logging.INFO) or self.writes

    @property
    def writes(self) -> bool:
        """Tell whether rows are kept."""
        return days_kept() is not None

    def log(self, signal: Signal, arguments: Mapping[str, Any]) -> None:
        """Log it; at DEBUG where nobody was signed in."""
        record: SessionRecord = arguments["record"]
        level = logging.DEBUG if record.user_id is None else logging.INFO
        if logger.isEnabledFor(level):
            kind, reason, by = _told(signal, arguments)
            _log(level, kind, record.sid, record.user_id, reason, by)

    def write(self, signal: Signal, told: Sequence[Mapping[str, Any]]) -> None:
        """Write a row for each, unless nobody was signed in."""
        records = [(arguments["record"], _told(signal, arguments)) for arguments in told if _is_kept(arguments)]
        if records:
            _write_after_commit([_event(*what, record.sid, record.user_id, record.client) for record, what in records])


def note_change(user_id: str, reason: str, client: Client, *, by: str | None = None, sid: str = "") -> None:
    """Log that an account was changed, and write a row for it, where rows are kept, after commit."""
    _log(logging.INFO, SessionEvent.CHANGED, sid, user_id, reason, by)
    if days_kept() is not None and _fit("user_id", user_id) == user_id:
        _write_after_commit([_event(SessionEvent.CHANGED, reason, by, sid, user_id, client)])


def note_failure(user_id: str | None, reason: str, client: Client, *, sid: str = "", most: int) -> None:
    """Do the same for a wrong password; of one account, the latest ``most`` of a day are kept.

    None is a name that nobody has: nothing is kept of it, and it takes as long, so that no clock tells it from others.
    """
    if user_id is not None:
        _log(logging.INFO, SessionEvent.FAILED, sid, user_id, reason, None)
    if days_kept() is None:
        return
    known = user_id is not None and _fit("user_id", user_id) == user_id
    event = _event(SessionEvent.FAILED, reason, None, sid, user_id if known else "", client)
    _write_few(event, most if known else 0)


def note_unbound_use(record: SessionRecord, client: Client, *, most: int) -> None:
    """Log, as a warning, that a bound session was used without its key; write a row, where rows are kept.

    Of one account, the latest ``most`` of a day are kept.
    """
    user_id = record.user_id or ""
    _log(logging.WARNING, SessionEvent.UNBOUND_USE, record.sid, user_id, "", None)
    if days_kept() is not None and _fit("user_id", user_id) == user_id:
        _write_few(_event(SessionEvent.UNBOUND_USE, "", None, record.sid, user_id, client), most)


def _write_few(event: SessionEvent, kept: int) -> None:
    """Write a row, of whose kind an account keeps so many of a day: visitors decide how many there are."""
    using = router.db_for_write(SessionEvent)

    def write() -> None:
        rows = SessionEvent.objects.using(using)
        of_a_day = rows.filter(user_id=event.user_id, at_ms__gt=event.at_ms - _DAY_MS, kind=event.kind)
        with transaction.atomic(using=using):
            rows.bulk_create([event])
            surplus = of_a_day.order_by("-at_ms", "-pk").values_list("pk", flat=True)[kept : kept + _PORTION]
            rows.filter(pk__in=[*surplus, 0]).delete()  # 0 is no row: so that there is always something to ask for.

    transaction.on_commit(write, using=using, robust=True)


def note_deletion(user_id: str) -> None:
    """Write a row that says of no session, but of a user, that they were deleted; none where rows are not kept.

    What came before it is not shown to a later user with the same key.
    """
    if days_kept() is not None and _fit("user_id", user_id) == user_id:
        reason = SessionEvent.USER_DELETED
        row = SessionEvent(at_ms=_now_ms(), kind=SessionEvent.ENDED, sid="", user_id=user_id, reason=reason)
        _write_after_commit([row])


_event_log: Final = EventLog()


def connect() -> None:
    """Begin to observe; an app that is made ready again observes no second time."""
    signalling.observe(_event_log)


def days_kept() -> int | None:
    """Return for how many days rows are kept; None: not, or the setting is none, which a system check reports."""
    try:
        return conf.event_log
    except ImproperlyConfigured:
        return None


def has_seen(user_id: str) -> bool:
    """Tell whether there is a row of a session of this user; False where none are kept, or they cannot be read."""
    if days_kept() is None:
        return False
    using = router.db_for_write(SessionEvent)
    try:
        with transaction.atomic(using=using):  # A failure of ours must not spoil the sign-in's own transaction.
            rows = SessionEvent.objects.using(using).filter(user_id=_fit("user_id", user_id))
            return rows.filter(kind__in=[SessionEvent.STARTED, SessionEvent.ENDED]).exists()
    except DatabaseError:
        return False


def kept_from_ms() -> int | None:
    """Return the moment (ms) before which events are too old to be kept, or shown; None: none are kept."""
    days = days_kept()
    return None if days is None else _now_ms() - days * _DAY_MS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _told(signal: Signal, arguments: Mapping[str, Any]) -> tuple[str, str, str | None]:
    kind = SessionEvent.STARTED if signal is session_started else SessionEvent.ENDED
    return kind, arguments.get("reason", ""), arguments.get("by")


def _is_kept(arguments: Mapping[str, Any]) -> bool:
    record: SessionRecord = arguments["record"]
    if record.user_id is None or _fit("user_id", record.user_id) == record.user_id:
        return record.user_id is not None
    logger.error("No event is kept of session %s: the database has no room for the user's id.", record.sid)
    return False  # Cut, it would be the id of somebody else.


def _write_after_commit(events: Sequence[SessionEvent]) -> None:
    """Write rows when the transaction is done: a failure of ours must not spoil it."""
    using = router.db_for_write(SessionEvent)

    def write() -> None:  # Not a partial: Django asks for its name when it logs the failure.
        SessionEvent.objects.using(using).bulk_create(events)

    transaction.on_commit(write, using=using, robust=True)


def _log(level: int, kind: str, sid: str, user_id: str | None, *texts: str | None) -> None:
    """Log an event, with fields for machines."""
    user_id, reason, by = (None if text is None else escaped(text) for text in (user_id, *texts))
    fields = {"event": kind, "sid": sid, "user_id": user_id, "reason": reason, "by": by}
    logger.log(level, _TEXTS[kind], fields, extra=fields)


def _event(kind: str, reason: str, by: str | None, sid: str, user_id: str | None, client: Client) -> SessionEvent:
    return SessionEvent(
        at_ms=_now_ms(),
        kind=kind,
        sid=sid,
        user_id=_fit("user_id", user_id),
        reason=_fit("reason", reason),
        by=_fit("by", by),
        ip=_fit("ip", client.ip),
        user_agent=_fit("user_agent", client.user_agent),
    )


def _fit(field: str, text: str | None) -> str:
    """Return what fits into a column: cut, and without what some database refuses (NUL, halves of characters)."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode()[: _LENGTHS[field]]


def purge(*, dry_run: bool = False, on_progress: Callable[[int], object] | None = None) -> int:
    """Delete the events that are older than ``SRVSESSION_EVENT_LOG`` days, in batches; return how many.

    ``on_progress`` gets how many that were so far. Does nothing where no events are kept.
    """
    oldest_ms = kept_from_ms()
    if oldest_ms is None:
        return 0
    using = router.db_for_write(SessionEvent)
    old = SessionEvent.objects.using(using).filter(at_ms__lt=oldest_ms)
    if dry_run:
        return old.count()
    purged = 0
    while ids := list(old.order_by("at_ms").values_list("pk", flat=True)[:_PORTION]):
        purged += SessionEvent.objects.using(using).filter(pk__in=ids).delete()[0]
        if on_progress is not None:
            on_progress(purged)
    return purged
