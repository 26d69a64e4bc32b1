"""Where an address is, by the site's GeoIP database, if it has one: a hint for people, never a proof.

The settings are those of Django's own ``django.contrib.gis.geoip2``: set ``GEOIP_PATH`` to a GeoLite2 or DB-IP database
(city or country), and install the package ``maxminddb``. Without either there are no places. Django's own reader is not
used, because it knows English names only. A place is looked up where it is shown, and stored nowhere.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.translation import get_language

from django_srvsession.escaping import escaped

_SETTINGS: Final = ("GEOIP_PATH", "GEOIP_CITY", "GEOIP_COUNTRY")
_KINDS: Final = ("City", "Country")

log = logging.getLogger("django_srvsession")


def location_of(ip: str) -> str:
    """Return the place of an address, as "Seoul, South Korea", in the database's own words; empty if it is not known.

    In the active language, or else in English. Never raises: a missing or damaged database is logged once, and a
    private address has no place.
    """
    language = (get_language() or "en").lower()
    return ", ".join(name for name in (_in(language, names) for names in _names_of(ip)) if name)


def _in(language: str, names: Mapping[Any, Any]) -> str:
    """Return the name in a language, or in one like it (pt-BR for pt); in English, if there is none."""
    known = {str(code).lower(): name for code, name in names.items() if isinstance(name, str)}
    alike = {code.split("-")[0]: name for code, name in known.items()}
    return known.get(language) or alike.get(language.split("-")[0]) or known.get("en", "")


@lru_cache(maxsize=1024)
def _names_of(ip: str) -> tuple[Mapping[Any, Any], ...]:
    """Return what the city and the country of an address are called, by language."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ()
    if (reader := _reader()) is None:
        return ()
    found = _looked_up(reader, address)
    return tuple(_mapping(_mapping(found.get(part)).get("names")) for part in ("city", "country"))


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}  # A database may hold anything.


def _looked_up(reader: Any, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Mapping[Any, Any]:
    from maxminddb import InvalidDatabaseError

    try:
        return _mapping(reader.get(address))
    except (InvalidDatabaseError, OSError, TypeError, ValueError) as error:
        log.debug("No place is known for an address: %s", type(error).__name__)
        return {}


@cache
def _reader() -> Any:
    """Return the database, opened once per process, or None."""
    if not (path := getattr(settings, "GEOIP_PATH", None)):
        return None
    try:
        import maxminddb
    except ImportError:
        log.warning("GEOIP_PATH is set, and the package maxminddb is not installed: no places are shown.")
        return None
    try:
        reader = maxminddb.open_database(_file(Path(path)))
        if not any(kind in reader.metadata().database_type for kind in _KINDS):
            raise ValueError("It is a database of neither cities nor countries.")
    except (maxminddb.InvalidDatabaseError, OSError, TypeError, ValueError) as error:
        log.warning("GEOIP_PATH cannot be used, and no places are shown: %s", escaped(error))
        return None
    return reader


def _file(path: Path) -> Path:
    """Return the database that is meant: the path itself, or a file in that directory, cities first."""
    city = getattr(settings, "GEOIP_CITY", "GeoLite2-City.mmdb")
    country = getattr(settings, "GEOIP_COUNTRY", "GeoLite2-Country.mmdb")
    return next((file for file in (path, path / city) if file.is_file()), path / country)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in _SETTINGS:
        _reader.cache_clear()
        _names_of.cache_clear()


setting_changed.connect(_forget, dispatch_uid="srvsession.places")
