"""The async twins of what administrators and owners see and end: the same answers, on every store."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.records import SessionRecord
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.face import Face
from django_srvsession.store.listings import Filter
from django_srvsession.testing.sessions import create, new_sid, new_user, sids, touch_later
from tests.every_store import every_store_fixture

__all__ = ["every_store_fixture"]


@pytest.fixture
def made(every_store: str) -> list[SessionRecord]:
    """Two sessions of a user and one of nobody, oldest first."""
    store, user_id = current_store(), new_user()
    fields: list[dict[str, Any]] = [{"user_id": user_id, "changed": {"cart": b"12"}}, {"user_id": user_id}, {}]
    return [touch_later(store, create(store, **each)).record for each in fields]


def test_lists_are_those_of_the_sync_functions(made: list[SessionRecord]) -> None:
    user_id = made[0].user_id
    assert sids(async_to_sync(services.asessions_of)(user_id)) == [made[1].sid, made[0].sid]
    assert async_to_sync(services.asession_of)(user_id, made[0].sid).sid == made[0].sid
    assert async_to_sync(services.asession_of)(user_id, made[2].sid) is None
    first = async_to_sync(services.aportion_of_sessions)(count=2)
    assert first == services.portion_of_sessions(count=2)
    assert sids(first.records) == [made[2].sid, made[1].sid]
    rest = async_to_sync(services.aportion_of_sessions)(count=2, after=first.further)
    assert sids(rest.records) == [made[0].sid]
    of_user = async_to_sync(services.aportion_of_sessions)(Filter(signed_in=True), count=1, users=[user_id])
    assert sids(of_user.records) == [made[1].sid]
    assert async_to_sync(services.aactivity)().live == services.activity().live == 3


def test_contents_are_names_and_sizes_or_nothing(made: list[SessionRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    assert async_to_sync(services.acontents_of)(made[0].sid).sizes == {"cart": 2}
    assert async_to_sync(services.acontents_of)(new_sid()) is None

    async def damaged(self: Face, sid: str) -> Any:
        raise CorruptSessionError

    monkeypatch.setattr(type(current_store().face()), "load", damaged)
    assert async_to_sync(services.acontents_of)(made[0].sid) is None


def test_all_but_one_of_a_users_sessions_are_ended(made: list[SessionRecord]) -> None:
    user_id = made[0].user_id
    ended = async_to_sync(services.arevoke_all)(user_id, keep=made[1].sid, by="the test")
    assert sids(ended) == [made[0].sid]
    assert sids(services.sessions_of(user_id)) == [made[1].sid]
    assert async_to_sync(services.arevoke_all)(user_id, keep=made[1].sid) == []
    assert services.contents_of(made[2].sid) is not None
