"""Where a request comes from: what is believed, what is kept, and what hostile headers cannot do."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from io import BytesIO
from ipaddress import ip_address
from itertools import takewhile
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path, reverse
from hypothesis import given
from hypothesis.strategies import characters, integers, lists, sampled_from, text, tuples

from django_srvsession import services
from django_srvsession.clients import address as client_address
from django_srvsession.clients import devices, programs
from django_srvsession.clients.address import MAX_USER_AGENT, client_of
from tests.every_store import every_store_fixture  # noqa: F401
from tests.hostile import AGENTS, MARKUP, aimed_agents, aimed_at

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
        # Written by the client, and so on the left.
        ("10.0.0.1", "127.0.0.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.9,10.0.0.9,198.51.100.7,10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4; 5.6.7.8, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", ", , 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4\r\n5.6.7.8, 198.51.100.7", "198.51.100.7"),
        # A chain of two proxies of ours.
        ("10.0.0.1", "1.2.3.4, 198.51.100.7, 2001:db8:ffff::2", "198.51.100.7"),
        ("2001:db8:ffff::1", "1.2.3.4, 2001:db8::7, 10.0.0.2:443", "2001:db8::7"),
        ("2001:db8:ffff::1", "10.0.0.3, [2001:db8:ffff::2]:443", "10.0.0.3"),
        # What is odd, or between ours and odd.
        ("10.0.0.1", "198.51.100.7, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7,", "10.0.0.1"),
        ("10.0.0.1", "[fe80::1%25eth0]:80", "fe80::1"),
        ("10.0.0.1", "[2001:db8::7", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7]x", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7]:http", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::7]", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:http", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7%eth0", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7/32", "10.0.0.1"),
        ("10.0.0.1", "0x7f000001", "10.0.0.1"),
        ("10.0.0.1", "2130706433", "10.0.0.1"),
        ("10.0.0.1", "127.1", "10.0.0.1"),
        ("10.0.0.1", "\uff11.2.3.4", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.7", "10.0.0.1"),
        ("10.0.0.1", "[::ffff:198.51.100.7]:80", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, ::ffff:10.0.0.2", "1.2.3.4"),
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


def test_where_everything_is_trusted_it_is_the_leftmost_address(settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = ["0.0.0.0/0", "::/0"]
    assert client("203.0.113.1", "1.2.3.4, 2001:db8::7, 198.51.100.7").ip == "1.2.3.4"
    assert client("203.0.113.1", "odd, 2001:db8::7, 198.51.100.7").ip == "2001:db8::7"


def test_several_headers_are_one_list_whichever_server_joins_them(settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    assert client("10.0.0.1", "1.2.3.4,198.51.100.7").ip == "198.51.100.7"  # gunicorn: no space.
    headers = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"198.51.100.7")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": ("10.0.0.1", 1)}
    assert client_of(ASGIRequest(scope, BytesIO())).ip == "198.51.100.7"


@pytest.mark.parametrize("remote", ["", "unix:", "not an address", "\x00", "é"])
@pytest.mark.parametrize("proxies", [(), PROXIES, ["0.0.0.0/0", "::/0"]])
def test_a_server_that_gives_no_address_leaves_it_empty(remote: str, proxies: Any, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = proxies
    assert client(remote, "198.51.100.7").ip == ""


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("unix:", "1.2.3.4, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("", "", ""),
        ("", "nonsense", ""),
        ("not an address", "198.51.100.7", ""),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
    ],
)
def test_behind_a_unix_socket_the_header_is_believed_when_the_setting_says_so(
    remote: str, forwarded: str, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = ["unix:", "10.0.0.0/8"]
    assert client(remote, forwarded).ip == expected


@pytest.mark.parametrize("network", ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1/8"])
def test_a_trusted_network_may_be_one_address_or_ipv4_in_the_form_of_ipv6(network: str, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = [network]
    assert client("10.0.0.1", "198.51.100.7").ip == "198.51.100.7"
    assert client("11.0.0.1", "198.51.100.7").ip == "11.0.0.1"


@pytest.mark.parametrize("value", ["10.0.0.0/8", ["10.0.0.0/33"], ["proxy.example"], [None], ["unix"]])
def test_what_is_no_list_of_networks_is_reported_by_name(value: Any, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = value
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_TRUSTED_PROXIES"):
        client()


def test_a_cut_through_an_entry_makes_no_address_of_its_rest(settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    for more in range(14):  # The cut goes through every place of the entry on the left.
        header = ", ".join(["198.51.100.77", *["10.0.0.2"] * 203]) + "," + " " * more + "10.0.0.2"
        assert client("10.0.0.1", header).ip in ("198.51.100.77", "10.0.0.2")


@pytest.mark.parametrize(
    ("keep", "remote", "expected"),
    [
        ("full", "198.51.100.77", "198.51.100.77"),
        ("full", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"),
        ("full", "2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("full", "::ffff:198.51.100.77", "198.51.100.77"),
        ("truncated", "198.51.100.77", "198.51.100.0"),
        ("truncated", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("truncated", "::ffff:198.51.100.77", "198.51.100.0"),
        ("truncated", "fe80::1%eth0", "fe80::"),
        ("none", "198.51.100.77", ""),
        ("none", "2001:db8:1:2:3:4:5:6", ""),
        ("none", "::ffff:198.51.100.77", ""),
    ],
)
def test_no_more_of_the_address_is_kept_than_the_setting_says(
    keep: str, remote: str, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_STORE_IP = keep
    assert client(remote).ip == expected
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    assert client("10.0.0.1", f"1.2.3.4, {remote}").ip == expected


# A header of the site's choice, or a function.


@pytest.mark.parametrize(
    ("remote", "value", "expected"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", " 2001:db8::7 ", "2001:db8::7"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        # Who is no proxy of ours may write what they like.
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        # Such a header holds one address.
        ("10.0.0.1", "1.2.3.4, 198.51.100.7", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_the_header_that_the_site_names_is_believed_of_its_proxies_alone(
    remote: str, value: str | None, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    settings.SRVSESSION_CLIENT_IP = "CF-Connecting-IP"
    headers = {} if value is None else {"HTTP_CF_CONNECTING_IP": value}
    assert client(remote, **headers).ip == expected
    # The other header says nothing then.
    assert client(remote, "203.0.113.9", **headers).ip == expected


def test_a_named_header_alone_is_believed_of_nobody(settings: Any) -> None:
    settings.SRVSESSION_CLIENT_IP = "CF-Connecting-IP"
    assert client("192.0.2.1", HTTP_CF_CONNECTING_IP="198.51.100.7").ip == "192.0.2.1"


def ip_of_site(request: Any) -> Any:
    return request.META.get("HTTP_X_SITE_SAYS")


@pytest.mark.parametrize("function", [ip_of_site, f"{__name__}.ip_of_site"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        (ip_address("2001:db8::7"), "2001:db8::7"),
        (None, ""),
        ("", ""),
        ("<script>", ""),
        (7, ""),
    ],
)
def test_a_function_of_the_sites_says_which_address_it_is(
    function: Any, said: Any, expected: str, settings: Any
) -> None:
    settings.SRVSESSION_CLIENT_IP = function
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    assert client("10.0.0.1", "203.0.113.9", HTTP_X_SITE_SAYS=said).ip == expected


def test_what_a_function_says_is_cut_as_any_address_is(settings: Any) -> None:
    settings.SRVSESSION_CLIENT_IP = ip_of_site
    settings.SRVSESSION_STORE_IP = "truncated"
    assert client("10.0.0.1", HTTP_X_SITE_SAYS="198.51.100.7").ip == "198.51.100.0"


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


@pytest.mark.parametrize("name", AGENTS)
def test_of_a_hostile_user_agent_what_is_kept_is_short_and_printable(name: str) -> None:
    agent = client(agent=AGENTS[name]).user_agent
    assert len(agent) <= MAX_USER_AGENT
    assert agent.isprintable()
    assert agent == agent.strip()
    agent.encode()


@given(agent=text(max_size=600) | text(characters(min_codepoint=0xD800, max_codepoint=0xE0FF)))
def test_any_user_agent_is_cleaned_and_cleaning_again_changes_nothing(agent: str) -> None:
    cleaned = client(agent=agent).user_agent
    assert cleaned.isprintable()
    assert client(agent=cleaned).user_agent == cleaned


@given(forwarded=text(max_size=300) | text("0123456789abcdef.:,[]%/ \t", max_size=300), agent=text())
def test_no_header_raises_or_becomes_more_than_an_address(forwarded: str, agent: str) -> None:
    with override_settings(SRVSESSION_TRUSTED_PROXIES=PROXIES):
        found = client("10.0.0.1", forwarded, agent)
    ip_address(found.ip)
    found.user_agent.encode()


OURS = ["10.0.0.2", "10.255.255.255", "2001:db8:ffff::2"]
OTHERS = ["198.51.100.7", "11.0.0.0", "127.0.0.1", "2001:db8::7", "::1", "0.0.0.0"]
ODD = ["", "unknown", "_hidden", "999.1.1.1", "198.51.100.7:x", "[::1", "::1]", "10.0.0.0/8", "\x00", "%", "for=::1"]


def written(address: str, form: int) -> str:
    """Return an address as one proxy or another writes it."""
    if ":" in address:
        return [address, f"[{address}]", f"[{address}]:443", f" {address}%eth0 "][form]
    return [address, f"{address}:443", f"::ffff:{address}", f"[::ffff:{address}]:443"][form]


ENTRIES = lists(tuples(sampled_from(OURS + OTHERS + ODD), integers(0, 3)), max_size=12)


@given(entries=ENTRIES, remote=sampled_from(OURS + OTHERS))
def test_nothing_left_of_what_is_not_ours_is_ever_the_address(entries: list[tuple[str, int]], remote: str) -> None:
    header = ",".join(entry if entry in ODD else written(entry, form) for entry, form in entries)
    path = [remote, *(entry for entry, _ in reversed(entries))]
    believed = list(takewhile(OURS.__contains__, path))
    first_other = path[len(believed)] if len(believed) < len(path) else None
    expected = first_other if first_other in OTHERS else believed[-1]
    with override_settings(SRVSESSION_TRUSTED_PROXIES=PROXIES):
        assert client(remote, header).ip == expected


@pytest.mark.parametrize("header", ["1.2.3.4," * 8_000, "," * 64_000, "10.0.0.2," * 7_000, "[" * 64_000, "%" * 64_000])
def test_of_a_header_of_64_kilobytes_only_the_end_is_looked_at(
    header: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    parsed: list[str] = []
    parse = client_address._parse
    monkeypatch.setattr(client_address, "_parse", lambda text: [parsed.append(text), parse(text)][1])
    client("10.0.0.1", f"{header}10.0.0.2", header)
    assert sum(map(len, parsed)) < 3_000


# Regular expressions. What a pattern does is not ours; that it gets little to work on is.


def cost(agent: str, runs: int = 1) -> float:
    """Return the processor time, in seconds, that naming a device takes; the fastest of some runs."""
    times = []
    for run in range(runs):
        text = agent[: MAX_USER_AGENT - run - 1] + "~" * (run + 1)  # Another one each time: names are cached.
        started = time.process_time()
        devices.device_name(text)
        times.append(time.process_time() - started)
    return min(times)


def test_a_text_aimed_at_a_pattern_makes_it_try_in_vain() -> None:
    texts = list(aimed_at(re.compile(r"x([a-z]+\s?)+[;)]"), 12))
    assert "xaaaaaaaaaa~" in texts
    assert {len(text) for text in texts} == {12}


@pytest.mark.parametrize("name", AGENTS)
def test_of_a_user_agent_no_more_than_256_characters_are_read_and_each_text_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = programs.program_of
    monkeypatch.setattr(programs, "program_of", lambda agent, apple: [asked.append(agent), read(agent, apple)][1])
    agent = f"{name} {AGENTS[name]}"  # Nothing that another test left in the cache.
    for _ in range(3):
        devices.device_name(agent)
    assert len(asked) == 1
    assert len(asked[0]) <= MAX_USER_AGENT


def test_texts_aimed_at_our_patterns_cost_about_what_any_unknown_text_costs() -> None:
    aimed = aimed_agents(MAX_USER_AGENT, every=1)
    assert len(aimed) > 200
    plain = max(cost(f"{number} " * 80, runs=3) for number in range(10))
    costs = {agent: cost(agent) for agent in aimed}
    worst = sorted(aimed, key=lambda agent: -costs[agent])[:10]
    assert max(cost(agent, runs=4) for agent in worst) < 10 * plain
    assert sum(costs.values()) < 5 * plain * len(costs)


def test_the_cache_of_device_names_is_bounded() -> None:
    assert devices._device.cache_info().maxsize == 1024


# Hostile clients on the pages, on every store.

LISTED = 100


@pytest.fixture
def person(every_store: str, settings: Any) -> Any:
    """A user of the account pages, on each store."""
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_REDIRECT_URL = "/account/logged-out/"
    return get_user_model().objects.create_user("ann", password="secret")


urlpatterns = [path("account/", include("django_srvsession.urls"))]


def signed_in(agent: str) -> Client:
    browser = Client(REMOTE_ADDR="192.0.2.1", HTTP_USER_AGENT=agent)
    page = browser.get(reverse("srvsession:login"))
    assert_harmless(page)
    answer = browser.post(reverse("srvsession:login"), {"username": "ann", "password": "secret"})
    assert answer.status_code == 302, answer.content
    return browser


class Tags(HTMLParser):
    """The start tags of a page: each name with its attributes."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_harmless(page: Any) -> None:
    """Assert that a page is shown, and that nothing in it can act on a browser or turn its text around."""
    assert page.status_code == 200
    body = page.content.decode()
    odd = {character for character in body if not character.isprintable()} - {"\n", "\xa0"}
    assert odd == set()
    assert len(body) < 10_000 + 4_000 * LISTED
    for tag, attributes in Tags(page).tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "script" or attributes.get("src"), "A script of its own stands in the page."
        spoken = {"aria-label", "title", "alt"}  # Texts for people, as a device's name is one: not acted on.
        assert "alert(1)" not in str({name: attributes[name] for name in attributes if name not in spoken}), tag


