"""Values framed as bytes, and damage to them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession.store import CorruptSessionError, framing
from django_srvsession.store.framing import frame, unframe

NAMES = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL too


@given(st.dictionaries(NAMES, st.binary()))
def test_what_is_framed_is_read_back(values: dict[str, bytes]) -> None:
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
    kept = [*framing._names.items(), *((part, names) for names, part in framing._parts.items())]
    assert len(kept) <= 2 * 1024
    assert max(len(part) for part, _ in kept) <= 1024


@pytest.mark.parametrize("length", range(len(frame({"a": b"1", "bé": b"22"}))))
def test_values_cut_short_are_damaged(length: int) -> None:
    with pytest.raises(CorruptSessionError):
        unframe(frame({"a": b"1", "bé": b"22"})[:length])


@pytest.mark.parametrize(
    "data",
    [
        frame({"a": b"1"}) + b"x",
        b"\x02" + frame({"a": b"1"})[1:],
        b"\x00" + frame({})[1:],
        frame({"aa": b"1"}).replace(b"aa", b"\xff\xff"),
        frame({"a": b"1", "b": b"2"}).replace(b"ab", b"aa"),
        b"\x01\xff\xff\xff\xff",
        b"\x01\x04\0\0\0\xff\xff\xff\xff",
        frame({"a": b"1"}).replace(b"a", b"") + b"1",
        b"{}",
    ],
    ids=["longer", "newer", "older", "no text", "one name twice", "no names", "too many names", "short names", "JSON"],
)
def test_bytes_of_another_make_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptSessionError):
        unframe(data)


@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for bytes_ in (data, b"\x01" + data, frame({"a": data})[:-1] + b"?"):
        with contextlib.suppress(CorruptSessionError):
            unframe(bytes_)
