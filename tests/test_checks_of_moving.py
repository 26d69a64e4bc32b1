"""System checks of a move from other sessions: one mistake, one message."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf, migrating
from tests.test_checks import ids

STOCK = "django.contrib.sessions.backends.db"
SOON = datetime.now(UTC) + timedelta(days=20)


class PickleSerializer:
    """Be what some sites still have."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


@pytest.mark.parametrize("name", ["SRVSESSION_MIGRATE_FROM", "SRVSESSION_MIGRATE_TO"])
@pytest.mark.parametrize("until", [SOON, SOON.isoformat(), SOON.date(), SOON.date().isoformat()])
def test_a_move_with_a_date_gives_no_message(settings: Any, name: str, until: Any) -> None:
    setattr(settings, name, STOCK)
    settings.SRVSESSION_MIGRATE_UNTIL = until
    assert ids() == set()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"FROM": STOCK}, {"srvsession.E017"}),
        ({"TO": STOCK}, {"srvsession.E017"}),
        ({"FROM": STOCK, "UNTIL": "2020-01-01"}, {"srvsession.W025"}),
        ({"FROM": STOCK, "UNTIL": "2999-01-01"}, {"srvsession.W026"}),
        ({"FROM": STOCK, "UNTIL": "soon"}, {"srvsession.E002"}),
        ({"FROM": 7, "UNTIL": SOON}, {"srvsession.E002"}),
        ({"FROM": "no.such.engine", "UNTIL": SOON}, {"srvsession.E016"}),
        ({"FROM": "django.contrib.sessions", "UNTIL": SOON}, {"srvsession.E016"}),
        ({"FROM": "django_srvsession.backends.memory", "UNTIL": SOON}, {"srvsession.E016"}),
        ({"FROM": STOCK, "TO": STOCK, "UNTIL": SOON}, {"srvsession.E016"}),
        ({"FROM": STOCK, "SERIALIZER": "no.such.Class", "UNTIL": SOON}, {"srvsession.E002"}),
    ],
)
def test_a_move_that_cannot_be_meant_is_reported(settings: Any, values: dict[str, Any], expected: set[str]) -> None:
    for name, value in values.items():
        setattr(settings, f"SRVSESSION_MIGRATE_{name}", value)
    assert ids() == expected


def test_pickled_sessions_are_read_only_where_that_is_meant(settings: Any) -> None:
    settings.SESSION_SERIALIZER = path = f"{__name__}.PickleSerializer"
    settings.SRVSESSION_MIGRATE_FROM = STOCK
    settings.SRVSESSION_MIGRATE_UNTIL = SOON
    assert ids() == {"srvsession.E016", "srvsession.W015"}
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_MIGRATE_SERIALIZER"):
        migrating.source()
    settings.SRVSESSION_MIGRATE_SERIALIZER = path
    assert ids() == {"srvsession.W015"}
    assert migrating.source() is not None


def test_a_date_is_its_beginning_in_the_time_zone_of_the_site(settings: Any) -> None:
    settings.SRVSESSION_MIGRATE_UNTIL = date(2030, 1, 31)
    assert conf.migrate_until_ms == datetime(2030, 1, 31, tzinfo=UTC).timestamp() * 1000
    settings.SRVSESSION_MIGRATE_UNTIL = "2030-01-31T12:00+02:00"
    assert conf.migrate_until_ms == datetime(2030, 1, 31, 10, tzinfo=UTC).timestamp() * 1000
