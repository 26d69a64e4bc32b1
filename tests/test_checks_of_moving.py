"""System checks of a move from other sessions: one mistake, one message."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf, migrating
from django_srvsession.checks.migrating import check_migrating
from tests.patience import patient
from tests.runs import ROOT
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


def test_a_move_without_a_date_is_told_which_one_to_set(settings: Any) -> None:
    settings.SRVSESSION_MIGRATE_FROM = STOCK
    settings.SESSION_COOKIE_AGE = 10 * 86_400 - 1
    (message,) = check_migrating()
    found = re.search(r'"(\d{4}-\d\d-\d\d)"', message.hint or "")
    assert found, message.hint
    days = date.fromisoformat(found[1]) - datetime.now(UTC).date()
    assert timedelta(days=9) <= days <= timedelta(days=10)
    settings.SRVSESSION_MIGRATE_UNTIL = found[1]
    assert ids() == set()


WITHOUT_THE_APP = """
import sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_srvsession"],
    SESSION_ENGINE="django_srvsession.backends.db",
    SRVSESSION_MIGRATE_UNTIL=sys.argv[1],
)
django.setup()
from django_srvsession.checks.migrating import check_migrating
for path in sys.argv[2:]:
    settings.SRVSESSION_MIGRATE_FROM = path
    print(*(f"{message.id} {message.msg}" for message in check_migrating()))
"""


def test_the_app_of_the_old_sessions_is_asked_for_before_a_visitor_meets_its_absence() -> None:
    engines = [
        STOCK,
        "django.contrib.sessions.backends.cached_db",
        "user_sessions.backends.db",
        "qsessions.backends.db",
    ]
    command = [sys.executable, "-c", WITHOUT_THE_APP, SOON.isoformat(), *engines]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(60), check=True)
    for engine, line in zip(engines, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"srvsession.E016 SRVSESSION_MIGRATE_FROM: {engine} cannot be used"), line
        assert line.endswith("Leave the app of the old sessions in INSTALLED_APPS while the site moves.")


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