def test_hostile_user_agents_sign_in_and_are_listed_on_every_store(person: Any, every_store: str) -> None:
    aimed = aimed_agents(MAX_USER_AGENT, every=3)[: LISTED - len(AGENTS)]
    agents = [*aimed, *AGENTS.values()]
    browsers = [signed_in(agent) for agent in agents]
    records = {record.sid: record for record in services.sessions_of(person)}
    assert len(records) == len(agents) == LISTED
    for browser, agent in zip(browsers, agents, strict=True):
        assert records[str(browser.session.sid)].client == client(agent=agent), agent[:80]
    shown = [browsers[-1].get(reverse("srvsession:sessions"), {"page": number}) for number in (1, 2)]
    for page in shown:
        assert_harmless(page)
    missing = [sid for sid in records if not any(sid in page.content.decode() for page in shown)]
    assert missing == []


def test_a_session_with_markup_for_a_name_is_ended_and_named_without_harm(
    person: Any, every_store: str, settings: Any
) -> None:
    settings.SRVSESSION_DEVICE_NAME = lambda record: record.client.user_agent
    browser, other = signed_in("Firefox/128.0"), signed_in(AGENTS["a script as the browser's name"])
    page = browser.get(reverse("srvsession:sessions"))
    assert_harmless(page)
    assert "&lt;script&gt;alert(1)" in page.content.decode()
    url = reverse("srvsession:end", args=[other.session.sid])
    assert_harmless(browser.post(url, follow=True))
    assert len(services.sessions_of(person)) == 1


def test_a_forged_address_reaches_no_record_on_any_store(person: Any, every_store: str, settings: Any) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = PROXIES
    browser = Client(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"{MARKUP}, 1.2.3.4, 2001:db8::7, 10.0.0.2")
    browser.post(reverse("srvsession:login"), {"username": "ann", "password": "secret"})
    assert [record.client.ip for record in services.sessions_of(person)] == ["2001:db8::7"]
    assert "1.2.3.4" not in browser.get(reverse("srvsession:sessions")).content.decode()
