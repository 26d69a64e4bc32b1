"""Proofs that are none, or are another's: 400, nothing stored, one line in the log; used-up ones: a new challenge."""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from django_srvsession import services
from django_srvsession.binding import proofs
from django_srvsession.binding.challenges import REFRESH, REGISTER, Challenge
from django_srvsession.binding.keys import ProofError, canonical
from django_srvsession.engine.details import is_bound
from tests.binding.devices import REGISTRATION, Device, Key, bound_name, challenge_in, change, renewed_ago
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore
from tests.trust import rounds

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long"),
]

REGISTER_PATH, REFRESH_PATH = "/device/register/", "/device/refresh/"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(challenge: str, key: Key) -> str:
    return f"{part({'alg': 'none', 'typ': 'dbsc+jwt', 'jwk': key.jwk})}.{part({'jti': challenge})}."


def by_public_key_as_secret(challenge: str, key: Key) -> str:
    text = f"{part({'alg': 'HS256', 'typ': 'dbsc+jwt', 'jwk': key.jwk})}.{part({'jti': challenge})}"
    mac = hmac.digest(json.dumps(key.jwk).encode(), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_a_secret_for_a_key(challenge: str, key: Key) -> str:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    header = {"typ": "dbsc+jwt", "jwk": {"kty": "oct", "k": secret}}
    return jwt.encode({"jti": challenge}, "s" * 32, "HS256", headers=header)


def on_p_384(challenge: str, key: Key) -> str:
    return Key(ec.generate_private_key(ec.SECP384R1()), "ES384").proof(challenge, with_key=True)


def of_an_rsa_key_that_is_short(challenge: str, key: Key) -> str:
    return Key.rsa(1024).proof(challenge, with_key=True)


def of_an_rsa_key_that_is_huge(challenge: str, key: Key) -> str:
    return Key.rsa(4096).proof(challenge, with_key=True)


def signed_by_another_key(challenge: str, key: Key) -> str:
    return Key().proof(challenge, with_key=False, headers={"jwk": key.jwk})


def with_another_key_beside(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=False, headers={"jwk": Key().jwk})


def without_a_key(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=False)


def with_a_point_that_is_on_no_curve(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=False, headers={"jwk": {**key.jwk, "y": "A" * 43}})


def of_another_type(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=True, headers={"typ": "JWT"})


def for_another_address(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=True, aud="https://elsewhere.example/device/register/")


def that_has_run_out(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=True, exp=1)


def without_a_challenge(challenge: str, key: Key) -> str:
    return jwt.encode({}, key.private, "ES256", headers={"typ": "dbsc+jwt", "jwk": key.jwk})


def of_a_made_up_challenge(challenge: str, key: Key) -> str:
    return key.proof("made up", with_key=True)


def of_a_challenge_that_was_changed(challenge: str, key: Key) -> str:
    return key.proof(challenge.replace(":0:", ":1:", 1), with_key=True)


def of_a_challenge_to_renew(challenge: str, key: Key) -> str:
    sid, now_ms = challenge.split(":")[1], int(challenge.split(":")[3])
    return key.proof(Challenge.new(REFRESH, sid, 0, now_ms), with_key=True)


def of_another_session(challenge: str, key: Key) -> str:
    return key.proof(Challenge.new(REGISTER, "0" * 18, 0, int(challenge.split(":")[3])), with_key=True)


def of_an_old_challenge(challenge: str, key: Key) -> str:
    _, sid, generation, now_ms, *_ = challenge.split(":")
    return key.proof(Challenge.new(REGISTER, sid, int(generation), int(now_ms) - 301_000), with_key=True)


def that_is_no_jwt(challenge: str, key: Key) -> str:
    return "not a JWT"


def that_is_empty(challenge: str, key: Key) -> str:
    return ""


def of_nine_kilobytes(challenge: str, key: Key) -> str:
    return key.proof(challenge, with_key=True, more="x" * 6500)


def that_is_nested_deep(challenge: str, key: Key) -> str:
    nested = base64.urlsafe_b64encode(b"[" * 2500).decode()
    return f"{nested}.{nested[:100]}.AAAA"


def of_five_parts(challenge: str, key: Key) -> str:
    return f"{key.proof(challenge, with_key=True)}.a.b"


BAD = [
    unsigned, by_public_key_as_secret, with_a_secret_for_a_key, on_p_384, of_an_rsa_key_that_is_short,
    of_an_rsa_key_that_is_huge, signed_by_another_key, with_another_key_beside, without_a_key,
    with_a_point_that_is_on_no_curve, of_another_type, for_another_address, that_has_run_out, without_a_challenge,
    of_a_made_up_challenge, of_a_challenge_that_was_changed, of_a_challenge_to_renew, of_another_session,
    of_an_old_challenge, that_is_no_jwt, that_is_empty, of_nine_kilobytes, that_is_nested_deep, of_five_parts,
]  # fmt: skip
SAME_WHEN_RENEWING = [
    unsigned, by_public_key_as_secret, with_a_secret_for_a_key, on_p_384, of_an_rsa_key_that_is_short, of_another_type,
    for_another_address, that_has_run_out, without_a_challenge, of_a_made_up_challenge, that_is_no_jwt, that_is_empty,
    of_nine_kilobytes, that_is_nested_deep, of_five_parts,
]  # fmt: skip


@pytest.fixture
def asked(binding: Any, ann: Any) -> tuple[Device, str]:
    """A browser that was asked to register, and the challenge."""
    device = Device(can=False)
    header = device.sign_in().headers[REGISTRATION]
    return device, header.split('challenge="')[1].rstrip('"')


@pytest.fixture
def bound(binding: Any, ann: Any) -> Device:
    """A browser that is bound, and has just lost its bound cookie."""
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    device.drop()
    return device


@pytest.fixture(autouse=True)
def every_use_is_noted(settings: Any) -> None:
    """So that a refused request would show in the record if it were taken for a use."""
    settings.SRVSESSION_TOUCH_INTERVAL = 0


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_proof_registers_nothing(
    asked: tuple[Device, str], bad: Callable[[str, Key], str], caplog: pytest.LogCaptureFixture
) -> None:
    device, challenge = asked
    before = list(services.live_sessions())
    answer = device.prove(REGISTER_PATH, bad(challenge, device.key))
    assert (answer.status_code, answer.json()) == (400, {"continue": False})
    assert not answer.cookies
    (line,) = lines(caplog)
    assert line.startswith(f"A proof for session {device.sid} is refused: ")
    assert device.key.proof(challenge, with_key=True)[:20] not in line
    assert list(services.live_sessions()) == before
    assert device.user == "ann"


@pytest.mark.parametrize("quoted", [True, False])
def test_a_proof_counts_raw_and_quoted(asked: tuple[Device, str], quoted: bool) -> None:
    device, challenge = asked
    answer = device.prove(REGISTER_PATH, device.key.proof(challenge, with_key=True), quoted=quoted)
    assert answer.status_code == 200 and answer.json()["session_identifier"] == device.sid
    assert device.user == "ann"


def test_a_proof_for_this_address_counts(asked: tuple[Device, str]) -> None:
    device, challenge = asked
    proof = device.key.proof(challenge, with_key=True, aud=f"https://testserver{REGISTER_PATH}")
    assert device.prove(REGISTER_PATH, proof).status_code == 200


def test_without_a_proof_nothing_is_registered(asked: tuple[Device, str], caplog: pytest.LogCaptureFixture) -> None:
    device, _ = asked
    assert device.ask(REGISTER_PATH, "post").status_code == 400
    assert len(lines(caplog)) == 1


@on_every_store
def test_a_key_is_never_replaced(engine: WatchedStore, asked: tuple[Device, str]) -> None:
    device, challenge = asked
    assert device.prove(REGISTER_PATH, device.key.proof(challenge, with_key=True)).status_code == 200
    assert device.user == "ann"
    assert device.prove(REGISTER_PATH, Key().proof(challenge, with_key=True)).status_code == 400
    # Nor is a copy of the first proof worth a cookie, once the browser has shown the one it got.
    assert device.prove(REGISTER_PATH, device.key.proof(challenge, with_key=True)).status_code == 400
    assert device.user == "ann"


def test_a_key_is_not_replaced_before_its_browser_has_shown_the_cookie_either(asked: tuple[Device, str]) -> None:
    device, challenge = asked
    assert device.prove(REGISTER_PATH, device.key.proof(challenge, with_key=True)).status_code == 200
    assert device.prove(REGISTER_PATH, Key().proof(challenge, with_key=True)).status_code == 400
    assert device.user == "ann"


def test_a_browser_whose_first_answer_was_lost_registers_again(asked: tuple[Device, str]) -> None:
    device, challenge = asked
    for _ in range(2):
        assert device.prove(REGISTER_PATH, device.key.proof(challenge, with_key=True)).status_code == 200
        device.drop()


def test_who_is_not_signed_in_registers_nothing(binding: Any, caplog: pytest.LogCaptureFixture) -> None:
    for path in (REGISTER_PATH, REFRESH_PATH):
        answer = Device().prove(path, Key().proof("x", with_key=True))
        assert (answer.status_code, answer.json()) == (200, {"continue": False})
    assert lines(caplog) == []


@pytest.mark.parametrize("path", [REGISTER_PATH, REFRESH_PATH])
def test_only_post_is_answered(binding: Any, path: str) -> None:
    assert Device().ask(path).status_code == 405


# Renewing.


@pytest.mark.parametrize("bad", SAME_WHEN_RENEWING)
def test_a_bad_proof_renews_nothing(
    bound: Device, bad: Callable[[str, Key], str], caplog: pytest.LogCaptureFixture
) -> None:
    before = list(services.live_sessions())
    answer = bound.prove(REFRESH_PATH, bad(bound.challenge, bound.key))
    assert (answer.status_code, answer.json()) == (400, {"continue": False})
    assert not answer.cookies
    assert len(lines(caplog)) == 1
    assert list(services.live_sessions()) == before


@pytest.mark.parametrize("with_key", [True, False])
def test_another_key_renews_nothing(bound: Device, with_key: bool) -> None:
    assert bound.prove(REFRESH_PATH, Key().proof(bound.challenge, with_key=with_key)).status_code == 400
    rsa = Key.rsa().proof(bound.challenge, with_key=with_key)
    assert bound.prove(REFRESH_PATH, rsa).status_code == 400
    assert bound.user == "ann"


def test_a_challenge_of_another_session_renews_nothing(bound: Device, ann: Any) -> None:
    other = Device()
    other.sign_in()
    assert bound.prove(REFRESH_PATH, bound.key.proof(other.challenge, with_key=False)).status_code == 400
    of_registering = Challenge.new(REGISTER, bound.sid, 0, int(bound.challenge.split(":")[3]))
    assert bound.prove(REFRESH_PATH, bound.key.proof(of_registering, with_key=False)).status_code == 400
    assert bound.user == "ann"


@on_every_store
def test_a_proof_that_was_used_renews_nothing_again(engine: WatchedStore, bound: Device) -> None:
    proof = bound.key.proof(bound.challenge, with_key=False)
    assert bound.prove(REFRESH_PATH, proof).status_code == 200
    before = list(services.live_sessions())
    answer = bound.prove(REFRESH_PATH, proof)
    assert answer.status_code == 403 and challenge_in(answer) and not answer.cookies
    assert list(services.live_sessions()) == before


def test_an_old_challenge_must_be_signed_anew(bound: Device, caplog: pytest.LogCaptureFixture) -> None:
    _, sid, generation, now_ms, *_ = bound.challenge.split(":")
    bound.challenge = Challenge.new(REFRESH, sid, int(generation), int(now_ms) - 661_000)
    assert bound.prove(REFRESH_PATH, bound.key.proof(bound.challenge, with_key=False)).status_code == 403
    assert bound.user == "ann"
    assert lines(caplog) == []


def test_the_first_challenge_comes_with_the_key_and_each_next_with_the_renewal(bound: Device) -> None:
    assert bound.challenge
    assert bound.prove(REFRESH_PATH, bound.key.proof(bound.challenge, with_key=False)).status_code == 200


def test_who_asks_without_a_proof_stores_nothing_and_keeps_nothing_alive(bound: Device) -> None:
    change(bound, renewed_ago(300))
    before = list(services.live_sessions())
    thief = bound.thief()
    answer = thief.ask(REFRESH_PATH, "post", headers={"sec-secure-session-id": bound.sid})
    assert answer.status_code == 403 and challenge_in(answer) and not answer.cookies
    assert list(services.live_sessions()) == before


def test_a_device_session_of_an_earlier_sign_in_is_given_up(bound: Device) -> None:
    answer = bound.ask(REFRESH_PATH, "post", headers={"sec-secure-session-id": "0" * 18})
    assert (answer.status_code, answer.json()) == (200, {"continue": False})
    assert not answer.cookies
    assert bound.user == "ann"


@on_every_store
def test_the_device_of_a_session_that_ended_is_told_so(engine: WatchedStore, bound: Device) -> None:
    services.revoke(bound.sid)
    answer = bound.refresh()
    assert (answer.status_code, answer.json()) == (200, {"continue": False})
    assert bound.config == {} and bound.user == ""


def test_the_device_of_a_session_that_is_not_bound_is_told_so(asked: tuple[Device, str]) -> None:
    device, _ = asked
    answer = device.ask(REFRESH_PATH, "post", headers={"sec-secure-session-id": device.sid})
    assert (answer.status_code, answer.json()) == (200, {"continue": False})


@on_every_store
def test_an_outage_is_503_and_the_device_keeps_key_and_cookie(engine: WatchedStore, store: Any, bound: Device) -> None:
    store.go_out()
    answer = bound.refresh()
    assert answer.status_code == 503 and not answer.cookies
    assert bound.config
    store.come_back()
    assert bound.user == "ann"


def test_a_site_that_stops_to_bind_lets_browsers_renew(bound: Device, settings: Any) -> None:
    """Or nobody would be signed in any more when it binds again."""
    settings.SRVSESSION_BIND = None
    assert bound.refresh().status_code == 200
    assert bound.thief().user == "ann"
    settings.SRVSESSION_BIND = "offer"
    assert bound.user == "ann" and bound.thief().user == ""


def test_the_session_s_own_cookie_slides_with_the_renewal(bound: Device) -> None:
    answer = bound.prove(REFRESH_PATH, bound.key.proof(bound.challenge, with_key=False))
    assert answer.cookies["sessionid"]["max-age"]
    assert answer.cookies["sessionid"].value == bound.cookie("sessionid")
    assert bound_name() in answer.cookies


# Anything at all.

_TEXT = st.text(max_size=60)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "typ", "jwk", "kid", "crit", "b64", "jti"])
_KEYS = st.fixed_dictionaries({}, optional={"kty": st.sampled_from(["EC", "RSA", "oct", "OKP"]) | _JSON}).flatmap(
    lambda first: st.dictionaries(_MEMBERS, _JSON, max_size=5).map(lambda more: {**more, **first})
)


@given(st.dictionaries(_MEMBERS, _JSON | _KEYS, max_size=5), _JSON, st.binary(max_size=80))
def _no_text_is_a_proof(header: Any, claims: Any, signature: bytes) -> None:
    from django.test import RequestFactory

    request = RequestFactory().post(REGISTER_PATH)
    end = base64.urlsafe_b64encode(signature).decode()
    for text in (f"{part(header)}.{part(claims)}.{end}", f"{part(header)}.{end}", f"{end}.{part(claims)}.{end}"):
        with pytest.raises(ProofError):
            proofs.challenge_in(text, canonical(Key().jwk), request)
        with pytest.raises(ProofError):
            proofs.challenge_in(text, proofs.key_in(text), request)


def test_no_text_is_a_proof() -> None:
    from hypothesis import settings as hypothesis_settings

    hypothesis_settings(max_examples=rounds(1000), deadline=None, database=None)(_no_text_is_a_proof)()


def test_a_bound_session_is_bound_by_its_first_key_alone(bound: Device) -> None:
    assert [is_bound(record) for record in services.live_sessions()] == [True]
