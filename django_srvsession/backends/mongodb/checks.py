"""What can be wrong with ``SRVSESSION_MONGODB``, with its server, and with the indexes there, as system checks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from django_srvsession.backends.mongodb import indexes
from django_srvsession.backends.mongodb.configuration import EXAMPLE, Configuration, configuration
from django_srvsession.backends.mongodb.transport.threads import ThreadTransport
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.face import run_blocking

_LONGEST_S: Final = 10
_REPAIR: Final = "Run doctorsessions_srv --repair: it makes them, beside users."


def messages(deploy: bool) -> list[CheckMessage]:
    """Return what is wrong with the settings; with ``deploy``, for a real site, and with the server."""
    try:
        where = configuration()
    except ImproperlyConfigured as error:
        return [] if deploy else [Error(str(error), hint=f"Set it to, say, {EXAMPLE}.", id="srvsession.E121")]
    if why := _why_unusable(where):
        return [] if deploy else [Error(why, hint="See the options of PyMongo's MongoClient.", id="srvsession.E121")]
    return [*_without_tls(where), *_of_server(where)] if deploy else list(_of_settings(where))


def _why_unusable(where: Configuration) -> str:
    """Say what PyMongo finds wrong with address and options; it connects to nobody for that."""
    if where.host.startswith("mongodb+srv://"):
        return ""  # It would ask for the names of the servers.
    try:
        MongoClient(connect=False, **where.client_options).close()
    except (PyMongoError, TypeError, ValueError) as error:
        text = str(error)
        # It may quote the address, with its password.
        said = f": {text}" if "@" not in text and "//" not in text else "."
        return f"PyMongo cannot use what {where.whose} says ({type(error).__name__}){said}"
    return ""


def _of_settings(where: Configuration) -> Iterator[CheckMessage]:
    said = where.said
    patient = [name for name, limit_s in where.limits_s.items() if limit_s is None or limit_s > _LONGEST_S]
    if patient:
        text = f"{where.whose} gives {' and '.join(patient)} no limit, or one of more than ten seconds."
        hint = "A MongoDB that hangs would hang every request. Leave the time-outs out: timeoutMS is 3000 then."
        yield Warning(text, hint=hint, id="srvsession.W121")
    w, journal = str(said.get("w", "majority")), str(said.get("journal", said.get("j", True))).lower()
    if w != "majority" or journal == "false":
        text = f"{where.whose} asks for less than the majority's acknowledgement (w={w}, journal={journal})."
        hint = "After a fail-over, sessions that were ended would live again, and saves be lost. Leave both out."
        yield Warning(text, hint=hint, id="srvsession.W122")
    preference = str(said.get("readpreference", "primary"))
    if preference != "primary" and not where.alias:
        text = f"{where.whose} asks to read with readPreference {preference}, and sessions are read from the primary."
        hint = "On a secondary, a session that was ended would open for a while. Take it out."
        yield Warning(text, hint=hint, id="srvsession.W123")


def _without_tls(where: Configuration) -> Iterator[CheckMessage]:
    said = where.said
    is_tls = where.host.startswith("mongodb+srv://") or any(_is_on(said.get(name)) for name in ("tls", "ssl"))
    if is_tls or all(map(_is_here, where.servers)):
        return
    text = f"{where.whose} reaches MongoDB over the network without TLS."
    hint = "Who can listen there reads what sessions hold, and the password. Add tls=true to the address."
    yield Warning(text, hint=hint, id="srvsession.W124")


def _is_on(value: Any) -> bool:
    return str(value).lower() == "true"


def _is_here(server: str) -> bool:
    """Tell whether a server is on this machine: by a socket, or by its own address."""
    name = unquote(server)
    if name.startswith("/") or name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _of_server(where: Configuration) -> Iterator[CheckMessage]:
    try:
        missing = run_blocking(indexes.missing(ThreadTransport(where)))
    except StoreUnavailableError as error:
        text = f"The MongoDB of {where.whose} does not answer: {error}"
        yield Warning(text, hint="Run this check where MongoDB can be reached.", id="srvsession.W126")
        return
    if missing:
        names = ", ".join(index.full_name for index in missing)
        text = f"The MongoDB of {where.whose} lacks indexes that lists and clearing need: {names}."
        yield Warning(text, hint=_REPAIR, id="srvsession.W125")
