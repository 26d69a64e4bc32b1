"""What a request changes is stored, and nothing else is."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest

from django_srvsession.records import AUTH_KEYS
from django_srvsession.store import ConflictError, UpdateError
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, View, count_view, flush, login, put, read, rotate, untouched, while_
from tests.engine.watched import WatchedStore

MINUTE_MS = 60_000


@pytest.fixture
def kept(engine: Any) -> Callable[..., Any]:
    """A function that stores a session of these values and returns another object for the same session."""

    def keep(**values: Any) -> Any:
        session = engine.SessionStore()
        session.update(values)
        session.save()
        return engine.SessionStore(session.session_key)

    return keep


def again(session: Any) -> Any:
    """Return another object for the same session, as another request has it."""
    return type(session)(session.session_key)


def written(store: WatchedStore, save: Callable[[], object]) -> Any:
    """Save, and return the delta of the one write that this took."""
    (asked,) = [asked for asked in store.since(save) if asked.verb != "load"]
    assert asked.verb == "update"
    return asked.delta


# Changes inside values.


@on_every_store
def test_a_change_inside_a_list_or_a_dict_is_saved_without_being_told(browser: Browser, engine: Any) -> None:
    def change_inside(request: HttpRequest) -> None:
        request.session["cart"]["items"].append({"tea": 1})
        request.session["list"][0].update(b=2)

    browser.visit(put(cart={"items": []}, list=[{"a": 1}]))
    browser.visit(change_inside)
    assert browser.show(read) == {"cart": {"items": [{"tea": 1}]}, "list": [{"a": 1, "b": 2}]}


def test_stock_django_loses_a_change_inside_a_list(
    browser: Browser, stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    browser.visit(put(cart=[]))
    browser.visit(lambda request: request.session["cart"].append("tea"))
    assert browser.show(read) == {"cart": []}


def test_modified_tells_of_a_change_inside_a_value_and_costs_nothing(
    kept: Callable[..., Any], store: WatchedStore
) -> None:
    session = kept(cart=[1], name="x")
    assert session.modified is False
    assert session.accessed is False
    assert session["cart"] == [1]
    assert session.modified is False
    session["cart"].append(2)
    count = len(store.asked)
    session.accessed = False
    assert session.modified is True
    assert session.accessed is False
    assert len(store.asked) == count
    session["cart"].pop()
    assert session.modified is False
    session.modified = True
    session.modified = False
    session["cart"].append(2)
    assert session.modified is True


def test_a_change_inside_a_value_and_back_is_no_change(browser: Browser, store: WatchedStore) -> None:
    def there_and_back(request: HttpRequest) -> None:
        request.session["cart"].append(1)
        request.session["cart"].pop()

    browser.visit(put(cart=[]))
    assert [asked.verb for asked in store.since(lambda: browser.visit(there_and_back))] == ["load"]


@pytest.mark.parametrize("value", [{"b": 1, "a": [1, None]}, [1.5, True], "text", {"é": "\u2028"}, {}, []])
def test_reading_a_value_never_writes_it(value: Any, browser: Browser, store: WatchedStore) -> None:
    browser.visit(put(value=value))
    assert [asked.verb for asked in store.since(lambda: browser.visit(read))] == ["load"]


# The delta.


def test_only_the_keys_that_changed_are_written(kept: Callable[..., Any], store: WatchedStore) -> None:
    session = kept(same=1, equal=[1], inside=[1], assigned=1, gone=1)
    assert session["same"] == 1
    session["equal"] = [1]
    session["inside"].append(2)
    session["assigned"] = 2
    session["new"] = 1
    del session["gone"]
    delta = written(store, session.save)
    assert set(delta.changed) == {"inside", "assigned", "new"}
    assert delta.removed == {"gone"}
    assert not delta.cleared
    assert again(session).load() == {"same": 1, "equal": [1], "inside": [1, 2], "assigned": 2, "new": 1}


@pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1), (1, 1.0), (0, False), ([1], [True]), ({}, [])])
def test_a_value_of_another_type_is_a_change_though_python_calls_it_equal(
    old: Any, new: Any, kept: Callable[..., Any]
) -> None:
    session = kept(value=old)
    session["value"] = new
    session.save()
    assert repr(again(session)["value"]) == repr(new)


def test_a_saved_session_has_nothing_more_to_save(kept: Callable[..., Any], store: WatchedStore) -> None:
    session = kept(cart=[1])
    session["cart"].append(2)
    session.save()
    assert store.since(session.save) == []
    session["cart"].append(3)
    assert set(written(store, session.save).changed) == {"cart"}
    assert again(session)["cart"] == [1, 2, 3]


def test_a_save_with_no_change_records_the_use_and_writes_no_value(
    kept: Callable[..., Any], store: WatchedStore
) -> None:
    delta = written(store, kept(a=[1]).save)
    assert not delta.writes_values


def test_a_value_that_cannot_be_serialized_stores_nothing_at_all(kept: Callable[..., Any]) -> None:
    session = kept(a=1)
    session["a"] = 2
    session["set"] = {1}
    with pytest.raises(TypeError):
        session.save()
    assert again(session).load() == {"a": 1}
    del session["set"]
    session.save()
    assert again(session).load() == {"a": 2}


def test_clearing_loads_nothing_and_drops_what_others_added_before_the_save(
    kept: Callable[..., Any], store: WatchedStore
) -> None:
    session, other = kept(a=1, b=2), None
    other = again(session)
    assert store.since(session.clear) == []
    session["c"] = 3
    other["added"] = 1
    other.save()
    session.save()
    assert again(session).load() == {"c": 3}


def test_an_emptied_session_that_has_a_key_is_kept_with_its_cookie(browser: Browser) -> None:
    def empty(request: HttpRequest) -> None:
        del request.session["a"]

    browser.visit(put(a=1))
    cookie = browser.cookie
    browser.visit(empty)
    assert browser.cookie == cookie
    assert browser.show(read) == {}
    assert browser.cookie == cookie


# Two requests.


@on_every_store
def test_two_requests_that_change_different_keys_are_both_kept(browser: Browser, engine: Any) -> None:
    browser.visit(put(a=0, b=0))
    beside = browser.copy()
    browser.visit(while_(read, lambda: beside.visit(put(b=2, beside=1)), put(a=1, here=1)))
    assert browser.show(read) == {"a": 1, "b": 2, "beside": 1, "here": 1}


@pytest.mark.parametrize("name", ["db", "cache"])
def test_stock_django_loses_one_of_two_keys(
    name: str, browser: Browser, stock: Callable[..., None], transactional_db: None
) -> None:
    stock(name)
    browser.visit(put(a=0, b=0))
    beside = browser.copy()
    browser.visit(while_(read, lambda: beside.visit(put(b=2)), put(a=1)))
    assert browser.show(read) == {"a": 1, "b": 0}


@on_every_store
def test_a_key_deleted_by_another_request_stays_deleted_after_a_reader_saves(browser: Browser, engine: Any) -> None:
    def drop(request: HttpRequest) -> None:
        del request.session["sudo"]

    browser.visit(put(sudo=[True], a=0))
    beside = browser.copy()
    browser.visit(while_(read, lambda: beside.visit(drop), put(a=1)))
    assert browser.show(read) == {"a": 1}


def test_stock_django_brings_a_deleted_key_back(
    browser: Browser, stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    browser.visit(put(sudo=[True], a=0))
    beside = browser.copy()
    browser.visit(while_(read, lambda: beside.visit(lambda request: request.session.pop("sudo")), put(a=1)))
    assert browser.show(read) == {"sudo": [True], "a": 1}


@on_every_store
def test_a_deleted_key_is_gone_though_another_request_changed_it(browser: Browser, engine: Any) -> None:
    browser.visit(put(a=[1], b=1))
    beside = browser.copy()
    browser.visit(while_(read, lambda: beside.visit(put(a=[2])), lambda request: request.session.pop("a")))
    assert browser.show(read) == {"b": 1}


# The keys of contrib.auth.


def test_the_keys_of_a_sign_in_are_written_as_one_group(
    browser: Browser, ann: Any, engine: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    session = engine.SessionStore(browser.cookie)
    session[AUTH_KEYS[2]] = "another hash"
    assert set(written(store, session.save).changed) == set(AUTH_KEYS)


def test_the_keys_of_a_sign_in_are_left_as_one_group(
    browser: Browser, ann: Any, engine: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    session = engine.SessionStore(browser.cookie)
    assert session[AUTH_KEYS[0]] == str(ann.pk)
    session["a"] = 1
    assert set(written(store, session.save).changed) == {"a"}


@pytest.mark.parametrize("user_id", [7, "7", "e-mail@example.org"])
def test_the_record_names_the_user_as_text_whatever_its_type(user_id: Any, engine: Any) -> None:
    session = engine.SessionStore()
    session[AUTH_KEYS[0]] = user_id
    session.save()
    assert again(session)[AUTH_KEYS[0]] == user_id
    assert session.record.user_id == str(user_id)


# change, incr, reload, touch, sid.


@on_every_store
def test_incr_counts_at_once_from_nothing(engine: Any) -> None:
    session = engine.SessionStore()
    assert session.incr("views") == 1
    assert session.incr("views", 5) == 6
    assert again(session).incr("views", -1) == 5
    assert session.incr("views") == 6
    assert again(session)["views"] == 6


@on_every_store
def test_change_takes_the_value_that_stands_not_the_one_that_was_read(engine: Any, kept: Callable[..., Any]) -> None:
    session = kept(cart=["tea"], other=1)
    assert session["cart"] == ["tea"]
    beside = again(session)
    beside["cart"] = ["milk"]
    beside.save()
    assert session.change("cart", lambda cart: [*cart, "sugar"]) == ["milk", "sugar"]
    assert session["cart"] == ["milk", "sugar"]
    assert again(session)["cart"] == ["milk", "sugar"]


def test_change_leaves_the_other_changes_of_the_request_pending(kept: Callable[..., Any]) -> None:
    session = kept(number=1, list=[1], gone=1)
    session["pending"] = 1
    session["list"].append(2)
    del session["gone"]
    session.incr("number")
    assert again(session).load() == {"number": 2, "list": [1], "gone": 1}
    assert session.modified is True
    session.save()
    assert again(session).load() == {"number": 2, "list": [1, 2], "pending": 1}


def test_change_goes_on_from_what_the_request_has_done_to_the_value(kept: Callable[..., Any]) -> None:
    session = kept(assigned=1, dropped=1, inside=[1])
    session["assigned"] = 5
    del session["dropped"]
    session["inside"].append(2)
    assert session.incr("assigned") == 6
    assert session.incr("dropped") == 1
    assert session.change("inside", lambda items: [*items, 3]) == [1, 2, 3]
    session.save()
    assert again(session).load() == {"assigned": 6, "dropped": 1, "inside": [1, 2, 3]}


def test_incr_after_clear_counts_from_nothing(kept: Callable[..., Any]) -> None:
    session = kept(number=5, other=1)
    session.clear()
    assert session.incr("number") == 1
    session.save()
    assert again(session).load() == {"number": 1}


def test_change_of_a_visitor_starts_a_session_and_leaves_the_rest_pending(browser: Browser) -> None:
    def count_and_assign(request: HttpRequest) -> Any:
        request.session["later"] = [1]
        number = request.session.incr("views")
        stored = dict(type(request.session)(request.session.session_key).items())
        return [number, stored]

    assert browser.show(count_and_assign) == [1, {"views": 1}]
    assert browser.show(read) == {"views": 1, "later": [1]}


def test_what_change_did_survives_an_error_of_the_page(browser: Browser) -> None:
    def count_and_fail(request: HttpRequest) -> None:
        request.session["other"] = 1
        request.session.incr("views")
        raise ZeroDivisionError

    browser.visit(put(a=1))
    assert browser.visit(count_and_fail).status_code == 500
    assert browser.show(read) == {"a": 1, "views": 1}


def test_change_of_a_visitor_survives_an_error_of_the_page_with_its_cookie(browser: Browser) -> None:
    def count_and_fail(request: HttpRequest) -> None:
        request.session.incr("views")
        raise ZeroDivisionError

    assert browser.visit(count_and_fail).status_code == 500
    assert browser.show(read) == {"views": 1}


@on_every_store
def test_change_and_reload_and_touch_of_a_session_that_is_gone_raise(engine: Any, kept: Callable[..., Any]) -> None:
    for use in (
        lambda session: session.incr("a"),
        lambda session: session.change("a", str),
        lambda session: session.reload(),
        lambda session: session.touch(),
    ):
        session = kept(a=1)
        assert session["a"] == 1
        again(session).flush()
        with pytest.raises(UpdateError):
            use(session)


def test_change_gives_up_after_many_conflicts_and_stores_nothing(
    kept: Callable[..., Any], store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = kept(number=1)
    monkeypatch.setattr("django_srvsession.store.face.time.sleep", lambda seconds: None)
    calls: list[int] = []

    def another_is_always_first(number: int) -> int:
        calls.append(number)
        beside = again(session)
        beside["number"] = -len(calls)
        beside.save()
        return 100

    with pytest.raises(ConflictError):
        session.change("number", another_is_always_first)
    assert len(calls) > 20
    assert again(session)["number"] == -len(calls)


def test_a_function_that_raises_stores_nothing(kept: Callable[..., Any]) -> None:
    session = kept(number=1)
    with pytest.raises(ZeroDivisionError):
        session.change("number", lambda number: number / 0)
    assert again(session).load() == {"number": 1}


def test_reload_drops_what_was_not_saved_and_shows_what_others_did(kept: Callable[..., Any]) -> None:
    session = kept(a=1)
    session["a"] = 2
    session["mine"] = 1
    beside = again(session)
    beside["b"] = 1
    beside.save()
    session.reload()
    assert dict(session.items()) == {"a": 1, "b": 1}
    assert session.modified is False


def test_reload_without_a_key_empties_the_session(engine: Any, store: WatchedStore) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.reload()
    assert session.is_empty()
    assert not store.verbs


def test_touch_writes_no_contents(kept: Callable[..., Any], store: WatchedStore) -> None:
    session = kept(a=[1])
    session["a"].append(2)
    delta = written(store, session.touch)
    assert not delta.writes_values
    assert again(session)["a"] == [1]
    session.save()
    assert again(session)["a"] == [1, 2]


def test_sid_costs_nothing_and_is_none_without_a_key(kept: Callable[..., Any], store: WatchedStore) -> None:
    session = kept(a=1)
    fresh = again(session)
    count = len(store.asked)
    assert fresh.sid is not None
    assert len(fresh.sid) == 18
    assert fresh.sid not in fresh.session_key
    assert type(session)().sid is None
    assert type(session)("x" * 40).sid is None
    assert len(store.asked) == count
    session.cycle_key()
    assert session.sid == fresh.sid


# The rest of SessionBase, and async.


def test_the_async_twins_do_the_same(kept: Callable[..., Any]) -> None:
    async def use(session: Any) -> list[Any]:
        await session.aset("a", 1)
        await session.aupdate({"b": [2]})
        (await session.aget("b")).append(3)
        await session.asave()
        seen: list[Any] = [await session.aincr("n"), await session.achange("n", lambda number: number * 10)]
        other = again(session)
        seen += [await other.apop("a"), await other.asetdefault("d", 4), await other.ahas_key("b")]
        await other.asave()
        await session.areload()
        await session.atouch()
        old = session.session_key
        await session.acycle_key()
        seen += [sorted(await session.akeys()), await session.aexists(old), await session.aexists(session.session_key)]
        seen += [dict(await session.aitems())["b"], sorted(map(str, await session.avalues()))]
        await session.aflush()
        seen += [session.session_key, session.is_empty()]
        return seen

    assert asyncio.run(use(kept(first=1))) == [
        *[1, 10],
        *[1, 4, True],
        *[["b", "d", "first", "n"], False, True],
        *[[2, 3], ["1", "10", "4", "[2, 3]"]],
        *[None, True],
    ]


def test_sync_and_async_use_may_be_mixed_in_one_request(kept: Callable[..., Any], store: WatchedStore) -> None:
    session = kept(a=[1])

    async def use() -> None:
        (await session.aget("a")).append(2)
        session["b"] = session["a"]
        await session.asave()

    asyncio.run(use())
    session["c"] = 1
    session.save()
    assert store.verbs.count("load") == 1
    assert again(session).load() == {"a": [1, 2], "b": [1, 2], "c": 1}


def test_the_test_cookie_works_and_can_be_deleted_in_async_code(browser: Browser) -> None:
    browser.visit(lambda request: request.session.set_test_cookie())
    assert browser.show(lambda request: request.session.test_cookie_worked()) is True

    async def delete(request: HttpRequest) -> None:
        await request.session.adelete_test_cookie()

    browser.visit(delete)
    assert browser.show(lambda request: request.session.test_cookie_worked()) is False


def test_nothing_but_the_callers_keys_is_in_the_session(browser: Browser) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda request: request.session.cycle_key())
    assert browser.show(lambda request: sorted(request.session.keys())) == ["a"]


def test_a_session_is_false_only_when_it_is_empty(engine: Any) -> None:
    session = engine.SessionStore()
    assert not session
    session["a"] = 1
    assert session


def test_names_that_are_not_text_are_stored_as_json_spells_them(engine: Any) -> None:
    session = engine.SessionStore()
    session[1], session[None], session[2.5] = "one", "null", "float"
    session.save()
    session[1] = "one again"
    session.save()
    assert again(session).load() == {"1": "one again", "null": "null", "2.5": "float"}


class DateSerializer:
    """A serializer whose values come back as another type, as many projects have."""

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(obj, cls=DjangoJSONEncoder).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


def test_a_value_that_the_serializer_changes_is_saved_once_and_read_without_writing(
    browser: Browser, store: WatchedStore, settings: Any
) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.DateSerializer"
    browser.visit(put(day=[datetime.date(2026, 1, 2)]))
    assert browser.show(read) == {"day": ["2026-01-02"]}
    assert [asked.verb for asked in store.since(lambda: browser.visit(read))] == ["load"]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_000])
def test_values_of_any_size_come_back(size: int, kept: Callable[..., Any]) -> None:
    assert kept(value="x" * size)["value"] == "x" * size


@pytest.mark.parametrize("name", ["", "v:a", "é\u2028", "a" * 1000, "_session_x", "\x00", "user_id", "sid"])
@on_every_store
def test_odd_names_come_back(name: str, engine: Any) -> None:
    session = engine.SessionStore()
    session[name] = [1]
    session.save()
    assert again(session).load() == {name: [1]}


# The cost of a page.


@pytest.mark.parametrize(
    ("view", "verbs"),
    [
        (untouched, []),
        (read, ["load"]),
        (put(b=1), ["load", "update"]),
        (count_view, ["load", "update"]),
        (rotate, ["load", "rotate"]),
        (lambda request: request.session.incr("n"), ["load", "update"]),
        (flush, ["end"]),
    ],
)
def test_what_a_page_costs(view: View, verbs: list[str], either_browser: Browser, store: WatchedStore) -> None:
    either_browser.visit(put(a=1))
    assert [asked.verb for asked in store.since(lambda: either_browser.visit(view))] == verbs


def test_a_visitors_first_write_is_one_call(either_browser: Browser, store: WatchedStore) -> None:
    either_browser.visit(put(a=1, b=2))
    assert store.verbs == ["create"]


def test_a_user_id_of_none_is_nobody_and_damages_nothing(browser: Browser) -> None:
    browser.visit(put(_auth_user_id=None, kept=1))
    assert browser.show(read) == {"_auth_user_id": None, "kept": 1}
