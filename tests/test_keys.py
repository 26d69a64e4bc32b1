"""The key in the cookie: what it is made of, and that nothing else passes for one."""

from __future__ import annotations

import base64
import string

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession.engine.keys import KEY_LENGTH, SessionKey

ALPHABET = string.ascii_letters + string.digits + "-_"


def test_a_key_is_forty_characters_that_any_cookie_and_column_takes() -> None:
    for _ in range(1000):
        text = SessionKey.generate().text
        assert len(text) == KEY_LENGTH == 40
        assert set(text) <= set(ALPHABET)


def test_no_two_of_a_hundred_thousand_keys_share_a_sid_or_a_secret() -> None:
    raws = [base64.urlsafe_b64decode(SessionKey.generate().text) for _ in range(100_000)]
    assert len({raw[:9] for raw in raws}) == len({raw[9:25] for raw in raws}) == 100_000


def test_a_key_is_read_back_with_its_sid_and_verifier() -> None:
    key = SessionKey.generate()
    read = SessionKey.parse(key.text)
    assert read is not None
    assert (read.sid, read.verifier, read.is_current) == (key.sid, key.verifier, True)
    assert len(key.sid) == 18
    assert set(key.sid) <= set("0123456789abcdef")


def test_the_sid_and_the_verifier_share_nothing_that_opens_a_session() -> None:
    key = SessionKey.generate()
    assert SessionKey.parse(key.sid) is None
    assert SessionKey.parse(key.verifier) is None
    assert SessionKey.parse(key.verifier[:KEY_LENGTH]) is None
    assert base64.urlsafe_b64decode(key.text)[9:25].hex() not in key.verifier


@pytest.mark.parametrize("position", range(KEY_LENGTH))
def test_a_key_with_any_one_character_changed_is_no_key(position: int) -> None:
    text = SessionKey.generate().text
    for character in ALPHABET:
        if character != text[position]:
            assert SessionKey.parse(text[:position] + character + text[position + 1 :]) is None


@pytest.mark.parametrize(
    "spoil",
    [
        str.upper,
        str.lower,
        lambda text: text[:-1],
        lambda text: text + "=",
        lambda text: text + "A",
        lambda text: " " + text[1:],
        lambda text: text[:-1] + "\0",
        lambda text: text[:-1] + "\n",
        lambda text: text + "\n",
        lambda text: text[:-1] + "é",
        lambda text: text[:-1] + "\ud800",
        lambda text: text[:-1] + "１",
        lambda text: text * 1700,
        lambda text: text.encode(),
        lambda text: None,
        lambda text: 40,
    ],
)
def test_a_spoiled_key_is_no_key_and_no_error(spoil: object) -> None:
    text = SessionKey.generate().text
    assert SessionKey.parse(spoil(text)) is None  # type: ignore[operator]


@given(st.text(max_size=60) | st.text(ALPHABET, min_size=40, max_size=40))
def test_no_text_that_this_site_did_not_sign_is_a_key(text: str) -> None:
    assert SessionKey.parse(text) is None


def test_a_key_of_another_site_is_no_key() -> None:
    with override_settings(SECRET_KEY="another site's"):
        text = SessionKey.generate().text
    assert SessionKey.parse(text) is None


def test_a_key_signed_by_a_fallback_is_read_and_signed_anew_to_one_text_for_all() -> None:
    with override_settings(SECRET_KEY="old"):
        old = SessionKey.generate()
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"]):
        read = SessionKey.parse(old.text)
        assert read is not None
        assert not read.is_current
        again = {SessionKey.parse(old.text).resigned().text for _ in range(16)}  # type: ignore[union-attr]
        assert len(again) == 1
    with override_settings(SECRET_KEY="new"):
        assert SessionKey.parse(old.text) is None
        resigned = SessionKey.parse(again.pop())
        assert resigned is not None
        assert (resigned.sid, resigned.verifier) == (old.sid, old.verifier)


def test_rotating_keeps_the_sid_and_changes_the_secret() -> None:
    key = SessionKey.generate()
    new = key.rotated()
    assert new.sid == key.sid
    assert new.verifier != key.verifier
    read = SessionKey.parse(new.text)
    assert read is not None
    assert (read.text, read.sid, read.verifier, read.is_current) == (new.text, new.sid, new.verifier, True)


def test_a_key_does_not_show_itself_in_logs() -> None:
    key = SessionKey.generate()
    assert key.text not in repr(key) + str(key) + f"{key}"
    assert key.sid in repr(key)
