"""What is kept of a session beside its contents, as bytes: every value of every field, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession.engine import details as details_module
from django_srvsession.engine.details import NONE, Details, digest_of
from django_srvsession.engine.seal import SealError
from django_srvsession.records import LATEST_MS, MOST_DETAILS_BYTES

KNOWN = details_module._FIELDS
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
instants = st.none() | st.integers(0, LATEST_MS)
fields = st.fixed_dictionaries(
    {
        "name": texts,
        "app": texts,
        "binding": st.binary(max_size=80),
        "generation": st.integers(0, 2**32 - 1),
        "idle_ms": instants,
        "longest_ms": instants,
        "since_ms": instants,
        "proved_ms": instants,
        "means": texts.filter(lambda text: len(text.encode()) <= 60),
        "level": st.integers(0, 255),
        "on_behalf_of": st.text("0123456789", max_size=20),
        "wrong": st.integers(0, 2**16 - 1),
        "was_switched": st.booleans(),
        "unknown": st.dictionaries(st.integers(len(KNOWN) + 1, 255), st.binary(max_size=20), max_size=3).map(
            lambda found: tuple(sorted(found.items()))
        ),
    }
)


@given(fields)
def test_what_is_encoded_is_decoded_whatever_it_is(values: dict[str, Any]) -> None:
    details = Details(**values)
    data = details.encode()
    assert Details.decode(data) == details
    assert Details.decode(data).encode() == data
    assert (data == b"") == (details == NONE)


@given(st.binary(max_size=60))
def test_bytes_are_read_as_what_writes_the_same_bytes_or_not_at_all(data: bytes) -> None:
    try:
        details = Details.decode(data)
    except SealError:
        return
    assert details.encode() == data


@given(fields, st.integers(0, 2000), st.integers(0, 255))
def test_a_byte_that_is_another_is_read_as_another_value_or_not_at_all(
    values: dict[str, Any], at: int, byte: int
) -> None:
    data = bytearray(Details(**values).encode())
    if not data or data[at % len(data)] == byte:
        return
    data[at % len(data)] = byte
    try:
        read = Details.decode(bytes(data))
    except SealError:
        return
    assert read != Details(**values)


def test_every_field_has_a_tag_and_no_tag_is_zero() -> None:
    assert [field.name for field in KNOWN.values()] == [name for name in Details._fields if name != "unknown"]
    assert min(KNOWN) == 1


def test_a_field_takes_four_bytes_at_least_and_an_empty_one_none() -> None:
    assert Details(wrong=1).encode() == b"\x0c\x00\x01\x01"
    assert Details(was_switched=True, wrong=258).encode() == b"\x0c\x00\x02\x01\x02" + b"\x0d\x00\x01\x01"
    assert NONE.encode() == b""


@pytest.mark.parametrize(
    "field",
    [
        {"name": "x" * 256},
        {"name": "\ud800"},
        {"name": None},
        {"binding": b"x" * 513},
        {"binding": "text"},
        {"generation": -1},
        {"generation": 2**32},
        {"idle_ms": LATEST_MS + 1},
        {"proved_ms": -1},
        {"proved_ms": 1.5},
        {"level": 256},
        {"level": True},
        {"wrong": 2**16},
        {"was_switched": 1},
        {"on_behalf_of": 7},
    ],
    ids=str,
)
def test_what_is_out_of_its_range_cannot_be_stored(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Details(**field).encode()


def test_all_together_take_no_more_than_a_record_may_hold() -> None:
    longest = {"name": "n" * 255, "app": "a" * 255, "means": "m" * 255, "on_behalf_of": "b" * 240}
    assert len(Details(**longest).encode()) == MOST_DETAILS_BYTES - 7
    with pytest.raises(ValueError, match="1035 bytes; they may take 1024"):
        Details(**longest, binding=b"x" * 15).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x01x",
        b"\x0c",
        b"\x0c\x00",
        b"\x0c\x00\x01",
        b"\x0c\x00\x02\x01",
        b"\x0c\x00\x01\x00",
        b"\x0c\x00\x02\x00\x01",
        b"\x0c\x00\x00",
        b"\x0c\x00\x03\x01\x01\x01",
        b"\x0d\x00\x01\x02",
        b"\x0d\x00\x01\x01\x0c\x00\x01\x01",
        b"\x0c\x00\x01\x01\x0c\x00\x01\x01",
        b"\x01\x00\x01\xff",
        b"\x01\x00\x00",
    ],
)
def test_what_nobody_writes_is_damaged(data: bytes) -> None:
    with pytest.raises(SealError):
        Details.decode(data)


def test_the_digest_of_nothing_is_nothing() -> None:
    assert digest_of(b"") == b""
    assert len(digest_of(b"x")) == 16
