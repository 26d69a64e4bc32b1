"""Sessions as the strings that Redis keeps, and damage to them."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession.backends.redis.format import (
    HEAD_BYTES,
    LENGTHS_FROM,
    MOVED_TO,
    NEVER,
    OVERHEAD_BYTES,
    is_tombstone,
    read_image,
    read_record,
    record_end,
    room,
    session_image,
)
from django_srvsession.records import LATEST_MS, MOST, MOST_DETAILS_BYTES, Client, Loaded, SessionRecord
from django_srvsession.store import CorruptSessionError, TooLargeError
from django_srvsession.store.framing import frame

SID = "5" * 18
TEXTS = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL too
INSTANTS = st.integers(0, LATEST_MS)
VERIFIERS = st.binary(min_size=32, max_size=32).filter(any).map(bytes.hex)
RECORDS = st.builds(
    SessionRecord,
    sid=st.just(SID),
    verifier=VERIFIERS,
    created_ms=INSTANTS,
    last_seen_ms=INSTANTS,
    lifetime_ms=st.integers(0, MOST),
    expires_ms=INSTANTS,
    user_id=st.none() | TEXTS,
    client=st.builds(Client, TEXTS, TEXTS),
    signed_in_ms=st.none() | INSTANTS,
    deadline_ms=st.none() | INSTANTS,
    previous_verifier=st.none(),
    rotated_ms=st.none(),
    rotation_final=st.just(True),
    version=st.integers(0, MOST),
    details=st.binary(max_size=MOST_DETAILS_BYTES),
)
ROTATED = st.builds(
    SessionRecord._replace,
    RECORDS,
    previous_verifier=VERIFIERS,
    rotated_ms=INSTANTS,
    rotation_final=st.booleans(),
)
RECORD = SessionRecord(SID, "ab" * 32, 1, 2, 3, 4, "user", Client("192.0.2.1", "agent"), signed_in_ms=1, details=b"d")
IMAGE = session_image(RECORD, {"a": b"1", "bé": b"22"}, 5)
USED = len(IMAGE.rstrip(b"\0"))


def with_used(image: bytes, used: int) -> bytes:
    """Return the image with another number of bytes in use."""
    return image[: MOVED_TO - 4] + struct.pack("<I", used) + image[MOVED_TO:]


@given(RECORDS | ROTATED, st.dictionaries(TEXTS, st.binary()), INSTANTS)
def test_a_session_is_read_as_it_was_stored(record: SessionRecord, values: dict[str, bytes], until_ms: int) -> None:
    image = session_image(record, values, until_ms)
    assert read_image(SID, image, 7) == Loaded(record, values, 7)
    assert read_record(SID, image[: record_end(image)]) == record
    assert record_end(image[:HEAD_BYTES]) == record_end(image)


@pytest.mark.parametrize("number", [-1, LATEST_MS + 1, 2**61])
@pytest.mark.parametrize(
    "field", ["created_ms", "last_seen_ms", "expires_ms", "signed_in_ms", "deadline_ms", "rotated_ms"]
)
def test_an_instant_that_cannot_be_shown_is_damage(field: str, number: int) -> None:
    record = RECORD._replace(previous_verifier="cd" * 32, rotated_ms=3)
    with pytest.raises(CorruptSessionError):
        read_record(SID, session_image(record._replace(**{field: number}), {}, 5))


@pytest.mark.parametrize("number", [-1, MOST + 1])
@pytest.mark.parametrize("field", ["lifetime_ms", "version"])
def test_a_number_that_scripts_do_not_hold_exactly_is_damage(field: str, number: int) -> None:
    with pytest.raises(CorruptSessionError):
        read_record(SID, session_image(RECORD._replace(**{field: number}), {}, 5))


def test_a_rotation_of_a_kind_that_is_not_known_is_damage() -> None:
    with pytest.raises(CorruptSessionError):
        read_record(SID, IMAGE[:LENGTHS_FROM] + b"\x03" + IMAGE[LENGTHS_FROM + 1 :])


@pytest.mark.parametrize("field", ["user_id", "client"])
def test_a_text_that_is_too_long_for_a_record_is_refused(field: str) -> None:
    longest = "x" * 65534
    value: Any = longest if field == "user_id" else Client("", longest)
    record = RECORD._replace(**{field: value})
    assert read_record(SID, session_image(record, {}, 5)) == record
    value = longest + "x" if field == "user_id" else Client("", longest + "x")
    with pytest.raises(TooLargeError):
        session_image(RECORD._replace(**{field: value}), {}, 5)


def test_values_in_the_room_count_as_far_as_it_is_in_use() -> None:
    later = frame({"a": b"A", "c": b"3"}) + frame({"c": b""})
    room = IMAGE[USED:]
    image = with_used(IMAGE[:USED] + later + frame({"a": b"not in use"}) + room, USED + len(later))
    assert read_image(SID, image, 7) == Loaded(RECORD, {"a": b"A", "bé": b"22", "c": b""}, 7)


@pytest.mark.parametrize("length", range(USED))
def test_a_session_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(CorruptSessionError):
        read_image(SID, IMAGE[:length], 7)


@pytest.mark.parametrize("used", [0, HEAD_BYTES, USED - 1, USED + 1, len(IMAGE), len(IMAGE) + 1, 2**32 - 1])
def test_a_session_of_which_another_part_is_in_use_is_refused(used: int) -> None:
    with pytest.raises(CorruptSessionError):
        read_image(SID, with_used(IMAGE, used), 7)


@given(st.integers(HEAD_BYTES, 200_000))
def test_the_room_is_what_memory_for_the_string_has_left_anyway(used: int) -> None:
    size = used + room(used) + OVERHEAD_BYTES
    step = 2 ** ((size - 1).bit_length() - 3)
    assert size % step == 0
    assert room(used) < step


@pytest.mark.parametrize("verifier", ["", "ab", "ab" * 33, "x" * 64])
def test_only_a_verifier_is_stored_as_one(verifier: str) -> None:
    for fields in ({"verifier": verifier}, {"previous_verifier": verifier, "rotated_ms": 1}):
        with pytest.raises(ValueError, match=r"hex"):
            session_image(RECORD._replace(**fields), {}, NEVER)


@pytest.mark.parametrize("image", [None, 1, [], {}, True, "text", b"", b"\x00", b"{}", b"\x03" + IMAGE[1:]])
def test_what_is_no_session_is_refused(image: Any) -> None:
    assert not is_tombstone(image)
    with pytest.raises(CorruptSessionError):
        read_image(SID, image, 7)


@given(st.binary(max_size=300), st.binary(max_size=30))
def test_no_bytes_raise_anything_else(data: bytes, end: bytes) -> None:
    for image in (data, b"\x01" + data, b"\x02" + data, IMAGE + data, IMAGE[: -len(end) - 1] + end):
        with contextlib.suppress(CorruptSessionError):
            read_image(SID, image, 7)
        with contextlib.suppress(CorruptSessionError):
            read_record(SID, image)
