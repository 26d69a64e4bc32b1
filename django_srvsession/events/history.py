"""Read what the event log holds: newest first, and a bounded portion at a time.

The log is in the database, whatever store the sessions are in. Where a portion ends the next one begins: nobody counts.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import InterfaceError, OperationalError, connections
from django.db.models import Q

from django_srvsession import services
from django_srvsession.clients.devices import browser_icon, device_family
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.events import log as event_log
from django_srvsession.events.words import text_of
from django_srvsession.models import SessionEvent, reading_any_text, says_it_is_no_text
from django_srvsession.records import LATEST_MS, NO_CLIENT, Client, SessionRecord
from django_srvsession.store import StoreUnavailableError

if TYPE_CHECKING:
    from django.db.models import QuerySet

LOOK_AT: Final = 5000
"""How many events a portion looks at, at most, for what no index answers."""

YOU: Final = "you"
ADMINISTRATOR: Final = "administrator"

_PLACE: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,6})")

log = logging.getLogger("django_srvsession")


class Entry(NamedTuple):
    """Hold what people may know of one event of theirs, and nothing else.

    ``kind`` is "started", "ended", "failed", "changed" or "unbound_use". ``by`` is who did it: ``YOU``,
    ``ADMINISTRATOR`` (whoever else), or empty where nobody did, or it is not known. ``device`` is its name, empty where
    no device is known.
    """

    kind: str
    at: datetime
    sid: str
    reason: str
    by: str
    client: Client
    device: str

    @property
    def text(self) -> str:
        """Return what happened, in the current language."""
        return text_of(self.kind, self.reason)

    @property
    def family(self) -> str:
        """Return the family of the device, which names an icon."""
        return device_family(self.client.user_agent)

    @property
    def browser(self) -> str:
        """Return the name of the browser's icon; empty where there is none."""
        return browser_icon(self.client.user_agent)


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


def recent(user: Any, *, count: int, after: Place | None = None, kinds: Collection[str] = ()) -> Recent:
    """Return what happened to a user's sessions and account, newest first, from behind a place on.

    ``kinds`` are those of the events; none: all. Of some kinds a page may hold fewer than ``count`` and not be the
    last, since ``LOOK_AT`` events are looked at. Goes back ``SRVSESSION_EVENT_LOG`` days, whenever old rows are
    deleted; empty where that is None. Raises ``StoreUnavailableError`` when the database does not answer.
    """
    oldest_ms = event_log.kept_from_ms()
    if oldest_ms is None:
        return Recent([], None)
    with asking_the_database():
        events = services.recent_activity(user).filter(at_ms__gte=oldest_ms)
        found = portion_of(events, count=count, after=after, wanted=Q(kind__in=kinds) if kinds else None)
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
    return Entry(event.kind, event.at, event.sid, event.reason, _who(event), client, device_of(event))


def device_of(event: SessionEvent) -> str:
    """Return what the device of an event is called, in the current language; empty where none is known."""
    client = Client(event.ip, event.user_agent)
    # What is known of the session, for a site's function that names devices.
    record = SessionRecord(event.sid, "", event.at_ms, event.at_ms, 0, event.at_ms, event.user_id, client)
    return "" if client == NO_CLIENT else device_name_of(record)


def _who(event: SessionEvent) -> str:
    if not event.by:
        return ""
    return YOU if event.by == event.user_id else ADMINISTRATOR


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
