"""The cards of a list of devices: one for each session, and those of what has just been signed out.

A card that was signed out stays where it was, so that nothing moves under a pointer. The record of its session is gone
then: the page itself keeps what the card shows, signed for the person who was shown it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.core import signing

from django_srvsession.clients.devices import browser_icon, device_family
from django_srvsession.engine.details import is_bound
from django_srvsession.engine.naming import device_name_of
from django_srvsession.records import SessionRecord, as_datetime
from django_srvsession.services import user_id_of

_SALT: Final = "django_srvsession.views.cards"
_MOST_KEPT: Final = 20  # They are part of an address: about two thousand letters.
_PACKED_FIELDS: Final = 7


class Card(NamedTuple):
    """Hold what the list shows of one session; instants in milliseconds since 1970 UTC.

    ``family`` and ``browser`` name icons; there may be none for the browser.
    """

    sid: str
    device: str
    family: str
    browser: str
    ip: str
    last_seen_ms: int
    signed_in_ms: int
    is_ended: bool = False
    packed: str = ""
    """The card as text, for the form that ends the session: see :func:`packed`."""
    is_bound: bool = False
    """Whether the session is bound to its device."""

    @property
    def last_seen_at(self) -> datetime:
        """Return when the session was last used."""
        return as_datetime(self.last_seen_ms)

    @property
    def signed_in_at(self) -> datetime:
        """Return when its user signed in."""
        return as_datetime(self.signed_in_ms)


def card_of(record: SessionRecord) -> Card:
    """Return the card of a live session, in the active language."""
    signed_in_ms = record.created_ms if record.signed_in_ms is None else record.signed_in_ms
    agent, ip = record.client.user_agent, record.client.ip
    icons = device_family(agent), browser_icon(agent)
    card = Card(record.sid, device_name_of(record), *icons, ip, record.last_seen_ms, signed_in_ms)
    return card._replace(is_bound=True) if is_bound(record) else card


class Group(NamedTuple):
    """Hold the cards that a person cannot tell apart: the same device by name, at the same address."""

    cards: list[Card]

    @property
    def card(self) -> Card:
        """Return the one that was used last, for what they have in common."""
        return self.cards[0]

    @property
    def live_count(self) -> int:
        """Return how many of them are signed in."""
        return sum(not card.is_ended for card in self.cards)

    @property
    def is_open(self) -> bool:
        """Tell whether its cards are shown: one was just signed out, and stays where it was."""
        return any(card.is_ended for card in self.cards)


def grouped(cards: Iterable[Card]) -> list[Group]:
    """Return groups in the order of their first cards, which stay in theirs; most hold one."""
    groups: dict[tuple[str, str], Group] = {}
    for card in cards:
        groups.setdefault((card.device, card.ip), Group([])).cards.append(card)
    return list(groups.values())


def packed(cards: Sequence[Card], user: Any) -> str:
    """Return the latest of these cards as text for an address or a form; :func:`unpacked` opens it for this user."""
    kept = [card[:_PACKED_FIELDS] for card in cards[-_MOST_KEPT:]]
    return signing.dumps(kept, salt=_salt(user), compress=True) if kept else ""


def unpacked(text: str, user: Any) -> list[Card]:
    """Return the cards of a text, each as signed out; none of a text that was not packed for this user."""
    try:
        return [Card(*values)._replace(is_ended=True) for values in signing.loads(text, salt=_salt(user))]
    except signing.BadSignature:
        return []


def _salt(user: Any) -> str:
    return f"{_SALT}:{user_id_of(user)}"


def in_their_places(cards: list[Card], ended: Iterable[Card]) -> list[Card]:
    """Return the cards of a page of the list, with those that were signed out where they were."""
    placed = list(cards)
    for card in ended:
        is_older = (at for at, other in enumerate(placed) if other.last_seen_ms < card.last_seen_ms)
        placed.insert(next(is_older, len(placed)), card)
    return placed


def digest_of(records: Iterable[SessionRecord]) -> str:
    """Return a text that stands for which sessions these are, in whatever order."""
    return hashlib.sha256(" ".join(sorted(record.sid for record in records)).encode()).hexdigest()[:32]
