"""A registration, a renewal, and another request of the same browser: nothing is lost in any order of their steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from django_srvsession.backends.memory import SessionStore
from django_srvsession.binding.guarding import _show
from django_srvsession.binding.keys import Binding
from django_srvsession.engine import writing
from django_srvsession.engine.details import Change, Details
from django_srvsession.records import Loaded
from django_srvsession.store import UpdateError
from django_srvsession.store.face import Face
from tests.test_interleavings import (
    View,
    changes_password,
    deletes,
    guesses,
    increments,
    is_revoked,
    name_of,
    proves,
    reads,
    renews,
    rotates,
    runs,
    sets,
    sets_expiry,
    sid_of,
    signs_in,
    signs_out,
    touches,
)

KEY = b'{"kty":"EC"}'
OTHERS: list[View] = [
    reads, touches, sets("new"), deletes("kept"), increments, guesses, proves, rotates, renews, changes_password,
    sets_expiry(600), signs_in("7"),
]  # fmt: skip


done: set[SessionStore] = set()
"""The sessions of requests whose change was acknowledged."""


def changes(change: Change) -> View:
    async def view(session: SessionStore, face: Face) -> None:
        session.accessed = True
        with suppress(UpdateError):
            await writing.change_details(session._state, face, change)
            done.add(session)

    return view


def _bind(details: Details, now_ms: int) -> Details:
    return details._replace(binding=Binding(now_ms, False, KEY).encode(), bind_by_ms=None)


def _renew(details: Details, now_ms: int) -> Details:
    return details._replace(generation=details.generation + 1)


registers, shows, renews_proof = changes(_bind), changes(_show), changes(_renew)


def stored(cookie: str) -> Details:
    found = SessionStore.store().load(sid_of(cookie))
    assert isinstance(found, Loaded)
    return Details.decode(found.record.details)


@pytest.mark.parametrize("other", OTHERS, ids=name_of)
def test_a_registration_is_kept_whatever_another_request_does_meanwhile(other: View) -> None:
    """Where the other one has changed the key for good, a registration that comes with the old one is told so."""
    kept = 0
    for cookie, requests, order in runs(registers, other):
        if requests[0].session in done:
            assert Binding.decode(stored(cookie).binding).jwk == KEY, order
            kept += 1
        else:
            assert other in (proves, rotates, changes_password), order
    assert kept > 1


@pytest.mark.parametrize("end", [signs_out, is_revoked], ids=name_of)
def test_a_registration_brings_no_ended_session_back(end: View) -> None:
    for cookie, _, order in runs(registers, end):
        assert not isinstance(SessionStore.store().load(sid_of(cookie)), Loaded), order


def test_two_renewals_count_two() -> None:
    for cookie, _, order in runs(renews_proof, renews_proof):
        assert stored(cookie).generation == 2, order


def test_that_the_browser_has_shown_its_cookie_is_kept() -> None:
    def both(details: Details, now_ms: int) -> Details:
        return _show(_bind(details, now_ms), now_ms)

    views: list[Callable[..., object]] = [changes(both), sets("new")]
    for cookie, _, order in runs(*views):  # type: ignore[arg-type]
        assert Binding.decode(stored(cookie).binding).was_shown, order
