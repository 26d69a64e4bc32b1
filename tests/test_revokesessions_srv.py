"""``manage.py revokesessions_srv``, on every store."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.records import TOUCH, Tombstone
from django_srvsession.signals import session_ended
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.testing.sessions import create, new_sid, new_user, sids
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import later_fixture, memory_store_fixture  # noqa: F401 - used as fixtures


def run(*arguments: str) -> str:
    stdout = io.StringIO()
    call_command("revokesessions_srv", *arguments, stdout=stdout)
    return stdout.getvalue()


def tombstone(store: Store, sid: str) -> Tombstone:
    found = store.load(sid)
    assert isinstance(found, Tombstone), f"{sid} is {found!r}"
    return found


def test_one_session_ends_by_name_and_once(every_store: str) -> None:
    store = current_store()
    one, other = create(store).record.sid, create(store).record.sid
    assert run("--no-input", one) == "Ended 1 session.\n"
    ended = tombstone(store, one)
    assert (ended.reason, ended.by) == ("revoked", "revokesessions_srv")
    assert sids(services.live_sessions()) == [other]
    assert run("--no-input", one) == f"{one} is not live: it has ended, or never was.\nEnded 0 sessions.\n"


def test_all_of_a_user_end_and_nobody_elses(every_store: str) -> None:
    store = current_store()
    ann = get_user_model().objects.create_user("ann")
    mine = {create(store, user_id=str(ann.pk)).record.sid for _ in range(3)}
    kept, others = mine.pop(), {create(store, user_id=new_user()).record.sid, create(store).record.sid}
    assert run("--user", "ann", "--keep", kept, "--no-input", "--by", "Carol") == "Ended 2 sessions.\n"
    assert {tombstone(store, sid).by for sid in mine} == {"Carol"}
    assert set(sids(services.live_sessions())) == others | {kept}


def test_everybody_is_signed_out_and_visitors_stay(every_store: str) -> None:
    store = current_store()
    people, visitor = [create(store, user_id=new_user()).record.sid for _ in range(5)], create(store).record.sid
    assert run("--everyone", "--signed-in", "--dry-run") == "5 sessions would be ended.\n"
    assert len(services.live_sessions()[:10]) == 6
    assert run("--everyone", "--signed-in", "--no-input") == "Ended 5 sessions.\n"
    assert all(isinstance(store.load(sid), Tombstone) for sid in people)
    assert sids(services.live_sessions()) == [visitor]
    assert json.loads(run("--everyone", "--no-input", "--json"))["ended"] == 1


def test_inactive_ones_end_and_one_that_is_used_meanwhile_stays(
    store: Store, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, used = create(store), create(store)
    later[0] = 600_000
    new = create(store)
    load = store.load

    def load_after_use(sid: str) -> Any:
        if sid == used.record.sid:
            store.update(sid, used.record.verifier, TOUCH)
        return load(sid)

    monkeypatch.setattr(store, "load", load_after_use)
    assert run("--inactive", "5m", "--no-input") == "Ended 1 session.\n"
    assert isinstance(load(old.record.sid), Tombstone)
    assert set(sids(services.live_sessions())) == {used.record.sid, new.record.sid}


def test_each_ended_session_is_told_once(store: Store) -> None:
    told: list[Any] = []

    def hear(*, record: Any, reason: str, by: Any, **kwargs: Any) -> None:
        told.append((record.sid, reason, by))

    sid = create(store).record.sid
    session_ended.connect(hear)
    try:
        run("--everyone", "--no-input")
        run("--everyone", "--no-input")
    finally:
        session_ended.disconnect(hear)
    assert told == [(sid, "revoked", "revokesessions_srv")]


class Person(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y", "Yes", "n", "", "yesterday"])
def test_it_asks_first(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: Any, answer: str) -> None:
    create(store)
    monkeypatch.setattr("sys.stdin", Person(answer + "\n"))
    if answer.lower() in ("y", "yes"):
        assert json.loads(run("--everyone", "--json"))["ended"] == 1
    else:
        with pytest.raises(CommandError, match="Nothing was changed"):
            run("--everyone")
    assert capsys.readouterr().err.endswith("End 1 session? [y/N] ")
    assert len(services.live_sessions()) == (answer.lower() not in ("y", "yes"))


def test_it_does_not_go_on_where_nobody_can_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create(store)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="--no-input"):
        run("--everyone")
    assert len(services.live_sessions()) == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--everyone", "--inactive", "1d"], ["--everyone", "0" * 18], ["--anonymous"], ["--user-id", "1", "0" * 18]],
)
def test_which_sessions_must_be_said_once(store: Store, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="Say which sessions"):
        run("--no-input", *arguments)


def test_a_secret_is_refused_and_not_repeated() -> None:
    key = "A" * 40
    with pytest.raises(CommandError, match="looks like a session key") as error:
        run("--no-input", key)
    assert key not in str(error.value)


def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(CommandError, match="is no sid"):
        run("--no-input", "ann")


def test_an_outage_says_what_was_ended_until_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [create(store).record.sid, new_sid()]
    end = store.end

    def end_once(sid: str, *arguments: Any) -> Any:
        if sid == named[1]:
            raise StoreUnavailableError("gone fishing")
        return end(sid, *arguments)

    monkeypatch.setattr(store, "end", end_once)
    with pytest.raises(CommandError, match=r"did not answer: gone fishing Ended 1 session\. It is safe"):
        run("--no-input", *named)
