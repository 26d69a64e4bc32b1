"""What stands above the list: how many are here, how busy the last hour was, and on which devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format, localize
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_srvsession import services
from django_srvsession.admin.filters import DEVICE_KINDS
from django_srvsession.clients.devices import device_kind
from django_srvsession.store.health import StorageInfo
from django_srvsession.store.listings import Activity, Portion

NEWEST: Final = 500
WIDTH, HEIGHT = 480, 48


class MinuteBar(NamedTuple):
    """Hold a bar of the chart, in its own units, and what it says on hover."""

    x: int
    y: int
    width: int
    height: int
    title: str


def overview() -> dict[str, Any]:
    """Return what the overview's template shows; raises ``StoreUnavailableError``."""
    activity = services.activity()
    newest, kept = services.portion_of_sessions(count=NEWEST), services.storage_info()
    return {
        "live": _live(activity),
        "people": localize(len({record.user_id for record in newest.records} - {None})),
        "devices": _devices(newest),
        "scope": _scope(newest),
        "bars": bars(activity.minutes, timezone.localtime() if settings.USE_TZ else timezone.now()),
        "busiest": localize(max(activity.minutes)),
        "is_estimate": activity.precision == "about",
        "has_all_minutes": activity.has_all_minutes,
        "last_hour": localize(sum(activity.minutes)),
        "width": WIDTH,
        "height": HEIGHT,
        "store": kept.name,
        "store_details": ", ".join(_details(kept)),
    }


def _details(kept: StorageInfo) -> Iterator[str]:
    if kept.alias:
        yield kept.alias
    if kept.used_bytes is not None and kept.most_bytes is not None:
        sizes = {"used": filesizeformat(kept.used_bytes), "most": filesizeformat(kept.most_bytes)}
        yield _("%(used)s of %(most)s in use") % sizes
    elif kept.used_bytes is not None:
        yield _("%(used)s in use") % {"used": filesizeformat(kept.used_bytes)}
    if kept.free_bytes is not None:
        yield _("%(free)s free") % {"free": filesizeformat(kept.free_bytes)}


def _live(activity: Activity) -> str:
    number = localize(activity.live)
    if activity.precision == "about":
        return _("about %(number)s") % {"number": number}
    return _("at least %(number)s") % {"number": number} if activity.precision == "at least" else str(number)


def _scope(newest: Portion) -> str:
    """Say of which sessions it is told, where it is not all."""
    if newest.further is None:
        return ""
    count = len(newest.records)
    text = ngettext("of the newest session", "of the newest %(count)s sessions", count)
    return text % {"count": localize(count)}


def _devices(newest: Portion) -> list[tuple[Any, str]]:
    counts = Counter(device_kind(record.client.user_agent) for record in newest.records)
    return [(name, str(localize(counts[kind]))) for kind, name in DEVICE_KINDS if counts[kind]]


def bars(minutes: tuple[int, ...], now: datetime) -> list[MinuteBar]:
    """Return a bar for each minute up to ``now``; a minute with anything in it shows."""
    most, step = max(*minutes, 1), WIDTH // len(minutes)
    found = []
    for number, count in enumerate(minutes):
        height = -(-count * HEIGHT // most)
        at = date_format(now - timedelta(minutes=len(minutes) - 1 - number), "TIME_FORMAT")
        found.append(MinuteBar(number * step, HEIGHT - height, step - 1, height, f"{at}: {localize(count)}"))
    return found
