"""Records: frozen values that show no digest."""

from __future__ import annotations

import pytest

from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import Delta, SessionRecord, Tombstone, new_session, rotated


def record() -> SessionRecord:
    loaded = new_session("5" * 18, "first-verifier", Delta(lifetime_ms=1000, user_id="7"), now_ms=5)
    return rotated(loaded, "second-verifier", final=True, signs_in=False).record


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format])
def test_what_is_shown_of_a_record_a_tombstone_and_a_key_names_no_verifier_and_no_secret(show: object) -> None:
    key = SessionKey.generate()
    tombstone = Tombstone("5" * 18, (key.verifier,), "revoked", None, 5, 6)
    shown = " ".join(map(show, (record(), tombstone, key)))  # type: ignore[arg-type]
    assert "5" * 18 in shown and key.sid in shown and "revoked" in shown
    for hidden in ("first-verifier", "second-verifier", key.verifier, key.text):
        assert hidden not in shown


def test_a_record_cannot_be_changed() -> None:
    for name in ("user_id", "expires_ms", "new"):
        with pytest.raises(AttributeError):
            setattr(record(), name, "8")


def test_a_rotation_is_later_than_the_sign_in_before_it_and_not_than_one_in_the_same_step() -> None:
    signed_in = new_session("5" * 18, "a", Delta(lifetime_ms=1000, user_id="7"), now_ms=5)
    assert rotated(signed_in, "b", final=True, signs_in=False).record.rotated_ms == 6
    assert rotated(signed_in, "b", final=True, signs_in=True).record.rotated_ms == 5
    assert rotated(signed_in._replace(now_ms=9), "b", final=True, signs_in=False).record.rotated_ms == 9
    anonymous = new_session("5" * 18, "a", Delta(lifetime_ms=1000), now_ms=5)
    assert rotated(anonymous, "b", final=True, signs_in=False).record.rotated_ms == 5
