"""Values framed as bytes, and damage to them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_srvsession.engine.sealed_record import RECORD
from django_srvsession.records import AUTH_KEYS
from django_srvsession.store import CorruptSessionError, framing
from django_srvsession.store.framing import LONG, SHORT, SHORT_BELOW, frame, name_bytes, name_of, unframe

NAMES = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL too


@given(st.dictionaries(NAMES, st.binary()))
def test_what_is_framed_is_read_back(values: dict[str, bytes]) -> None:
    assert unframe(frame(values)) == values


@given(st.dictionaries(NAMES, st.binary()), st.sampled_from([0xFFFF, 0x10000, 0x20000]))
@settings(max_examples=20)
def test_what_is_too_long_for_two_bytes_is_framed_with_four(values: dict[str, bytes], length: int) -> None:
    values = {**values, "long": b"x" * length}
    framed = frame(values)
    assert framed[0] == (SHORT if length < SHORT_BELOW else LONG)
    assert unframe(framed) == values
    named = {"x" * length: b"1"}
    assert unframe(frame(named)) == named


@given(st.text(max_size=3) | st.sampled_from(["_auth_user_id", "_messages", "\x01", "\x00\x01", "\x1f", ""]))
def test_a_name_is_read_as_it_was_written_and_no_two_are_written_alike(name: str) -> None:
    assert name_of(name_bytes(name)) == name


def test_names_that_nearly_every_session_has_are_one_byte() -> None:
    values = dict.fromkeys([*AUTH_KEYS, RECORD], b"1")
    assert len(frame(values)) == 1 + 2 + 2 + 4 * (2 + 1 + 2 + 1)
    assert unframe(frame(values)) == values


def test_the_order_of_the_values_is_kept() -> None:
    assert list(unframe(frame({"b": b"", "a": b"", "c": b""}))) == ["b", "a", "c"]


def test_of_several_runs_the_last_value_of_a_name_counts() -> None:
    first, second = {"a": b"1", "b": b"2", "c": b"3"}, {"b": b"", "d": b"4"}
    read = unframe(b"before" + frame(first) + frame(second) + frame({}), len(b"before"))
    assert (read, list(read)) == ({**first, **second}, ["a", "b", "c", "d"])


def test_names_that_visitors_choose_fill_no_memory() -> None:
    for number in range(3000):
        unframe(frame({f"name-{number}": b"1", "x" * number: b""}))
    kept = [*framing._read.values(), *framing._written.values()]
    assert len(kept) <= 2 * 1024
    assert max(len(head.data) for head in kept) <= 1024


@pytest.mark.parametrize("length", range(len(frame({"a": b"1", "bé": b"22"}))))
def test_values_cut_short_are_damaged(length: int) -> None:
    with pytest.raises(CorruptSessionError):
        unframe(frame({"a": b"1", "bé": b"22"})[:length])


@pytest.mark.parametrize(
    "data",
    [
        frame({"a": b"1"}) + b"x",
        b"\x03" + frame({"a": b"1"})[1:],
        b"\x00" + frame({})[1:],
        frame({"aa": b"1"}).replace(b"aa", b"\xff\xff"),
        frame({"a": b"1", "b": b"2"}).replace(b"ab", b"aa"),
        b"\x02\xff\xff",
        b"\x02\x02\0\xff\xff",
        frame({"a": b"1"}).replace(b"a", b"\x1e"),
        frame({"a": b"1"}).replace(b"a", b"") + b"1",
        b"{}",
    ],
    ids=[
        "longer",
        "newer",
        "older",
        "no text",
        "one name twice",
        "no names",
        "too many names",
        "unknown name",
        "short names",
        "JSON",
    ],
)
def test_bytes_of_another_make_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptSessionError):
        unframe(data)


@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for bytes_ in (data, b"\x02" + data, b"\x04" + data, frame({"a": data})[:-1] + b"?"):
        with contextlib.suppress(CorruptSessionError):
            unframe(bytes_)
