"""Where a request comes from: address and user agent, as hints for people, never as proof.

The address is ``REMOTE_ADDR``, unless that is one of ``SRVSESSION_TRUSTED_PROXIES``: then the rightmost entry of
``X-Forwarded-For`` that is not (what stands left of it, anyone may have written; ASVS 4.1.3), or the one address in
the header that ``SRVSESSION_CLIENT_IP`` names. No other header is believed. A server behind a Unix socket knows no
address; the entry ``"unix:"`` trusts what comes through the socket. A function in ``SRVSESSION_CLIENT_IP`` decides by
itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from django_srvsession import conf
from django_srvsession.clients import header
from django_srvsession.clients.devices import APP_MARK
from django_srvsession.records import Client

MAX_USER_AGENT: Final = 256
UNIX_SOCKET: Final = "unix:"
_MAX_FORWARDED: Final = 2048  # The rightmost part holds the entries of our own proxies.
# An address as proxies write it: bare, with a port, or in brackets, which an IPv6 address with a port needs.
_ENTRY: Final = re.compile(r"\[(?P<bracketed>[^\]]*)\](?::\d+)?|(?P<ipv4>[\d.]+):\d+|(?P<bare>[^\[\]]*)", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Trusted:
    """Hold which senders of ``X-Forwarded-For`` are believed."""

    networks: tuple[Network, ...]
    unix_socket: bool

    def __contains__(self, address: object) -> bool:
        """Tell whether a sender is believed; None is one without an address."""
        return self.unix_socket if address is None else any(address in network for network in self.networks)


def client_of(request: HttpRequest) -> Client:
    """Return address and user agent of a request, cleaned, cut, and kept as ``SRVSESSION_STORE_IP`` says.

    The user agent of an app, which brings its key in a header, is marked as one.

    Raises ``ImproperlyConfigured`` when ``SRVSESSION_TRUSTED_PROXIES`` is no list of networks.
    """
    agent = _printable(str(request.META.get("HTTP_USER_AGENT", "")))
    if header.is_used(request):
        agent = (APP_MARK + agent)[:MAX_USER_AGENT]
    return Client(ip=_stored_form(address_of(request)), user_agent=agent)


def address_of(request: HttpRequest) -> Address | None:
    """Return the client's address, or None when there is none (a Unix socket that is not trusted, a function's word).

    Raises as :func:`client_of`.
    """
    chosen = conf.client_ip
    if callable(chosen):
        return _parse(str(chosen(request)))
    trusted = trusted_proxies()
    remote = str(request.META.get("REMOTE_ADDR", ""))
    nearest = _parse(remote)
    if nearest not in trusted or (nearest is None and remote not in ("", UNIX_SOCKET)):
        return nearest
    if chosen is not None:
        return _parse(str(request.headers.get(chosen, ""))) or nearest
    for entry in reversed(_entries(str(request.META.get("HTTP_X_FORWARDED_FOR", "")))):
        address = _parse(entry)
        if address is None:
            return nearest  # Malformed: what stands left of it cannot be told from a forgery.
        if address not in trusted:
            return address
        nearest = address
    return nearest


def trusted_proxies() -> Trusted:
    """Return ``SRVSESSION_TRUSTED_PROXIES``, parsed.

    Raises ``ImproperlyConfigured`` when it is no list of networks.
    """
    value = conf.trusted_proxies
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ImproperlyConfigured(f"SRVSESSION_TRUSTED_PROXIES is {value!r}; it must be a list.")
    return _trusted(tuple(map(str, value)))


@lru_cache(maxsize=8)
def _trusted(names: tuple[str, ...]) -> Trusted:
    networks = tuple(_network(name) for name in names if name != UNIX_SOCKET)
    return Trusted(networks, UNIX_SOCKET in names)


def _network(name: str) -> Network:
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError as error:
        raise ImproperlyConfigured(f"SRVSESSION_TRUSTED_PROXIES: {error}.") from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - 96))


def _entries(forwarded: str) -> list[str]:
    """Return the entries of the header, of a long one the last; not the one that the cut went through."""
    entries = forwarded[-_MAX_FORWARDED:].split(",")
    return entries if len(forwarded) <= _MAX_FORWARDED else entries[1:]


def _parse(text: str) -> Address | None:
    """Parse an address, with the port, the brackets or the zone that some proxies add; None if it is none."""
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        return None
    address_text, _, zone = (found[found.lastgroup or 0] or "").partition("%")
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return None if zone else address


def _printable(text: str) -> str:
    """Return the start of a text without control, format, private and unassigned characters, and half characters.

    Those could act on a terminal, turn the direction of a page's text around, or be refused by a database.
    """
    text = text[: 2 * MAX_USER_AGENT]  # Before anything else looks at it: a header may have 60 kB.
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text.strip()[:MAX_USER_AGENT]


def _stored_form(address: Address | None) -> str:
    keep = conf.store_ip
    if address is None or keep == "none":
        return ""
    if keep == "truncated":
        bits = 24 if address.version == 4 else 48
        return str(ipaddress.ip_network((address, bits), strict=False).network_address)
    return str(address)
