"""Where a request comes from: what is believed, what is kept, and what hostile headers cannot do."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from django.test import RequestFactory

from django_srvsession.clients import MAX_USER_AGENT, client_of

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")


def client(remote: str = "192.0.2.1", forwarded: str | None = None, agent: str | None = None, **meta: Any) -> Any:
    """Return the client of a request with these headers."""
    request = RequestFactory().get("/", REMOTE_ADDR=remote, **meta)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    if agent is not None:
        request.META["HTTP_USER_AGENT"] = agent
    return client_of(request)


# The address.


def test_the_address_is_the_one_that_connected() -> None:
    assert client("192.0.2.1").ip == "192.0.2.1"
    assert client("2001:db8::1").ip == "2001:db8::1"


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_CLIENT_IP"])
def test_without_trusted_proxies_no_header_is_believed(header: str) -> None:
    assert client("192.0.2.1", **{header: "198.51.100.7"}).ip == "192.0.2.1"


@pytest.mark.parametrize("header", ["HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_CLIENT_IP", "HTTP_TRUE_CLIENT_IP"])
def test_with_trusted_proxies_one_header_is_believed_and_no_other(header: str, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    assert client("10.0.0.1", **{header: "198.51.100.7"}).ip == "10.0.0.1"


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "  2001:db8::7  ", "2001:db8::7"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8:ffff::1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4,", "10.0.0.1"),
        ("10.0.0.1", "999.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "010.0.0.1", "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_it_is_the_rightmost_address_that_is_none_of_them(
    remote: str, forwarded: str, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    assert client(remote, forwarded).ip == expected


def test_a_changed_list_of_proxies_is_used_at_once(settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert client("10.0.0.1", "198.51.100.7").ip == "198.51.100.7"
    settings.SRVSESSION_TRUSTED_PROXIES = ["172.16.0.0/12"]
    assert client("10.0.0.1", "198.51.100.7").ip == "10.0.0.1"


@pytest.mark.parametrize("remote", ["", "unix:", "not an address", "\x00", "é"])
def test_a_server_that_gives_no_address_leaves_it_empty(remote: str) -> None:
    assert client(remote).ip == ""


@pytest.mark.parametrize(
    ("keep", "remote", "expected"),
    [
        ("full", "198.51.100.77", "198.51.100.77"),
        ("truncated", "198.51.100.77", "198.51.100.0"),
        ("truncated", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("truncated", "::ffff:198.51.100.77", "198.51.100.0"),
        ("none", "198.51.100.77", ""),
    ],
)
def test_no_more_of_the_address_is_kept_than_the_setting_says(
    keep: str, remote: str, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_STORE_IP = keep
    assert client(remote).ip == expected


# The user agent.


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (None, ""),
        ("", ""),
        ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("  padded  ", "padded"),
        ("new\r\nline\x00\x1b[31m", "newline[31m"),
        ("right\u202eleft\u2066\u200b", "rightleft"),
        ("half \ud83d character", "half  character"),
        ("<script>", "<script>"),  # Pages escape it.
    ],
)
def test_the_user_agent_loses_what_could_harm_a_page_a_log_or_a_database(agent: str | None, expected: str) -> None:
    assert client(agent=agent).user_agent == expected


def test_the_user_agent_is_cut() -> None:
    assert client(agent="é" * 100_000).user_agent == "é" * MAX_USER_AGENT


# Hostile headers.


def test_ten_thousand_hostile_headers_raise_nothing_and_fit_the_columns(settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    dice = random.Random(20261121)
    alphabet = "0123456789abcdef.:,[]%/ \t\x00\r\né\u202e\ud800\U0001f36a"
    for _ in range(10_000):
        text = "".join(dice.choices(alphabet, k=dice.randint(0, 60)))
        found = client("10.0.0.1", text, text)
        assert len(found.ip) <= 39
        assert len(found.user_agent) <= MAX_USER_AGENT
        found.user_agent.encode()


@pytest.mark.parametrize("header", ["1.2.3.4," * 8_000, "," * 64_000, "10.0.0.2," * 7_000, "[" * 64_000, "%" * 64_000])
def test_a_header_of_64_kilobytes_costs_little(header: str, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    started = time.process_time()
    client("10.0.0.1", header, header)
    assert time.process_time() - started < 0.1
