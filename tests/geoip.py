"""A small GeoIP database, made here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

SEOUL = {
    "city": {"names": {"en": "Seoul", "ko": "서울", "ja": "ソウル"}},
    "country": {
        "iso_code": "KR",
        "names": {"en": "South Korea", "ko": "대한민국", "de": "Südkorea", "pt-BR": "Coreia do Sul"},
    },
}
NOWHERE = {"country": {"iso_code": "NZ", "names": {"en": "New Zealand"}}}
EVIL = {"city": {"names": {"en": "<script>alert(1)</script>"}}, "country": {"names": {"en": "X"}}}
PLACES: Mapping[str, Any] = {
    "203.0.113.0/24": SEOUL,
    "198.51.100.0/24": NOWHERE,
    "2001:db8::/32": SEOUL,
    "192.0.2.0/24": EVIL,
}


def write_database(file: Path, kind: str, places: Mapping[str, Any] = PLACES) -> Path:
    """Write a database of this kind, with the places of these networks."""
    writer = MMDBWriter(6, kind, languages=["en"], description="for tests", ipv4_compatible=True)
    for network, place in places.items():
        writer.insert_network(IPSet([str(ipaddress.ip_network(network))]), place)
    writer.to_db_file(str(file))
    return file
