"""Count the live sessions by user kind, device and age, and measure a sample of them; on every store.

All sessions are looked at once, in portions, and none is kept: only counters, and a number for each user. What a
session holds is never opened: sizes are those of the sealed values, as they are stored.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from django.contrib.auth import get_user_model

from django_srvsession import services
from django_srvsession.clients.devices import device_kind, english_device_name
from django_srvsession.engine import current_store
from django_srvsession.records import Loaded, SessionRecord
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.health import Indexed, IndexHealth
from django_srvsession.users import keys_of

_PORTION: Final = 1000
_MOST_NAMES: Final = 2000
"""How many devices or keys are told apart; browsers and sites name them as they like."""

SPANS: Final = (
    ("up to 5 minutes", 300_000),
    ("up to 1 hour", 3_600_000),
    ("up to 1 day", 86_400_000),
    ("up to 7 days", 604_800_000),
    ("up to 30 days", 2_592_000_000),
    ("longer", None),
)
"""The spans in which ages are counted, with their ends in milliseconds."""

PERCENTILES: Final = (50, 90, 99, 100)
OTHERS: Final = "(others)"


class Statistics:
    """Hold what :func:`gather` has counted."""

    def __init__(self) -> None:
        self.live = 0
        self.by_user_kind: Counter[str] = Counter()
        self.by_device_kind: Counter[str] = Counter()
        self.by_device: Counter[str] = Counter()
        self.by_age: Counter[str] = Counter()
        self.by_last_use: Counter[str] = Counter()
        self._users: set[int] = set()
        self._sizes: list[int] = []
        self.index: IndexHealth | None = None
        """How the lists fit the sessions; None where they are one, as in a database."""
        self.keys: dict[str, list[int]] = {}
        """The sizes of each session key's values in the sample, by name."""

    @property
    def users(self) -> int:
        """Return how many users have a session."""
        return len(self._users)

    @property
    def measured(self) -> int:
        """Return how many sessions were measured."""
        return len(self._sizes)

    def size_percentiles(self) -> dict[int, int]:
        """Return the sizes in bytes that so many per cent of the measured sessions do not exceed."""
        sizes = sorted(self._sizes)
        return {share: sizes[max(-(-len(sizes) * share // 100) - 1, 0)] for share in PERCENTILES} if sizes else {}

    def biggest_keys(self, count: int) -> list[tuple[str, list[int]]]:
        """Return the session keys that take most room in the sample, with the sizes of their values in bytes."""
        return sorted(self.keys.items(), key=lambda item: -sum(item[1]))[:count]

    def check_index(self) -> None:
        """Compare the store's indexes with its sessions, where they are apart."""
        store = current_store()
        self.index = store.check_index() if isinstance(store, Indexed) else None

    def count(self, records: Sequence[SessionRecord], now_ms: int) -> None:
        """Count a portion of records."""
        staff = _staff_among({record.user_id for record in records if record.user_id is not None})
        for record in records:
            self.live += 1
            self.by_user_kind[_kind(record.user_id, staff)] += 1
            self.by_device_kind[device_kind(record.client.user_agent)] += 1
            _count_name(self.by_device, english_device_name(record.client.user_agent))
            self.by_age[_span(now_ms - record.created_ms)] += 1
            self.by_last_use[_span(now_ms - record.last_seen_ms)] += 1
            if record.user_id is not None:
                self._users.add(hash(record.user_id))

    def measure(self, session: Loaded) -> None:
        """Take note of a session's sizes."""
        names = sum(len(name.encode("utf-8", "surrogatepass")) for name in session.values)
        self._sizes.append(names + sum(map(len, session.values.values())))
        for name, value in session.values.items():
            shown = name if name in self.keys or len(self.keys) < _MOST_NAMES else OTHERS
            self.keys.setdefault(shown, []).append(len(value))


def gather(sample: int, on_looked: Callable[[int], object] | None = None) -> Statistics:
    """Count all live sessions, and measure ``sample`` of them, picked at random.

    ``on_looked`` gets the number of sessions in each portion. Raises as ``services``.
    """
    statistics, picked = Statistics(), Sample(sample)
    records = iter(services.live_sessions())
    while portion := list(itertools.islice(records, _PORTION)):
        statistics.count(portion, time.time_ns() // 1_000_000)
        picked.offer(record.sid for record in portion)
        if on_looked is not None:
            on_looked(len(portion))
    statistics.check_index()
    for sid in picked.sids:
        with contextlib.suppress(CorruptSessionError):
            found = current_store().load(sid)
            if isinstance(found, Loaded):
                statistics.measure(found)
    return statistics


class Sample:
    """Pick so many of a stream of sids that each has the same chance."""

    def __init__(self, size: int) -> None:
        self.sids: list[str] = []
        self._size = size
        self._seen = 0

    def offer(self, sids: Iterable[str]) -> None:
        """Go through a portion of the stream."""
        for sid in sids:
            self._seen += 1
            if len(self.sids) < self._size:
                self.sids.append(sid)
            elif (place := random.randrange(self._seen)) < self._size:  # noqa: S311 - no secret
                self.sids[place] = sid


def _kind(user_id: str | None, staff: Collection[str]) -> str:
    if user_id is None:
        return "anonymous"
    return "staff" if user_id in staff else "users"


def _staff_among(user_ids: Collection[str]) -> set[str]:
    """Return which of these users are staff; none where users have no such field."""
    model = get_user_model()
    if not user_ids or not any(field.name == "is_staff" for field in model._meta.get_fields()):
        return set()
    known = keys_of(user_ids)
    staff = set(model._base_manager.filter(pk__in=list(known.values()), is_staff=True).values_list("pk", flat=True))
    return {user_id for user_id, key in known.items() if key in staff}


def _count_name(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < _MOST_NAMES else OTHERS] += 1


def _span(age_ms: int) -> str:
    return next(name for name, end_ms in SPANS if end_ms is None or age_ms <= end_ms)
