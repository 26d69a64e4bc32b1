"""Every setting of ours: its default, unit and meaning, read live.

Each is a typed attribute of this module, in lower case: ``SRVSESSION_TOUCH_INTERVAL`` is ``conf.touch_interval_ms``.
Durations are seconds or a ``timedelta`` in settings, and whole milliseconds here, the unit of records and stores.
To read one raises ``ImproperlyConfigured`` for a value that is not of the setting's kind. Django's own ``SESSION_*``
settings keep their meaning and are read where they are needed.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection
from datetime import datetime, time, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.module_loading import import_string

PREFIX: Final = "SRVSESSION_"
_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_HEADER: Final = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_OWN_HEADER: Final = re.compile(r"X(-[A-Za-z0-9]+)+")
_OTHERS_HEADERS: Final = re.compile(r"X-(Forwarded-.*|Real-IP|Requested-With|CSRF-?Token)", re.IGNORECASE)
_SERVICE: Final = re.compile(r"https://[^\s/?#]+[^\s#]*|http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?(/[^\s#]*)?")
_SITE: Final = re.compile(r"https?://[\w.-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")


class Setting(NamedTuple):
    """Describe one setting.

    ``kind`` is "duration" (seconds or timedelta), "count", "limit", "prefix", "choice", "choices", "names", "flag",
    "url", "site", "function", "header", "mapping", "binding", "providers", "engine" (the path of a module), "path",
    "date" or "plain".
    A "duration or None" or "count or None" may be switched off by None, though that is not its default.
    """

    default: Any
    kind: str
    meaning: str
    choices: tuple[str, ...] = ()


class Provider(NamedTuple):
    """Describe an identity provider, as its discovery document does, and what this site is called there."""

    issuer: str
    client_id: str
    jwks_uri: str
    end_session_endpoint: str = ""
    """Where a browser signs out there; empty: it does not."""
    post_logout_redirect_uri: str = ""
    """Where the provider sends it afterwards, as it is registered there; empty: it shows a page of its own."""
    logout_typ: str = "logout+jwt"
    """The ``typ`` of its logout tokens: older versions of some providers have "JWT"."""
    ssf_audience: str = ""
    """What this site is called in its security events (Shared Signals Framework); empty: none are taken."""
    ssf_issuer: str = ""
    """Who issues those; empty: the issuer."""
    ssf_jwks_uri: str = ""
    """Where the keys of those are; empty: where the others are."""

    @property
    def transmitter(self) -> str:
        """Return who issues its security events."""
        return self.ssf_issuer or self.issuer


_PROVIDER_NEEDS: Final = {
    "post_logout_redirect_uri": "end_session_endpoint",
    "ssf_issuer": "ssf_audience",
    "ssf_jwks_uri": "ssf_audience",
}
"""Which of a provider's fields mean nothing without another one."""

