"""Where a request comes from: address and user agent, as hints for people, never as proof.

The address is ``REMOTE_ADDR``, unless that is one of ``SRVSESSION_TRUSTED_PROXIES``: then the rightmost entry of
``X-Forwarded-For`` that is not (what stands left of it, anyone may have written; ASVS 4.1.3). No header but that one is
believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from django.http import HttpRequest

from django_srvsession import conf
from django_srvsession.records import Client

MAX_USER_AGENT: Final = 256
_MAX_FORWARDED: Final = 2048  # The rightmost part holds the entries of our own proxies.
# Control characters, and those that change the direction of the text around them; surrogates no database takes.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_of(request: HttpRequest) -> Client:
    """Return address and user agent of a request, cleaned, cut, and kept as ``SRVSESSION_STORE_IP`` says."""
    # Cut before anything else looks at it: a header may have 60 kB.
    agent = _UNSAFE.sub("", str(request.META.get("HTTP_USER_AGENT", ""))[: 2 * MAX_USER_AGENT])
    return Client(ip=_stored_form(address_of(request)), user_agent=agent.strip()[:MAX_USER_AGENT])


def address_of(request: HttpRequest) -> Address | None:
    """Return the client's address, or None when the server gave none (a Unix socket)."""
    nearest = _parse(str(request.META.get("REMOTE_ADDR", "")))
    trusted = _networks(tuple(conf.get("TRUSTED_PROXIES")))
    if nearest is None or not _is_in(nearest, trusted):
        return nearest
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))[-_MAX_FORWARDED:]
    for entry in reversed(forwarded.split(",")):
        address = _parse(entry)
        if address is None:
            return nearest  # Malformed: what stands left of it cannot be told from a forgery.
        if not _is_in(address, trusted):
            return address
        nearest = address
    return nearest


def _parse(text: str) -> Address | None:
    """Parse an address, with the port or brackets that some proxies add; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=8)
def _networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def _stored_form(address: Address | None) -> str:
    keep = conf.get("STORE_IP")
    if address is None or keep == "none":
        return ""
    if keep == "truncated":
        bits = 24 if address.version == 4 else 48
        return str(ipaddress.ip_network((address, bits), strict=False).network_address)
    return str(address)
