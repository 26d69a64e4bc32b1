"""``manage.py sessionstats_srv``, on every store."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from django_srvsession.engine import current_store
from django_srvsession.operations import stats
from django_srvsession.records import Client, Ending
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.testing.sessions import create, make_due
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


class Terminal(io.StringIO):
    """Standard output of an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def run(*arguments: str, encoding: str = "utf-8") -> str:
    stdout = Terminal(encoding)
    call_command("sessionstats_srv", *arguments, stdout=stdout)
    return stdout.getvalue()


def counted(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(run("--json", *arguments)))


def test_every_store_is_counted_by_user_device_age_and_size(every_store: str) -> None:
    store = current_store()
    ann = get_user_model().objects.create_user("ann")
    boss = get_user_model().objects.create_user("boss", is_staff=True)
    create(store, user_id=str(ann.pk), client=Client("", FIREFOX), changed={"cart": b"x" * 500, "a": b"12"})
    create(store, user_id=str(ann.pk), client=Client("", PHONE), changed={"cart": b"x" * 300})
    create(store, user_id=str(boss.pk), client=Client("", FIREFOX))
    create(store)
    make_due(store, create(store))
    found = counted()
    assert (found["live"], found["users"], found["measured"]) == (4, 2, 4)
    assert found["by_user_kind"] == {"users": 2, "staff": 1, "anonymous": 1}
    assert found["by_device_kind"] == {"desktop": 2, "phone": 1, "unknown": 1}
    assert found["by_device"]["Firefox on Linux"] == 2
    assert found["by_age"]["up to 5 minutes"] == found["by_last_use"]["up to 5 minutes"] == 4
    assert found["size_bytes"] == {"50": 0, "90": 507, "99": 507, "100": 507}
    assert found["biggest_keys"][0] == {"key": "cart", "sessions": 2, "mean_bytes": 400, "max_bytes": 500}
    text = run()
    assert "Live sessions: 4, of 2 users" in text
    if every_store in ("redis", "file"):
        assert found["index"] == {"looked_at": 4, "ghosts": 0, "unlisted": 0, "repaired": 0}
        assert "Lists: 0 live sessions in no list, 0 entries" in text
    else:
        assert found["index"] is None


def test_a_terminal_gets_a_picture_and_a_plain_one_gets_signs(store: Store) -> None:
    for _ in range(4):
        create(store, client=Client("", FIREFOX))
    create(store, client=Client("", PHONE))
    lines = [line.split() for line in run().splitlines()]
    assert ["desktop", "4", "█" * 30] in lines
    assert ["phone", "1", "█" * 7 + "▌"] in lines
    assert ["desktop", "4", "#" * 30] in [line.split() for line in run(encoding="ascii").splitlines()]


def test_nothing_is_measured_without_a_sample(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create(store, changed={"a": b"1"})
    monkeypatch.setattr(type(store), "load", None)
    assert counted("--sample", "0")["measured"] == 0
    assert "Size" not in run("--sample", "0")


def test_no_session_at_all_is_a_count_too(store: Store) -> None:
    assert counted()["live"] == 0
    assert "Live sessions: 0" in run()


@pytest.mark.parametrize(
    ("age_ms", "span"),
    [(-5, 0), (0, 0), (300_000, 0), (300_001, 1), (86_400_000, 2), (604_800_001, 4), (10**12, 5)],
)
def test_ages_are_told_apart(age_ms: int, span: int) -> None:
    assert stats._span(age_ms) == stats.SPANS[span][0]


def test_each_of_a_stream_has_the_same_chance_to_be_measured() -> None:
    chosen = dict.fromkeys("abcdefgh", 0)
    for _ in range(2000):
        sample = stats.Sample(2)
        sample.offer("abcd")
        sample.offer("efgh")
        assert len(set(sample.sids)) == 2
        for sid in sample.sids:
            chosen[sid] += 1
    assert all(350 < count < 650 for count in chosen.values()), chosen


def test_names_out_of_browsers_do_not_grow_without_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_MOST_NAMES", 2)
    for number in range(4):
        create(store, changed={f"key{number}": b"1"})
    assert {line["key"] for line in counted()["biggest_keys"]} >= {stats.OTHERS}
    assert len(counted()["biggest_keys"]) == 3


def test_a_session_that_ends_meanwhile_is_not_measured(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sid = create(store).record.sid
    load = store.load

    def load_ended(name: str) -> Any:
        store.end(sid, Ending("logout"))
        return load(name)

    monkeypatch.setattr(store, "load", load_ended)
    found = counted()
    assert (found["live"], found["measured"]) == (1, 0)


def test_an_outage_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def records(*arguments: Any) -> Any:
        raise StoreUnavailableError("gone fishing")

    monkeypatch.setattr(store, "records", records)
    with pytest.raises(CommandError, match="did not answer: gone fishing"):
        run()