SETTINGS: Final[dict[str, Setting]] = {
    "IDLE_TIMEOUT": Setting(None, "duration", "Ends a session that was not used for so long. None: no such limit."),
    "MAX_LIFETIME": Setting(None, "duration", "Ends a session so long after sign-in, whatever its use."),
    "BROWSER_SESSION_AGE": Setting(
        timedelta(hours=12),
        "duration",
        "How long after its last use the server keeps a session whose cookie ends with the browser.",
    ),
    "ANONYMOUS_AGE": Setting(
        None,
        "duration",
        "How long a session in which nobody is signed in is kept after its last change. None: SESSION_COOKIE_AGE.",
    ),
    "TOUCH_INTERVAL": Setting(60, "duration", "A reading request records its use at most once in so long."),
    "LATE_SAVE": Setting(
        "discard",
        "choice",
        "A save that comes after the session was ended: discard it, or interrupt with status 400.",
        ("discard", "interrupt"),
    ),
    "ENDED_KEEP": Setting(timedelta(days=1), "duration", "How long an ended session's tombstone is kept."),
    "REMEMBER_AGE": Setting(
        timedelta(days=30), "duration", 'How long after its last change "keep me signed in" keeps a session.'
    ),
    "REAUTH_AGE": Setting(
        timedelta(minutes=15),
        "duration or None",
        "How old the last proof of the password may be where it is asked for again. None: never asked again.",
    ),
    "REAUTH_URL": Setting(
        None,
        "url",
        "Where who has no password here proves who they are: a URL, or a pattern's name. None: they are not asked.",
    ),
    "MAX_SESSIONS_PER_USER": Setting(
        None, "limit", "How many sessions a user may have: a number, a function of the user (or its path), or None."
    ),
    "LIMIT_POLICY": Setting(
        "end_oldest",
        "choice",
        "What becomes of a sign-in above that: it ends the session unseen for longest, or is refused.",
        ("end_oldest", "refuse"),
    ),
    "END_OTHERS_AFTER": Setting(
        ("password_changed", "email_changed"),
        "choices",
        "Which changes of a user end the user's other sessions at once.",
        ("password_changed", "email_changed"),
    ),
    "NOTIFY_NEW_DEVICE": Setting(False, "flag", "Mails a user after a sign-in on a device that is not known."),
    "NEW_DEVICE_MAILS": Setting(
        5, "count or None", "How many of these mails a user gets within an hour at most. None: all of them."
    ),
    "SITE_URL": Setting(
        None, "site", 'The site\'s own address, such as "https://example.com", for links in mails. None: as requested.'
    ),
    "CLEAR_SITE_DATA": Setting(
        ("storage",),
        "choices",
        "What the browser is asked to drop at sign-out: the words of the header Clear-Site-Data. Empty: nothing.",
        ("cache", "cookies", "storage", "executionContexts", "clientHints", "prefetchCache", "prerenderCache", "*"),
    ),
    "HEADER": Setting(
        None,
        "header",
        'The header in which native apps send the session\'s key, such as "X-Session-Token". None: only cookies count.',
    ),
    "CLIENT_IP": Setting(
        None,
        "client_ip",
        "The header of trusted proxies that holds the client's address, or a function of the request (or its path).",
    ),
    "TRUSTED_PROXIES": Setting((), "plain", "Networks (CIDR) whose X-Forwarded-For is believed."),
    "STORE_IP": Setting("full", "choice", "How much of a client's address is kept.", ("full", "truncated", "none")),
    "REDIS_PREFIX": Setting(
        "srvsession:",
        "prefix",
        "Comes before every key of ours in Redis: a text, or a function (or its path) that returns one for each use.",
    ),
    "CACHE_CHECK": Setting(
        60, "duration", "How long backends.cached_db believes a copy in Redis before it asks the database again."
    ),
    "ADMIN_REVEAL": Setting((), "names", "Session keys whose values the admin shows; of all others it shows the size."),
    "DEVICE_NAME": Setting(
        None,
        "function",
        "Names the device of a session: a function of its record (or the path of one). None: our own names.",
    ),
    "EVENT_LOG": Setting(
        None, "count or None", "For how many days the database keeps who signed in and how sessions ended. None: not."
    ),
    "BIND": Setting(
        None,
        "binding",
        'Whether sessions are bound to the device that signed in: "offer", "require", or a function of the user.',
        ("offer", "require"),
    ),
    "BIND_AGE": Setting(timedelta(minutes=10), "duration", "How long a bound browser goes without a new proof."),
    "BIND_SITE": Setting(
        None,
        "site",
        'The site whose hosts share the cookie, such as "https://example.com": a bound browser renews for all of them.',
    ),
    "BIND_VIOLATION": Setting(
        "refuse",
        "choice",
        "What becomes of a bound session that is used without its device's key: the use is refused, or it ends.",
        ("refuse", "end"),
    ),
    "OIDC": Setting(
        (),
        "providers",
        "The identity providers whose logouts end sessions here: issuer, client_id and jwks_uri of each, and more.",
    ),
    "LIVE_NOTIFY": Setting(
        False,
        "flag",
        "Whether PostgreSQL tells live connections of ends (NOTIFY), so that they are closed at once.",
    ),
    "MONGODB": Setting(
        None,
        "mapping",
        "Where the MongoDB of the sessions is: HOST, NAME and OPTIONS, or USING, an alias in DATABASES.",
    ),
    "MEMORY_MAX_SESSIONS": Setting(10_000, "count", "How many sessions the memory store holds at most."),
    "MIGRATE_FROM": Setting(
        None, "engine", "The engine that visitors come from: who has a key of it is carried over to SESSION_ENGINE."
    ),
    "MIGRATE_TO": Setting(
        None,
        "engine",
        "The engine that visitors will go to, or have gone to: who has a key of it is served from there.",
    ),
    "MIGRATE_UNTIL": Setting(None, "date", "When that ends. After it no key of the other engine opens anything."),
    "MIGRATE_SERIALIZER": Setting(
        None, "path", "What reads the values of the other engine. None: SESSION_SERIALIZER, unless it makes objects."
    ),
}

