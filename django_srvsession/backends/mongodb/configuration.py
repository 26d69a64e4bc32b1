"""Where the sessions are, and how to get there: what ``SRVSESSION_MONGODB`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf

SETTING: Final = "SRVSESSION_MONGODB"
EXAMPLE: Final = '{"HOST": "mongodb://127.0.0.1:27017", "NAME": "site"}'
_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_BACKEND: Final = "django_mongodb_backend"
_CREDENTIALS: Final = {"USER": "username", "PASSWORD": "password"}
_KEYS: Final = frozenset({"HOST", "NAME", "OPTIONS", "USING"})

DEFAULTS: Final[Mapping[str, Any]] = {
    "appname": "django-srvsession",
    "w": "majority",
    "journal": True,
    "serverSelectionTimeoutMS": 2000,
    "connectTimeoutMS": 2000,
    "timeoutMS": 3000,
}
"""What PyMongo is told where neither the address nor the options say otherwise.

``timeoutMS`` is for all that a command takes, to find a server included: PyMongo asks for no other limit beside it.
"""


class Configuration(NamedTuple):
    """Hold the address of a deployment, the name of the database in it, and options of PyMongo's client.

    ``alias`` is the entry of ``DATABASES`` that this was read from, if any.
    """

    host: str
    name: str
    options: Mapping[str, Any]
    alias: str = ""

    @property
    def said(self) -> dict[str, Any]:
        """Return the options that somebody has set, in lower case: in the address, or beside it, which counts more."""
        in_address = {name.lower(): value for name, value in parse_qsl(urlsplit(self.host).query)}
        return in_address | {name.lower(): value for name, value in self.options.items()}

    @property
    def client_options(self) -> dict[str, Any]:
        """Return what PyMongo's clients are made with."""
        said = self.said
        if "sockettimeoutms" in said:
            said.setdefault("timeoutms", None)  # Who sets the older limits does not get the newer one, too.
        defaults = {name: value for name, value in DEFAULTS.items() if name.lower() not in said}
        return {"host": self.host, **defaults, **self.options}

    @property
    def timeout_s(self) -> float | None:
        """Return how long one command may take, finding a server included, in seconds; None: other limits count."""
        said = self.said
        if "timeoutms" in said or "sockettimeoutms" not in said:
            return _seconds(said.get("timeoutms", DEFAULTS["timeoutMS"]))
        return None

    @property
    def limits_s(self) -> dict[str, float | None]:
        """Return the limits that count, by the names of their options; None: there is no such limit."""
        if self.timeout_s is not None:
            return {"timeoutMS": self.timeout_s}
        said = self.said
        find = said.get("serverselectiontimeoutms", DEFAULTS["serverSelectionTimeoutMS"])
        return {"serverSelectionTimeoutMS": _seconds(find), "socketTimeoutMS": _seconds(said.get("sockettimeoutms"))}

    @property
    def whose(self) -> str:
        """Return what the settings are called that say this."""
        return f"DATABASES[{self.alias!r}]" if self.alias else SETTING

    @property
    def servers(self) -> list[str]:
        """Return the names of the servers in the address, without their ports."""
        location = urlsplit(self.host).netloc if "://" in self.host else self.host
        return [_without_port(server) for server in location.rpartition("@")[2].split(",")]


def _seconds(milliseconds: Any) -> float | None:
    """Return a limit in seconds; None for none, for 0, and for what is no number."""
    try:
        return float(milliseconds) / 1000 or None
    except (TypeError, ValueError):
        return None


def _without_port(server: str) -> str:
    if server.startswith("["):
        return server[1:].partition("]")[0]
    return server.partition(":")[0]


def configuration() -> Configuration:
    """Return what the settings say; raises ``ImproperlyConfigured``."""
    said = conf.mongodb
    if said is None:
        raise ImproperlyConfigured(f"{SETTING} is not set. Set it to, say, {EXAMPLE}.")
    if unknown := said.keys() - _KEYS:
        raise ImproperlyConfigured(f"{SETTING} has {', '.join(sorted(map(str, unknown)))}, which is not known.")
    return _of_alias(said["USING"], said) if "USING" in said else _own(said)


def _own(said: Mapping[str, Any]) -> Configuration:
    host = said.get("HOST")
    if not isinstance(host, str) or not host.startswith(_SCHEMES):
        raise ImproperlyConfigured(f'HOST of {SETTING} must be an address, such as "mongodb://127.0.0.1:27017".')
    return Configuration(host, _name(said.get("NAME"), host, SETTING), _options(said, SETTING))


def _of_alias(alias: str, said: Mapping[str, Any]) -> Configuration:
    """Read an entry of ``DATABASES`` as django-mongodb-backend does; ``OPTIONS`` of ours count more than its own."""
    if "HOST" in said:
        raise ImproperlyConfigured(f"{SETTING} has both HOST and USING: set one of them.")
    entry, whose = settings.DATABASES.get(alias), f"DATABASES[{alias!r}]"
    if entry is None:
        raise ImproperlyConfigured(f"{SETTING} names {whose}, which is not there.")
    if entry.get("ENGINE") != _BACKEND:
        raise ImproperlyConfigured(f"{SETTING} names {whose}, whose ENGINE is not {_BACKEND}.")
    host = str(entry.get("HOST") or "127.0.0.1")
    own: dict[str, Any] = {option: entry[key] for key, option in _CREDENTIALS.items() if entry.get(key)}
    if entry.get("PORT"):
        own["port"] = int(entry["PORT"])
    options = {**_options(entry, whose), **own, **_options(said, SETTING)}
    return Configuration(host, _name(said.get("NAME") or entry.get("NAME"), host, whose), options, alias)


def _name(name: Any, host: str, whose: str) -> str:
    name = name or urlsplit(host).path.lstrip("/")
    if not isinstance(name, str) or not name:
        raise ImproperlyConfigured(f"{whose} names no database: set NAME.")
    return name


def _options(said: Mapping[str, Any], whose: str) -> dict[str, Any]:
    options = said.get("OPTIONS") or {}
    if not isinstance(options, dict):
        raise ImproperlyConfigured(f"OPTIONS of {whose} must be a dict.")
    return options
