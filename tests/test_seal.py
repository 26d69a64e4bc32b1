"""Seals: a value opens only in the session, and under the name, that it was sealed for."""

from __future__ import annotations

import json
import math
import tracemalloc
import zlib
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession.engine import seal, serializing
from django_srvsession.engine.seal import Sealer, SealError

SID = "00112233445566778899"[:18]
OTHER_SID = "ff112233445566778899"[:18]


def sealer(sid: str = SID) -> Sealer:
    return Sealer(sid, JSONSerializer())


def opened(sealer: Sealer, name: str, sealed: bytes) -> Any:
    return sealer.open(name, sealed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(), json_values)
def test_a_sealed_value_opens_as_it_was(name: str, value: Any) -> None:
    ours = sealer()
    assert opened(ours, name, ours.seal(name, ours.serialize(value))) == value


def test_sealing_is_deterministic_so_that_equal_values_have_equal_bytes() -> None:
    payload = b'"' + b"x" * 10_000 + b'"'
    assert sealer().seal("a", payload) == sealer().seal("a", payload)


def test_a_value_moved_to_another_session_or_another_name_does_not_verify() -> None:
    sealed = sealer().seal("sudo", b"true")
    with pytest.raises(SealError):
        sealer(OTHER_SID).verify("sudo", sealed)
    with pytest.raises(SealError):
        sealer().verify("sud", sealed)
    with pytest.raises(SealError):
        sealer().verify("sudo2", sealed)


def test_a_name_and_a_value_cannot_be_split_elsewhere() -> None:
    sealed = sealer().seal("a", b"1:b2")
    with pytest.raises(SealError):
        sealer().verify("a:b", sealed)


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    sealed = sealer().seal("name", b'"value"')
    for position in range(len(sealed)):
        with pytest.raises(SealError):
            sealer().verify("name", sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :])
        with pytest.raises(SealError):
            sealer().verify("name", sealed[:position])
    with pytest.raises(SealError):
        sealer().verify("name", sealed + b"x")


@given(st.binary(max_size=200))
def test_no_bytes_that_this_site_did_not_seal_verify(junk: bytes) -> None:
    with pytest.raises(SealError):
        sealer().verify("name", junk)
    with pytest.raises(SealError):
        sealer().verify("name", sealer().seal("name", b"1")[:6] + junk)


def test_a_newer_format_is_refused() -> None:
    sealed = sealer().seal("name", b"1")
    with pytest.raises(SealError):
        sealer().verify("name", bytes([seal.FORMAT + 1]) + sealed[1:])


def test_a_value_under_a_fallback_verifies_and_says_that_it_is_not_current() -> None:
    with override_settings(SECRET_KEY="old"):
        sealed = sealer().seal("name", b"1")
        assert seal.is_current(sealed)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert opened(sealer(), "name", sealed) == 1
        assert not seal.is_current(sealed)
    with override_settings(SECRET_KEY="new"), pytest.raises(SealError):
        sealer().verify("name", sealed)


def test_large_values_are_compressed_and_small_ones_are_not() -> None:
    ours = sealer()
    assert len(ours.seal("a", b'"' + b"x" * 10_000 + b'"')) < 200
    assert ours.seal("a", b'"' + b"x" * 1000 + b'"')[6:-16] == b'"' + b"x" * 1000 + b'"'


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = sealer().seal("a", b'"' + b"x" * 1_000_000 + b'"')
    monkeypatch.setattr(seal, "_MAX_PAYLOAD_BYTES", 100_000)
    with pytest.raises(SealError, match="too large"):
        sealer().open("a", bomb)


def test_a_sealed_value_that_is_no_valid_compressed_data_is_refused() -> None:
    ours = sealer()
    payload = bytes(5000)
    sealed = ours.seal("a", payload)
    assert zlib.decompress(sealed[6:-16]) == payload
    with pytest.raises(SealError, match="decompressed"):
        ours.payload(sealed[:6] + b"junk" + sealed[-16:])


def test_a_payload_of_another_serializer_is_refused_whatever_it_raises() -> None:
    with pytest.raises(SealError, match="SESSION_SERIALIZER"):
        sealer().open("a", sealer().seal("a", b"\x80\x04K\x01."))


class Text(str):
    """A subclass, which an encoder may treat in its own way."""


def in_itself() -> Any:
    value: dict[str, Any] = {"data": "x" * 10}
    value["self"] = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *("", "é\udc80\x00\x7f", Text("a"), 0, 2**70, 1.5, 1e16, math.inf, True, None),
        {"a": [1, (2, {"b": None})], 7: 2, None: 3, True: 4, 1.5: 5},
        [],
        {(1, 2): 3},
        {"a": {1, 2}},
        b"bytes",
        in_itself(),
    ],
    ids=str,
)
def test_json_is_what_django_s_serializer_makes_or_refuses(value: Any) -> None:
    def outcome(serialize: Any) -> Any:
        try:
            return serialize(value)
        except (TypeError, ValueError) as error:
            return type(error), str(error)

    assert outcome(sealer().serialize) == outcome(JSONSerializer().dumps)


def test_a_large_value_that_holds_itself_is_refused_before_it_fills_the_memory() -> None:
    value: dict[str, Any] = {"data": "x" * 1_000_000}
    value["self"] = value
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="Circular"):
            sealer().serialize(value)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_pythons_json_still_has_the_encoder_that_is_made_once() -> None:
    """Told readably after an upgrade: without it all goes on, and a creation takes a tenth longer."""
    assert callable(json.encoder.c_make_encoder), "json.encoder.c_make_encoder is gone: see engine/serializing.py."
    encode = serializing.SameAsDjangos().encoder()
    assert [encode(value) for value in ("a\u20ac", [1, None], {"a": {"b": 1.5}})] == [
        b'"a\\u20ac"',
        b"[1,null]",
        b'{"a":{"b":1.5}}',
    ]


def test_without_an_encoder_in_c_json_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    value = {"a": [1, "é", None]}
    assert serializing.SameAsDjangos().dumps(value) == JSONSerializer().dumps(value)