# What code reads, by type. The first use finds the value (``__getattr__``); from then on it is a plain attribute.

idle_timeout_ms: int | None
max_lifetime_ms: int | None
browser_session_age_ms: int
anonymous_age_ms: int | None
touch_interval_ms: int
late_save: str
ended_keep_ms: int
remember_age_ms: int
reauth_age_ms: int | None
reauth_url: Any
max_sessions_per_user: int | Callable[[Any], Any] | None
limit_policy: str
end_others_after: tuple[str, ...]
notify_new_device: bool
new_device_mails: int | None
site_url: str | None
clear_site_data: tuple[str, ...]
header: str | None
client_ip: str | Callable[[Any], Any] | None
trusted_proxies: Any
store_ip: str
redis_prefix: str | Callable[[], Any]
cache_check_ms: int
admin_reveal: Collection[str]
device_name: Callable[[Any], Any] | None
event_log: int | None
bind: str | Callable[[Any], Any] | None
bind_age_ms: int
bind_site: str | None
bind_violation: str
oidc: tuple[Provider, ...]
live_notify: bool
mongodb: dict[str, Any] | None
memory_max_sessions: int
migrate_from: str | None
migrate_to: str | None
migrate_until_ms: int | None
migrate_serializer: type[Any] | None


def attribute_of(name: str) -> str:
    """Return what the setting ``SRVSESSION_<name>`` is called in this module."""
    return name.lower() + ("_ms" if SETTINGS[name].kind.startswith(("duration", "date")) else "")


_NAMES: Final = {attribute_of(name): name for name in SETTINGS}


def __getattr__(attribute: str) -> Any:
    name = _NAMES.get(attribute)
    if name is None:
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    value = globals()[attribute] = read(name)
    return value


def read(name: str) -> Any:
    """Return the setting ``SRVSESSION_<name>`` as it stands now; a duration or a date as milliseconds, or None.

    Raises ``ImproperlyConfigured`` for a value that is not of the setting's kind.
    """
    setting = SETTINGS[name]
    return _checked(name, setting, getattr(settings, PREFIX + name, setting.default))


_cache: dict[str, Any] = {}


def secrets() -> tuple[str | bytes, ...]:
    """Return ``SECRET_KEY`` and after it ``SECRET_KEY_FALLBACKS``; every request needs them several times."""
    try:
        return _cache["secrets"]  # type: ignore[no-any-return]
    except KeyError:
        _cache["secrets"] = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        return _cache["secrets"]  # type: ignore[no-any-return]


def is_moving() -> bool:
    """Tell whether a setting names another engine, whose keys stand for sessions too."""
    this = sys.modules[__name__]
    return this.migrate_from is not None or this.migrate_to is not None  # Looked up there, as it may not be read yet.


def flag(name: str) -> bool:
    """Return one of Django's own settings that is on or off.

    Raises ``ImproperlyConfigured`` for anything else: the text "False", out of an environment variable, would be on.
    """
    try:
        return _cache[name]  # type: ignore[no-any-return]
    except KeyError:
        value = getattr(settings, name)
        if not is_flag(value):
            raise ImproperlyConfigured(f"{name} is {value!r}; it must be True or False.") from None
        _cache[name] = bool(value)
        return bool(value)


def is_flag(value: object) -> bool:
    """Tell whether a value is on or off, and no text that says so."""
    return value in (True, False, None)


