"""The lazy mapping: a dict to its users, and a delta to the engine."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from django.test import override_settings

from django_srvsession.engine.seal import Sealer, SealError
from django_srvsession.engine.values import SealedValues, is_same, str_name

SID = "001122334455667788"


class PickleSerializer:
    """What projects that need it configure; sets have no fixed order in it."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


def sealer(serializer: Any = JSONSerializer) -> Sealer:
    return Sealer(SID, serializer())


def stored(serializer: Any = JSONSerializer, **values: Any) -> SealedValues:
    """Return the mapping of a loaded session."""
    ours = sealer(serializer)
    return SealedValues(ours, {name: ours.seal(name, ours.serialize(value)) for name, value in values.items()})


def names(values: SealedValues) -> set[str]:
    return set(values.changes(sealer()).changed)


def test_reading_changes_nothing() -> None:
    values = stored(number=1, text="a", items=[1, [2]], nested={"b": 1, "a": {"c": None}})
    assert dict(values) == {"number": 1, "text": "a", "items": [1, [2]], "nested": {"b": 1, "a": {"c": None}}}
    assert not values.changes(sealer())
    assert not values.is_changed_in_place


def test_a_change_inside_a_list_or_a_dict_is_found() -> None:
    values = stored(items=[1, {"deep": [2]}], other=[1], number=1)
    values["items"][1]["deep"].append(3)
    assert values["other"] == [1]
    assert values.is_changed_in_place
    assert names(values) == {"items"}


def test_a_value_that_was_never_used_is_neither_opened_nor_written() -> None:
    ours = sealer()
    values = SealedValues(ours, {"broken": ours.seal("broken", b"not JSON"), "fine": ours.seal("fine", b"1")})
    values["new"] = 2
    assert names(values) == {"new"}
    assert "fine" in values
    assert "broken" not in values


def test_assigning_an_equal_value_is_no_change_but_is_an_assignment() -> None:
    values = stored(number=1, text="a")
    values["number"] = 1
    assert names(values) == set()
    assert values.is_assigned("number")
    assert not values.is_assigned("text")


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), ("", None), ([1], [True]), ({}, [])])
def test_a_value_of_another_type_is_a_change_though_python_may_call_it_equal(old: Any, new: Any) -> None:
    values = stored(key=old)
    values["key"] = new
    assert names(values) == {"key"}


def test_other_bytes_for_the_same_value_are_no_change() -> None:
    ours = sealer()
    values = SealedValues(ours, {"key": ours.seal("key", b'{ "b": 1,   "a": 2 }')})
    assert values["key"] == {"a": 2, "b": 1}
    assert not values.is_changed_in_place
    assert names(values) == set()


def test_a_pickled_set_that_was_only_read_is_no_change() -> None:
    values = stored(PickleSerializer, things={str(number) for number in range(100)})
    shuffled: set[str] = set()
    shuffled.update(sorted(values["things"]))
    values["things"] = shuffled
    assert not values.changes(sealer(PickleSerializer)).changed
    shuffled.add("new")
    assert set(values.changes(sealer(PickleSerializer)).changed) == {"things"}


def test_deleted_keys_are_named_and_gone() -> None:
    values = stored(a=1, b=2)
    del values["a"]
    assert values.pop("b") == 2
    changes = values.changes(sealer())
    assert changes.removed == {"a", "b"}
    assert dict(values) == {}
    assert len(values) == 0
    with pytest.raises(KeyError):
        values["a"]
    with pytest.raises(KeyError):
        del values["a"]


def test_a_key_deleted_and_assigned_again_is_changed_and_not_removed() -> None:
    values = stored(a=1)
    del values["a"]
    values["a"] = 2
    changes = values.changes(sealer())
    assert set(changes.changed) == {"a"}
    assert changes.removed == frozenset()


def test_a_key_that_came_and_went_within_the_request_leaves_no_trace() -> None:
    values = stored()
    values["a"] = [1]
    del values["a"]
    assert not values.changes(sealer())


def test_the_auth_keys_are_written_as_one_group() -> None:
    values = stored(_auth_user_id="1", _auth_user_backend="b", _auth_user_hash="h", other=1)
    values["_auth_user_hash"] = "new"
    assert names(values) == {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}


def test_after_a_save_nothing_is_changed_until_something_is() -> None:
    values = stored(a=[1], b=2, c=3)
    values["a"].append(2)
    del values["b"]
    changes = values.changes(sealer())
    values.stored(changes, sealer())
    assert not values.changes(sealer())
    values["a"].append(3)
    assert names(values) == {"a"}
    assert dict(values) == {"a": [1, 2, 3], "c": 3}


def test_a_cleared_mapping_names_what_stays_and_says_that_all_else_goes() -> None:
    values = SealedValues(cleared=True)
    values["kept"] = 1
    changes = values.changes(sealer())
    assert changes.cleared
    assert set(changes.changed) == {"kept"}
    assert values.is_dropped("anything")
    assert not values.is_dropped("kept")


def test_a_value_that_does_not_open_empties_the_mapping_and_is_told_once() -> None:
    told: list[SealError] = []
    ours = sealer()
    base = {"good": ours.seal("good", b"1"), "bad": ours.seal("bad", b"\x80pickled")}
    values = SealedValues(ours, base, refused=told.append)
    assert values["good"] == 1
    assert values.get("bad") is None
    assert dict(values) == {}
    assert len(told) == 1


def test_names_that_are_not_text_are_stored_as_json_stores_them() -> None:
    values = stored()
    values[1], values[True], values[None], values[1.5] = "a", "b", "c", "d"  # 1 and True are one key of a dict
    assert names(values) == {"1", "null", "1.5"}
    assert [str_name(name) for name in (1, True, False, None, 1.5, "x")] == ["1", "true", "false", "null", "1.5", "x"]
    with pytest.raises(TypeError):
        str_name((1, 2))


def test_a_value_that_cannot_be_serialized_fails_at_save_and_counts_as_modified() -> None:
    values = stored(items=[1])
    values["items"].append(object())
    assert values.is_changed_in_place
    with pytest.raises(TypeError):
        values.changes(sealer())


def test_values_under_a_fallback_are_sealed_anew_unless_this_request_changes_them() -> None:
    with override_settings(SECRET_KEY="old"):
        values = stored(a=1, b=2, c=3)
        base = dict(values._base)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        values["a"] = 10
        del values["c"]
        assert values.needs_resealing
        changes = values.changes(sealer())
        assert set(changes.changed) == {"a"}
        assert {name: old for name, (old, _) in changes.resealed.items()} == {"b": base["b"]}
        values.stored(changes, sealer())
        assert not values.needs_resealing
        assert values["b"] == 2


def test_the_repr_shows_names_and_no_values() -> None:
    assert "hunter2" not in repr(stored(password="hunter2"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [1, True]}, False),
        ({"a": 1}, {"b": 1}, False),
        ([1], [1, 2], False),
        ((1,), [1], False),
        ("1", 1, False),
    ],
)
def test_sameness_is_equality_of_values_and_types_at_every_depth(one: Any, other: Any, same: bool) -> None:
    assert is_same(one, other) is same
