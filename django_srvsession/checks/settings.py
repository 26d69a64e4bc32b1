"""Settings of ours: names that do not exist, values of the wrong kind, and values that make no sense together."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch

from django_srvsession import conf, deprecation
from django_srvsession.clients import address as client_address
from django_srvsession.records import ROTATION_GRACE_MS

_LONGEST_MS: Final = 10 * 365 * 86_400_000
_LOCAL: Final = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Report ``SRVSESSION_*`` settings that do not exist, or whose value is not of their kind."""
    messages: list[CheckMessage] = []
    for full_name in filter(lambda name: name.startswith(conf.PREFIX), dir(settings)):
        name = full_name.removeprefix(conf.PREFIX)
        if full_name in deprecation.NAMES:
            messages.append(Warning(deprecation.text_of(full_name), id="srvsession.W017"))
        if name not in conf.SETTINGS and full_name not in deprecation.NAMES:
            near = difflib.get_close_matches(name, conf.SETTINGS, n=1)
            hint = f"Did you mean {conf.PREFIX}{near[0]}?" if near else None
            messages.append(Warning(f"There is no setting {full_name}.", hint=hint, id="srvsession.W001"))
        elif name in conf.SETTINGS and (error := _error_of(name)):
            messages.append(Error(str(error), id="srvsession.E002"))
    return [*messages, *_misspelt_prefixes()]


def _misspelt_prefixes() -> Iterator[CheckMessage]:
    """Report names such as ``SRVSESION_BIND``: nobody reads them, and the site believes that they hold."""
    ours = conf.PREFIX.removesuffix("_")
    for full_name in dir(settings):
        for name in conf.SETTINGS:
            prefix = full_name.removesuffix(f"_{name}")
            if prefix in (full_name, ours) or difflib.SequenceMatcher(None, prefix, ours).ratio() < 0.9:
                continue
            hint = f"Did you mean {conf.PREFIX}{name}?"
            yield Warning(f"There is no setting {full_name}.", hint=hint, id="srvsession.W001")


def _error_of(name: str) -> ImproperlyConfigured | None:
    try:
        conf.read(name)
        if name == "TRUSTED_PROXIES":
            client_address.trusted_proxies()
        if name == "REAUTH_URL" and conf.read(name) is not None:
            resolve_url(conf.read(name))
    except ImproperlyConfigured as error:
        return error
    except NoReverseMatch:
        text = f"{conf.PREFIX}{name} is {conf.read(name)!r}, which is no URL and no name of one."
        return ImproperlyConfigured(text)
    return None


def check_settings_together(**kwargs: Any) -> list[CheckMessage]:
    """Report durations that contradict each other, that end every session at once, or that no one can have meant."""
    durations = {name: _duration(name) for name, its in conf.SETTINGS.items() if its.kind.startswith("duration")}
    return [*_contradictions(durations), *_absurd(durations), *_everybodys_proxies(), *_header_of_nobody()]


def check_settings_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report a site on which a stolen key is good for ever, and for everything."""
    names = ("IDLE_TIMEOUT", "MAX_LIFETIME", "MAX_SESSIONS_PER_USER", "REAUTH_AGE")
    if any(_error_of(name) or conf.read(name) is not None for name in names):
        return []
    text = "No limit of time or number ends a session that is in use, and nothing asks again who somebody is."
    hint = "Set SRVSESSION_IDLE_TIMEOUT and SRVSESSION_MAX_LIFETIME, or at least SRVSESSION_REAUTH_AGE."
    return [Warning(text, hint=hint, id="srvsession.W016")]


def _everybodys_proxies() -> Iterator[CheckMessage]:
    """Yield an error where the trusted networks hold so many addresses that a visitor may have one."""
    if _error_of("TRUSTED_PROXIES"):
        return
    networks = client_address.trusted_proxies().networks
    v4 = ipaddress.collapse_addresses(network for network in networks if isinstance(network, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(network for network in networks if isinstance(network, ipaddress.IPv6Network))
    wide = [network for network in v4 if network.prefixlen < 8]
    wide6 = [network for network in v6 if network.prefixlen < 16 and not any(map(network.subnet_of, _LOCAL))]
    if wide or wide6:
        which = ", ".join(map(str, (*wide, *wide6)))
        text = f"SRVSESSION_TRUSTED_PROXIES holds {which}: visitors are believed what they say of their own address."
        yield Error(text, hint="Name the networks of your own proxies only.", id="srvsession.E013")


def _header_of_nobody() -> Iterator[CheckMessage]:
    if _error_of("CLIENT_IP") or _error_of("TRUSTED_PROXIES"):
        return
    if isinstance(conf.client_ip, str) and not conf.trusted_proxies:
        text = f"SRVSESSION_CLIENT_IP is {conf.client_ip!r}, a header that is believed of nobody."
        hint = "Set SRVSESSION_TRUSTED_PROXIES to the proxies that set it, or SRVSESSION_CLIENT_IP to a function."
        yield Warning(text, hint=hint, id="srvsession.W018")


def _duration(name: str) -> int | None:
    """Return a duration in milliseconds; None also for one that is reported already."""
    return None if _error_of(name) else conf.read(name)


def _contradictions(durations: dict[str, int | None]) -> Iterator[CheckMessage]:
    if _is_above(durations, "IDLE_TIMEOUT", "MAX_LIFETIME"):
        yield _warning("IDLE_TIMEOUT", "is longer than SRVSESSION_MAX_LIFETIME: it never takes effect", "W006")
    if _is_above(durations, "REMEMBER_AGE", "MAX_LIFETIME") and "REMEMBER_AGE" in _set_names():
        text = 'is longer than SRVSESSION_MAX_LIFETIME: "keep me signed in" does not keep anybody so long'
        yield _warning("REMEMBER_AGE", text, "W006")
    if _is_above(durations, "TOUCH_INTERVAL", "IDLE_TIMEOUT"):
        text = "is longer than SRVSESSION_IDLE_TIMEOUT: the use of a session is recorded every tenth of that instead"
        yield _warning("TOUCH_INTERVAL", text, "W007")
    keep_ms = durations["ENDED_KEEP"]
    if keep_ms is not None and keep_ms < ROTATION_GRACE_MS:
        text = "is below a minute: requests that are under way when a session ends may begin a new one"
        yield _warning("ENDED_KEEP", text, "W009")


def _absurd(durations: dict[str, int | None]) -> Iterator[CheckMessage]:
    for name in ("ANONYMOUS_AGE", "IDLE_TIMEOUT", "MAX_LIFETIME", "BROWSER_SESSION_AGE", "REMEMBER_AGE"):
        if durations[name] == 0:
            yield _warning(name, "is 0, which is no time at all. None means: no such limit", "W008")
    for name, duration_ms in durations.items():
        if duration_ms is not None and duration_ms > _LONGEST_MS:
            yield _warning(name, "is more than ten years: it is in seconds, not in milliseconds", "W008")


def _is_above(durations: dict[str, int | None], name: str, other: str) -> bool:
    value, bound = durations[name], durations[other]
    return value is not None and bound is not None and bound > 0 and value > bound


def _set_names() -> set[str]:
    return {name.removeprefix(conf.PREFIX) for name in dir(settings) if name.startswith(conf.PREFIX)}


def _warning(name: str, text: str, number: str) -> Warning:
    return Warning(f"{conf.PREFIX}{name} {text}.", id=f"srvsession.{number}")
