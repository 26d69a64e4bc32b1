"""``manage.py sessionstats_srv``: how many sessions there are, of whom, how old, how big; on the engine in use."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.core.management.base import CommandParser

from django_srvsession.management import arguments
from django_srvsession.management.base import SessionCommand
from django_srvsession.management.tables import TextTable, bar_of, room_in
from django_srvsession.operations.stats import SPANS, Statistics, gather

_TOP: Final = 10
_DRAWN: Final = "▏█"


class Command(SessionCommand):
    """Count and measure live sessions."""

    help = """\
Count the live sessions, on whatever store SESSION_ENGINE names: by kind of user, by
device, by age and by last use; and measure a random sample of them: sizes as they are
stored, and which session keys take most room. Values are never opened, only weighed.
Where lists and sessions are apart (Redis, files), whether they fit; doctorsessions_srv
--repair mends it.

Looks at every live session once, in portions, beside a running site: a million take
about a minute. --sample 0 measures none, which saves one read for each.

Exit status: 0; 1 when the engine is not one of django-srvsession or its store does not
answer; 130 when interrupted."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take ``--sample``."""
        super().add_arguments(parser)
        parser.add_argument(
            "--sample",
            type=arguments.whole_number,
            default=1000,
            metavar="N",
            help="Measure N sessions, picked at random (default: %(default)s).",
        )

    def work(self, *, sample: int, as_json: bool, **options: Any) -> None:
        """Gather, then print."""
        started = time.monotonic()
        with self.bar() as bar:
            statistics = gather(sample, bar.update)
        seconds = round(time.monotonic() - started, 3)
        if as_json:
            self.say_json({**_as_dict(statistics), "seconds": seconds})
        else:
            self._print(statistics)
            self.say(f"\n({seconds:.2f} s)")

    def _print(self, statistics: Statistics) -> None:
        self.say(f"Live sessions: {statistics.live}, of {statistics.users} users and of visitors")
        if statistics.live:
            self._print_counts(statistics)
        self._print_sizes(statistics)
        if statistics.index is not None:
            index = statistics.index
            self.say(f"\nLists: {index.unlisted} live sessions in no list, {index.ghosts} entries that point nowhere")

    def _print_counts(self, statistics: Statistics) -> None:
        self._chart("Users", statistics.by_user_kind)
        self._chart("Device kinds", statistics.by_device_kind)
        self._chart("Devices", dict(statistics.by_device.most_common(_TOP)))
        self._chart("Started ago", _in_order(statistics.by_age))
        self._chart("Last used ago", _in_order(statistics.by_last_use))

    def _chart(self, title: str, counts: Mapping[str, int]) -> None:
        """Print counts as bars; the longest has 30 places."""
        self.say(f"\n{title}")
        greatest = max([*counts.values(), 1])
        plain = not self._can_draw()
        rows = [(f"  {name}", str(count), bar_of(count / greatest, plain=plain)) for name, count in counts.items()]
        self._lines(rows)

    def _lines(self, rows: Sequence[Sequence[str]]) -> None:
        """Print a name, a number (further ones), and what else there is in each row; long names give way."""
        numbers = [at for at, text in enumerate(rows[-1]) if text[:1].isdigit()]
        for line in TextTable(rows, room=room_in(self.stdout), give=(0,), right=numbers).lines(rows):
            self.say(line)

    def _can_draw(self) -> bool:
        try:
            _DRAWN.encode(getattr(self.stdout, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            return False
        return True

    def _print_sizes(self, statistics: Statistics) -> None:
        if not statistics.measured:
            return
        self.say(f"\nSize in bytes, of {statistics.measured} sessions")
        sizes = statistics.size_percentiles().items()
        self._lines([("  largest" if share == 100 else f"  {share} % up to", str(size)) for share, size in sizes])
        self.say("\nBiggest session keys, in bytes")
        rows = [_key_row(name, sizes, statistics.measured) for name, sizes in statistics.biggest_keys(_TOP)]
        self._lines([("  KEY", "IN", "MEAN", "LARGEST"), *rows])


def _key_row(name: str, sizes: list[int], measured: int) -> tuple[str, ...]:
    share = f"{100 * len(sizes) / measured:.0f} %"
    return f"  {name}", share, str(sum(sizes) // len(sizes)), str(max(sizes))


def _in_order(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name, _ in SPANS}


def _as_dict(statistics: Statistics) -> dict[str, Any]:
    return {
        "live": statistics.live,
        "users": statistics.users,
        "by_user_kind": dict(statistics.by_user_kind),
        "by_device_kind": dict(statistics.by_device_kind),
        "by_device": dict(statistics.by_device.most_common(_TOP)),
        "by_age": _in_order(statistics.by_age),
        "by_last_use": _in_order(statistics.by_last_use),
        "index": None if statistics.index is None else statistics.index._asdict(),
        "measured": statistics.measured,
        "size_bytes": {str(share): size for share, size in statistics.size_percentiles().items()},
        "biggest_keys": [
            {"key": name, "sessions": len(sizes), "mean_bytes": sum(sizes) // len(sizes), "max_bytes": max(sizes)}
            for name, sizes in statistics.biggest_keys(_TOP)
        ],
    }
