"""All sessions of a user end in one transaction while another carries one of them over: neither sees the other."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends.db import SessionStore as StockStore
from django.db import router, transaction
from django.http import HttpRequest

from django_srvsession import services
from django_srvsession.records import AUTH_KEYS
from tests.engine.other_engine import in_days
from tests.engine.pages import BACKEND, at_once
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.patience import patient
from tests.trust import WHOLE

SERVERS = ["postgresql", "mariadb"] if WHOLE else ["postgresql"]


@pytest.mark.parametrize("every_store", SERVERS, indirect=True)
@pytest.mark.parametrize("first_to_commit", ["the end", "the carrying over"])
def test_nothing_is_left_but_who_signs_in_after_it(every_store: str, settings: Any, first_to_commit: str) -> None:
    """Code without the middleware carries over in its own transaction, and ``ATOMIC_REQUESTS`` ends all in one."""
    settings.SRVSESSION_MIGRATE_FROM, settings.SRVSESSION_MIGRATE_UNTIL = StockStore.__module__, in_days(30)
    engine = import_module(settings.SESSION_ENGINE)
    user = get_user_model().objects.create(username="ann")
    using, waiting = router.db_for_write(type(user)), StockStore()
    waiting.update(zip(AUTH_KEYS, (str(user.pk), BACKEND, user.get_session_auth_hash()), strict=True))
    waiting.save()
    key = waiting.session_key
    is_carried, is_ended, is_committed = threading.Event(), threading.Event(), threading.Event()
    own: list[str] = []

    def carry() -> None:
        with transaction.atomic(using):
            assert engine.SessionStore(key)["_auth_user_id"] == str(user.pk)
            is_carried.set()
            assert is_ended.wait(patient(30))
            if first_to_commit == "the end":
                assert is_committed.wait(patient(30))
        is_committed.set()

    def end() -> None:
        assert is_carried.wait(patient(30))
        with transaction.atomic(using):
            assert not services.revoke_all(user)
            request = HttpRequest()
            request.session = engine.SessionStore()
            login(request, user, BACKEND)
            request.session.save()
            own.append(request.session.session_key)
            is_ended.set()
            if first_to_commit != "the end":
                assert is_committed.wait(patient(30))
        is_committed.set()

    at_once([carry, end])
    assert "_auth_user_id" not in engine.SessionStore(key)
    assert "_auth_user_id" in engine.SessionStore(own[0])
    assert len(services.sessions_of(user)) == 1