def seconds(name: str, value: object) -> int | float:
    """Return a value of one of Django's own settings that is a number of seconds, 0 or more.

    Raises ``ImproperlyConfigured`` for anything else: a text multiplied by a thousand is a number of many digits.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    raise ImproperlyConfigured(f"{name} is {value!r}; it must be a number of seconds, 0 or more.")


def serializer() -> Any:
    """Return the class that ``SESSION_SERIALIZER`` names; every request needs it."""
    try:
        return _cache["SESSION_SERIALIZER"]
    except KeyError:
        _cache["SESSION_SERIALIZER"] = import_string(settings.SESSION_SERIALIZER)
        return _cache["SESSION_SERIALIZER"]


def _checked(name: str, setting: Setting, value: Any) -> Any:
    if setting.kind in ("duration", "duration or None"):
        return _milliseconds(name, setting, value)
    if setting.kind == "count or None" and value is None:
        return None
    if setting.kind in ("count", "count or None") and not is_limit(value):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be a whole number above 0.")
    if setting.kind == "limit":
        return _limit(name, value)
    if setting.kind == "prefix":
        return _prefix(name, value)
    if setting.kind == "client_ip":
        return _client_ip(name, value)
    if setting.kind == "header":
        return _header(name, value)
    if setting.kind == "function":
        return _function(name, value)
    if setting.kind == "binding":
        return _binding(name, setting, value)
    if setting.kind == "providers":
        return _providers(name, value)
    if setting.kind == "names" and not _are_names(value):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be a tuple of names.")
    if setting.kind == "url" and not (value is None or (isinstance(value, str | Promise) and str(value))):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be a URL, the name of one, or None.")
    if setting.kind == "site" and not (value is None or (isinstance(value, str) and _SITE.fullmatch(value))):
        raise ImproperlyConfigured(f'{PREFIX}{name} is {value!r}; it must be like "https://example.com", or None.')
    if setting.kind == "mapping" and not (value is None or isinstance(value, dict)):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {type(value).__name__}; it must be a dict, or None.")
    if setting.kind == "flag" and not isinstance(value, bool):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be True or False.")
    if setting.kind == "engine" and not (value is None or (isinstance(value, str) and _PATH.fullmatch(value))):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be the path of a session engine, or None.")
    if setting.kind == "path":
        return _class(name, value)
    if setting.kind == "date":
        return _instant_ms(name, value)
    if setting.kind == "choices":
        return _chosen(name, setting, value)
    if setting.kind == "choice" and value not in setting.choices:
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be one of {', '.join(setting.choices)}.")
    return value


def _imported(name: str, path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"{PREFIX}{name} cannot be imported: {error}.") from error


def _prefix(name: str, value: Any) -> str | Callable[[], Any]:
    if isinstance(value, str):
        if not _PATH.fullmatch(value):
            return value
        value = _imported(name, value)
    if callable(value):
        return value  # type: ignore[no-any-return]
    text = 'it must be a text such as "srvsession:", or a function without arguments, or the path of one'
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.")


def _function(name: str, value: Any) -> Callable[..., Any] | None:
    if isinstance(value, str):
        value = _imported(name, value)
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be a function, the path of one, or None.")


def _header(name: str, value: Any) -> str | None:
    """Return a header of the site's own: what browsers and proxies add by themselves would stand for an app."""
    if value is None:
        return None
    if isinstance(value, str) and _OWN_HEADER.fullmatch(value) and not _OTHERS_HEADERS.fullmatch(value):
        return value
    text = 'it must be None, or the name of a header that nothing else uses and that begins with "X-"'
    raise ImproperlyConfigured(f'{PREFIX}{name} is {value!r}; {text}, such as "X-Session-Token".')


def _class(name: str, value: Any) -> type[Any] | None:
    found = _imported(name, value) if isinstance(value, str) else value
    if found is None or isinstance(found, type):
        return found
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be the path of a class, or None.")


