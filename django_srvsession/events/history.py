"""Read what the event log holds: newest first, a bounded portion at a time, and in words for people.

The log is in the database, whatever store the sessions are in. Where a portion ends the next one begins: nobody counts.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import InterfaceError, OperationalError, connections
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession import services
from django_srvsession.escaping import escaped
from django_srvsession.events import log as event_log
from django_srvsession.models import SessionEvent, reading_any_text, says_it_is_no_text
from django_srvsession.records import LATEST_MS, Client
from django_srvsession.store import StoreUnavailableError

if TYPE_CHECKING:
    from django.db.models import Q, QuerySet

LOOK_AT: Final = 5000
"""How many events a portion looks at, at most, for what no index answers."""

YOU: Final = "you"
ADMINISTRATOR: Final = "administrator"

REASONS: Final[Mapping[str, Any]] = {
    "logout": _("Signed out"),
    "replaced": _("Ended because another session began in the same browser"),
    "revoked": _("Signed out remotely"),
    "expired_idle": _("Ended because it was not used"),
    "expired_lifetime": _("Ended because its time was up"),
    "limit": _("Ended because only so many sessions are allowed"),
    "password_changed": _("Ended because the password was changed"),
    "email_changed": _("Ended because the e-mail address was changed"),
    "confirmation_failed": _("Ended because a wrong password was entered too often"),
    "disowned": _("Signed out: reported as not you"),
    "user_deactivated": _("Ended because the account was deactivated"),
    "user_deleted": _("Ended because the account was deleted"),
    "evicted": _("Ended because the server ran out of room"),
    "cleared": _("Ended by the site"),
}
"""What an end for each reason of ours is called."""

_PLACE: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,6})")

log = logging.getLogger("django_srvsession")


class Entry(NamedTuple):
    """Hold what people may know of one start or end of a session of theirs, and nothing else.

    ``kind`` is "started" or "ended". ``by`` is who ended it: ``YOU``, ``ADMINISTRATOR`` (whoever else), or empty where
    nobody did, or it is not known.
    """

    kind: str
    at: datetime
    sid: str
    reason: str
    by: str
    client: Client

    @property
    def text(self) -> str:
        """Return what happened, in the current language."""
        return text_of(self.kind, self.reason)


class Place(NamedTuple):
    """Mark a place in a list of events: behind the first ``skip`` of those that are not later than ``at_ms``.

    Primary keys stay inside: they would tell how many people sign in.
    """

    at_ms: int
    skip: int = 0

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Return the place that a text of ours names, or None for any other."""
        found = _PLACE.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.at_ms}-{self.skip}"


class EventPage(NamedTuple):
    """Hold events, newest first, and the place to look further from; None: that was all.

    ``is_cut``: fewer than asked for were among the ``LOOK_AT`` that were looked at, and there are more.
    """

    events: Sequence[SessionEvent]
    further: Place | None = None
    is_cut: bool = False


class Recent(NamedTuple):
    """Hold a page of a person's recent activity, and the place where the next one begins; None: it is the last."""

    entries: list[Entry]
    further: Place | None


def recent(user: Any, *, count: int, after: Place | None = None) -> Recent:
    """Return when a user signed in and how sessions of theirs ended, newest first, from behind a place on.

    Goes back ``SRVSESSION_EVENT_LOG`` days, whenever old rows are deleted; empty where that is None. Raises
    ``StoreUnavailableError`` when the database does not answer.
    """
    oldest_ms = event_log.kept_from_ms()
    if oldest_ms is None:
        return Recent([], None)
    with asking_the_database():
        found = portion_of(services.recent_activity(user).filter(at_ms__gte=oldest_ms), count=count, after=after)
    return Recent([_entry(event) for event in found.events], found.further)


def portion_of(
    events: QuerySet[SessionEvent], *, count: int, after: Place | None = None, wanted: Q | None = None
) -> EventPage:
    """Return the next events, newest first, from behind a place on.

    ``events`` is narrowed by what an index answers; ``wanted`` is the rest, and is asked of ``LOOK_AT`` events at most.
    What is damaged is logged and left out: there may be fewer than ``count``, and more behind them.
    """
    rows = events.filter(at_ms__range=(0, LATEST_MS)).order_by("-at_ms", "-pk")
    place, floor_ms = after or Place(LATEST_MS), None
    if wanted:
        moments = rows.filter(at_ms__lte=place.at_ms).values_list("at_ms", flat=True)
        floor_ms = next((int(at_ms) for at_ms in moments[LOOK_AT : LOOK_AT + 1]), None)
        rows = (rows if floor_ms is None else rows.filter(at_ms__gte=floor_ms)).filter(wanted)
    for _tries in range(LOOK_AT // count + 1):
        found = _fetched(rows.filter(at_ms__lte=place.at_ms)[place.skip : place.skip + count + 1])
        sound = _sound(found[:count])
        if len(found) <= count:
            return EventPage(sound) if floor_ms is None else EventPage(sound, Place(floor_ms - 1), is_cut=True)
        place = _behind(found[:count], place)
        if sound:
            break
    return EventPage(sound, place)


def _fetched(rows: QuerySet[SessionEvent]) -> list[SessionEvent]:
    connection = connections[rows.db]
    try:
        return list(rows)
    except OperationalError as error:
        if not says_it_is_no_text(error, connection):
            raise
    with reading_any_text(connection):
        return list(rows)


def _sound(events: Sequence[SessionEvent]) -> list[SessionEvent]:
    """Leave out what is damaged, and log it."""
    damaged = [str(event.pk) for event in events if not event.is_sound]
    if damaged:
        log.warning("Damaged events are left out of lists: %s.", ", ".join(damaged))
    return [event for event in events if event.is_sound]


def _behind(found: Sequence[SessionEvent], after: Place) -> Place:
    """Return the place behind the last event found; several may have happened within its millisecond."""
    at_ms = int(found[-1].at_ms)  # A damaged one may be between two milliseconds.
    before = after.skip if after.at_ms == at_ms else 0
    return Place(at_ms, before + sum(event.at_ms == at_ms for event in found))


def _entry(event: SessionEvent) -> Entry:
    client = Client(event.ip, event.user_agent)
    return Entry(event.kind, event.at, event.sid, event.reason, _who(event), client)


def _who(event: SessionEvent) -> str:
    if not event.by:
        return ""
    return YOU if event.by == event.user_id else ADMINISTRATOR


def text_of(kind: str, reason: str) -> str:
    """Return what happened, in the current language.

    A site's own reason is shown as it stands, or as the site's catalogue translates it.
    """
    if kind == SessionEvent.STARTED:
        return gettext("Signed in")
    if reason in REASONS:
        return str(REASONS[reason])
    return gettext("Ended: %(reason)s") % {"reason": gettext(escaped(reason))} if reason else gettext("Ended")


@contextlib.contextmanager
def asking_the_database() -> Iterator[None]:
    """Make an outage of the database what an outage of a store is: the answer is 503, and the cookie stays.

    Raises ``StoreUnavailableError``.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        log.error("The database with the recent activity did not answer: %s", escaped(error))
        raise StoreUnavailableError("The database did not answer, or not in time.") from error
