"""Attacks of an attacker of ours: an error in the middle of a procedure leaves the state as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest

from django_srvsession.store import StoreUnavailableError
from tests.engine.pages import Browser, login
from tests.engine.watched import WatchedStore


def _known(session: Any) -> dict[str, Any]:
    """What is known of the session, but for the outage and what is computed from the rest."""
    state = session._state
    known = {
        name: value for name, value in vars(state).items() if name not in ("owner", "outage", "_parsed", "_sealed")
    }
    values = known.pop("contents")
    return {
        **known,
        "values": None if values is None else dict(values),
        "carried": state.carried,
        "came_as": state.came_as,
    }


def _become(session: Any) -> None:
    session[SESSION_KEY] = "77"
    session.save()


PROCEDURES: dict[str, Callable[[Any], object]] = {
    "flush": lambda session: session.flush(),
    "move": _become,
    "create": lambda session: session.create(),
    "cycle_key": lambda session: session.cycle_key(),
    "renew": lambda session: session.cycle_key(final=False),
    "change": lambda session: session.incr("n"),
    "details": lambda session: session.change_details(lambda details, now_ms: details._replace(name="x")),
    "delete": lambda session: session.delete(),
    "touch": lambda session: session.touch(),
    "end": lambda session: session.end("test"),
    "reload": lambda session: session.reload(),
    "load": lambda session: session.load(),
    "save": lambda session: session.save(),
}


@pytest.mark.parametrize("name", PROCEDURES)
def test_after_an_outage_is_known_what_was_known_before(
    browser: Browser, store: WatchedStore, ann: Any, name: str
) -> None:
    browser.visit(login(ann))
    seen: list[dict[str, Any]] = []

    def view(request: HttpRequest) -> None:
        session: Any = request.session
        session["pending"] = 1
        session.note_proof("test")
        before = _known(session)
        if name == "move":
            before["values"][SESSION_KEY] = "77"
        store.go_out()
        with pytest.raises(StoreUnavailableError):
            PROCEDURES[name](session)
        store.come_back()
        seen.extend([before, _known(session)])

    browser.visit(view)
    assert seen[1] == seen[0]


def test_what_is_noted_while_a_save_is_under_way_is_stored_once_and_what_was_noted_before_too(
    store: WatchedStore, ann: Any
) -> None:
    browser = Browser(asgi=True)
    browser.visit(login(ann))
    found: list[tuple[int, int]] = []

    async def view(request: HttpRequest) -> None:
        session: Any = request.session
        await session.aget("x")
        added: list[str] = []

        def note_more(verb: str) -> None:
            if verb == "update" and not added:
                added.append(verb)
                session._state.change_later(lambda details, now_ms: details._replace(generation=details.generation + 1))

        session._state.change_later(lambda details, now_ms: details._replace(level=details.level + 1))
        store.before = note_more
        await session.asave()
        await session.asave()
        found.append((session.details.level, session.details.generation))

    browser.visit(view)
    assert found == [(1, 1)]
