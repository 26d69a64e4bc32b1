"""While a site moves: a bound session is closed to who has only its cookie, on every server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from tests.binding.devices import Device, bound_name

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "django_srvsession.backends.memory"


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize(
    "before", ["django_srvsession.backends.db", "django.contrib.sessions.backends.db"], ids=["ours", "django"]
)
def test_a_server_of_the_first_step_serves_a_bound_session_to_its_device_alone(
    binding: Any, ann: Any, before: str, asgi: bool
) -> None:
    binding.SRVSESSION_MIGRATE_UNTIL = datetime.now(UTC) + timedelta(days=1)
    with override_settings(SESSION_ENGINE=OURS):  # A server of the second step has it.
        owner = Device()
        owner.sign_in()
        assert owner.is_bound
        assert owner.user == "ann"
        both, thief = owner.thief("sessionid", bound_name(), asgi=asgi), owner.thief(asgi=asgi)
    with override_settings(SESSION_ENGINE=before, SRVSESSION_MIGRATE_TO=OURS):
        assert both.user == "ann"
        assert thief.user != "ann"
