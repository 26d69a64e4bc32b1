"""Where an address is, by the site's GeoIP database, if it has one: a hint for people, never a proof.

Django's own ``django.contrib.gis.geoip2`` reads it: set ``GEOIP_PATH`` to a GeoLite2 or DB-IP database (city or
country) and install the package ``geoip2``. Without either there are no places.
"""

from __future__ import annotations

import ipaddress
import logging
from functools import cache, lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from django_srvsession.escaping import escaped

_SETTINGS: Final = ("GEOIP_PATH", "GEOIP_CITY", "GEOIP_COUNTRY")

log = logging.getLogger("django_srvsession")


@lru_cache(maxsize=1024)
def location_of(ip: str) -> str:
    """Return the place of an address, as "Seoul, South Korea", in the database's own words; empty if it is not known.

    Never raises: a missing or damaged database is logged once, and a private address has no place.
    """
    try:
        address = ipaddress.ip_address(ip)  # Django would ask the name service for anything else.
    except ValueError:
        return ""
    reader = _reader()
    if reader is None:
        return ""
    # Django's own test of the kind, so that a country database is not asked for a city.
    found = _looked_up(reader.city if reader.is_city else reader.country, address)
    return ", ".join(name for name in (found.get("city"), found.get("country_name")) if name)


def _looked_up(ask: Any, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> dict[str, Any]:
    from geoip2.errors import GeoIP2Error
    from maxminddb import InvalidDatabaseError

    try:
        return dict(ask(address))
    except (GeoIP2Error, InvalidDatabaseError, OSError, ValueError) as error:
        log.debug("No place is known for an address: %s", type(error).__name__)
        return {}


@cache
def _reader() -> Any:
    """Return the database, opened once per process, or None."""
    if not getattr(settings, "GEOIP_PATH", None):
        return None
    from django.contrib.gis import geoip2

    if not geoip2.HAS_GEOIP2:
        log.warning("GEOIP_PATH is set, and the package geoip2 is not installed: no places are shown.")
        return None
    from maxminddb import InvalidDatabaseError

    try:
        return geoip2.GeoIP2()
    except (geoip2.GeoIP2Exception, InvalidDatabaseError, OSError) as error:
        log.warning("GEOIP_PATH cannot be used, and no places are shown: %s", escaped(error))
        return None


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in _SETTINGS:
        _reader.cache_clear()
        location_of.cache_clear()


setting_changed.connect(_forget, dispatch_uid="srvsession.places")