def _instant_ms(name: str, value: Any) -> int | None:
    """Return a date's beginning, or an instant, in milliseconds since 1970 UTC; naive ones in the site's time zone."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time.min)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.get_default_timezone())
        return int(moment.timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        text = 'it must be a date, an aware datetime, or a text such as "2030-01-31"'
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.") from None


def _binding(name: str, setting: Setting, value: Any) -> str | Callable[[Any], Any] | None:
    if isinstance(value, str) and value not in setting.choices and _PATH.fullmatch(value):
        value = _imported(name, value)
    if value is None or callable(value) or value in setting.choices:
        return value  # type: ignore[no-any-return]
    text = 'it must be "offer", "require", a function of the user, or the path of one, or None'
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.")


def _providers(name: str, value: Any) -> tuple[Provider, ...]:
    """Return identity providers; plain HTTP is for this machine alone, since whoever sits between is believed."""
    if not isinstance(value, list | tuple):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {type(value).__name__}; it must be a list of dicts.")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise ImproperlyConfigured(f"{PREFIX}{name}: entry {number} is {type(entry).__name__}; it must be a dict.")
        for field in Provider._fields:
            if field not in entry and field not in Provider._field_defaults:
                raise ImproperlyConfigured(f"{PREFIX}{name}: entry {number} has no {field}.")
        for field, told in entry.items():
            if field not in Provider._fields:
                known = ", ".join(Provider._fields)
                raise ImproperlyConfigured(f"{PREFIX}{name}: entry {number} has {field!r}; it may have {known}.")
            if not isinstance(told, str) or not told:
                text = f"{field} of entry {number} is {told!r}; it must be a text that says something"
                raise ImproperlyConfigured(f"{PREFIX}{name}: {text}.")
        for field in entry.keys() - {"client_id", "logout_typ", "ssf_audience"}:
            if not _SERVICE.fullmatch(entry[field]):
                raise ImproperlyConfigured(f"{PREFIX}{name}: {field} of entry {number} must be an https:// URL.")
        if entry.get("logout_typ", "JWT") not in ("JWT", "logout+jwt"):
            raise ImproperlyConfigured(f'{PREFIX}{name}: logout_typ of entry {number} must be "JWT", or left out.')
        for field, needed in _PROVIDER_NEEDS.items():
            if field in entry and needed not in entry:
                raise ImproperlyConfigured(f"{PREFIX}{name}: entry {number} has {field}, and no {needed}.")
        same = [(other["issuer"], other["client_id"]) for other in value[:number]]
        if (entry["issuer"], entry["client_id"]) in same:
            first = same.index((entry["issuer"], entry["client_id"]))
            text = f"entries {first} and {number} are one provider: they have the same issuer and client_id"
            raise ImproperlyConfigured(f"{PREFIX}{name}: {text}.")
    return tuple(Provider(**entry) for entry in value)


def _client_ip(name: str, value: Any) -> str | Callable[[Any], Any] | None:
    if isinstance(value, str):
        if _HEADER.fullmatch(value):
            return value
        value = _imported(name, value) if _PATH.fullmatch(value) else value
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    text = (
        'it must be the name of a header such as "CF-Connecting-IP", or a function of the request, or the path of one'
    )
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.")


def _limit(name: str, value: Any) -> int | Callable[[Any], Any] | None:
    if isinstance(value, str):
        value = _imported(name, value)
    if value is None or callable(value) or is_limit(value):
        return value  # type: ignore[no-any-return]
    text = "it must be a whole number above 0, a function of the user, or None"
    raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.")


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) for name in value)


def is_limit(value: object) -> bool:
    """Tell whether a value is a number of sessions that a user may have: whole, and above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _chosen(name: str, setting: Setting, value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list | tuple | set | frozenset) else (None,)
    if not all(chosen in setting.choices for chosen in names):
        text = f"it must be a tuple out of {', '.join(setting.choices)}"
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; {text}.")
    return tuple(names)


def _milliseconds(name: str, setting: Setting, value: Any) -> int | None:
    if value is None and (setting.default is None or setting.kind == "duration or None"):
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be seconds (0 or more) or a timedelta.")
    return int(value * 1000)


def _forget(*, setting: str, **kwargs: Any) -> None:
    _cache.pop("secrets" if setting.startswith("SECRET_KEY") else setting, None)
    name = setting.removeprefix(PREFIX)
    if name in SETTINGS:
        globals().pop(attribute_of(name), None)


setting_changed.connect(_forget, dispatch_uid="srvsession.conf")
