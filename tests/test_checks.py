"""System checks: one bad setting, one message with a stable id; good settings, none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import ConnectionHandler
from django_redis.client import DefaultClient

from django_srvsession.checks.live import check_live_notify_for_deployment
from tests.patience import patient
from tests.runs import ROOT, can_be_imported

OURS = "django_srvsession.middleware.SessionMiddleware"
STOCK = "django.contrib.sessions.middleware.SessionMiddleware"
REDIS = {
    "BACKEND": "django_redis.cache.RedisCache",
    "LOCATION": "redis://127.0.0.1:1/1",
    "OPTIONS": {"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5},
}
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def ids(deploy: bool = False) -> set[str]:
    """Return the ids of our messages; only those of ``--deploy`` with ``deploy``."""
    plain = {message.id for message in run_checks() if message.id}
    found = {message.id for message in run_checks(include_deployment_checks=True) if message.id} - plain
    return {id_ for id_ in (found if deploy else plain) if id_.startswith("srvsession.")}


@pytest.fixture
def redis_engine(settings: Any) -> Any:
    """Use the Redis engine with an alias of its own; nothing listens on its port."""
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    settings.SESSION_CACHE_ALIAS = "sessions"
    settings.CACHES = {"default": LOCMEM, "sessions": REDIS}
    return settings


@pytest.mark.parametrize("engine", ["memory", "db", "file"])
def test_good_settings_give_no_message(settings: Any, engine: str, tmp_path: Any) -> None:
    settings.SESSION_ENGINE = f"django_srvsession.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    assert ids() == set()


def test_a_good_redis_alias_gives_no_message_and_asks_no_server(redis_engine: Any) -> None:
    assert ids() == set()


def test_a_misspelt_setting_is_reported_with_the_nearest_name(settings: Any) -> None:
    settings.SRVSESSION_IDLE_TIMEOUTS = 60
    (message,) = [message for message in run_checks() if message.id == "srvsession.W001"]
    assert message.hint == "Did you mean SRVSESSION_IDLE_TIMEOUT?"


@pytest.mark.parametrize("name", ["SRVSESION_BIND", "SVRSESSION_BIND", "SRV_SESSION_BIND"])
def test_a_misspelt_prefix_is_reported_too(settings: Any, name: str) -> None:
    setattr(settings, name, "require")
    (message,) = [message for message in run_checks() if message.id == "srvsession.W001"]
    assert message.msg == f"There is no setting {name}."
    assert message.hint == "Did you mean SRVSESSION_BIND?"


@pytest.mark.parametrize("name", ["SESSION_IDLE_TIMEOUT", "USERSESSION_IDLE_TIMEOUT"])
def test_settings_of_other_packages_are_not_taken_for_ours(settings: Any, name: str) -> None:
    setattr(settings, name, 60)
    assert "srvsession.W001" not in ids()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDLE_TIMEOUT", "soon"),
        ("IDLE_TIMEOUT", -1),
        ("TOUCH_INTERVAL", None),
        ("LATE_SAVE", "maybe"),
        ("MEMORY_MAX_SESSIONS", 0),
        ("MEMORY_MAX_SESSIONS", True),
        ("STORE_IP", "half"),
        ("MAX_SESSIONS_PER_USER", 0),
        ("MAX_SESSIONS_PER_USER", -1),
        ("MAX_SESSIONS_PER_USER", True),
        ("MAX_SESSIONS_PER_USER", 2.5),
        ("MAX_SESSIONS_PER_USER", "3"),
        ("MAX_SESSIONS_PER_USER", "no.such.function"),
        ("LIMIT_POLICY", "end_newest"),
        ("END_OTHERS_AFTER", "password_changed"),
        ("END_OTHERS_AFTER", ("password",)),
        ("END_OTHERS_AFTER", None),
        ("NOTIFY_NEW_DEVICE", "yes"),
        ("NEW_DEVICE_MAILS", 0),
        ("NEW_DEVICE_MAILS", "5"),
        ("SITE_URL", "example.com"),
        ("SITE_URL", "https://example.com/path"),
        ("SITE_URL", "https://user@example.com"),
        ("SITE_URL", "https://example.com?a=b"),
        ("SITE_URL", "javascript:alert(1)"),
        ("SITE_URL", "https://example.com\n"),
        ("SITE_URL", ["https://example.com"]),
        ("SITE_URL", ""),
        ("TRUSTED_PROXIES", ["10.0.0.0/33"]),
        ("TRUSTED_PROXIES", ["proxy.example.com"]),
        ("TRUSTED_PROXIES", 8),
        ("CLIENT_IP", "HTTP_CF_CONNECTING_IP"),
        ("CLIENT_IP", "CF-Connecting-IP: 1"),
        ("CLIENT_IP", ""),
        ("CLIENT_IP", 7),
        ("CLIENT_IP", "no.such.function"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_reported(settings: Any, name: str, value: Any) -> None:
    setattr(settings, f"SRVSESSION_{name}", value)
    (message,) = [message for message in run_checks() if message.id == "srvsession.E002"]
    assert f"SRVSESSION_{name}" in message.msg


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_SESSIONS_PER_USER", 1),
        ("MAX_SESSIONS_PER_USER", None),
        ("MAX_SESSIONS_PER_USER", len),
        ("MAX_SESSIONS_PER_USER", "django_srvsession.services.sessions_of"),
        ("LIMIT_POLICY", "refuse"),
        ("END_OTHERS_AFTER", ()),
        ("END_OTHERS_AFTER", ["email_changed"]),
        ("NOTIFY_NEW_DEVICE", True),
        ("NEW_DEVICE_MAILS", None),
        ("SITE_URL", "https://example.com"),
        ("SITE_URL", "http://127.0.0.1:8000"),
        ("SITE_URL", "http://[::1]:8000"),
        ("SITE_URL", None),
        ("CLIENT_IP", None),
        ("CLIENT_IP", str),
        ("CLIENT_IP", "django.utils.http.parse_header_parameters"),
    ],
)
def test_a_value_of_its_kind_is_not_reported(settings: Any, name: str, value: Any) -> None:
    setattr(settings, f"SRVSESSION_{name}", value)
    assert ids() == set()


def test_a_header_that_is_believed_of_nobody_is_reported(settings: Any) -> None:
    settings.SRVSESSION_CLIENT_IP = "CF-Connecting-IP"
    assert ids() == {"srvsession.W018"}
    settings.SRVSESSION_TRUSTED_PROXIES = ["unix:"]
    assert ids() == set()


DAY = 86_400


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"IDLE_TIMEOUT": DAY, "MAX_LIFETIME": DAY}, set()),
        ({"IDLE_TIMEOUT": DAY + 1, "MAX_LIFETIME": DAY}, {"srvsession.W006"}),
        ({"MAX_LIFETIME": DAY}, set()),  # Below what "keep me signed in" would give; nobody has set that.
        ({"REMEMBER_AGE": DAY + 1, "MAX_LIFETIME": DAY}, {"srvsession.W006"}),
        ({"TOUCH_INTERVAL": 600, "IDLE_TIMEOUT": 600}, set()),
        ({"TOUCH_INTERVAL": 601, "IDLE_TIMEOUT": 600}, {"srvsession.W007"}),
        ({"IDLE_TIMEOUT": 0}, {"srvsession.W008"}),
        ({"MAX_LIFETIME": 0}, {"srvsession.W008"}),
        ({"BROWSER_SESSION_AGE": 0}, {"srvsession.W008"}),
        ({"IDLE_TIMEOUT": 1_800_000_000}, {"srvsession.W008"}),  # Half an hour, in microseconds.
        ({"TOUCH_INTERVAL": 0}, set()),
        ({"ENDED_KEEP": 60}, set()),
        ({"ENDED_KEEP": 59}, {"srvsession.W009"}),
        ({"IDLE_TIMEOUT": "soon", "MAX_LIFETIME": 1}, {"srvsession.E002"}),
    ],
)
def test_values_that_make_no_sense_together_are_reported(settings: Any, values: Any, expected: set[str]) -> None:
    for name, value in values.items():
        setattr(settings, f"SRVSESSION_{name}", value)
    assert ids() == expected


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "no.such.engine", "django_srvsession"])
def test_an_engine_that_is_not_ours_is_an_error(settings: Any, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    assert ids() == {"srvsession.E001"}


WITHOUT_LIBRARIES = """
import sys
sys.modules.update(dict.fromkeys(["django_redis", "bson", "pymongo"]))  # As if none of them were installed.
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_srvsession"])
django.setup()
from django_srvsession.checks.engine import check_engine
for name in sys.argv[1:]:
    settings.SESSION_ENGINE = f"django_srvsession.backends.{name}"
    print(*(message.hint for message in check_engine()))
"""


def test_an_engine_whose_library_is_missing_says_what_to_install() -> None:
    names = ["redis", "cached_db", "mongodb", "rediss"]
    command = [sys.executable, "-c", WITHOUT_LIBRARIES, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(60), check=True)
    *installs, misspelt = done.stdout.splitlines()
    assert installs == [f'Run: pip install "django-srvsession[{extra}]"' for extra in ("redis", "redis", "mongodb")]
    assert ".redis, .cached_db" in misspelt


@pytest.mark.skipif(not can_be_imported("user_sessions"), reason="the package is not for this Python")
def test_an_engine_whose_model_is_of_no_installed_app_is_an_error_and_no_traceback(settings: Any) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.sessions"]
    sys.modules.pop("user_sessions.models", None)
    sys.modules.pop("user_sessions.backends.db", None)
    settings.SESSION_ENGINE = "user_sessions.backends.db"
    (message,) = [each for each in run_checks() if each.id == "srvsession.E001"]
    assert message.hint == "Have its app in INSTALLED_APPS."


def test_our_middleware_must_be_there_once(settings: Any) -> None:
    settings.MIDDLEWARE = [STOCK if path == OURS else path for path in settings.MIDDLEWARE]
    assert ids() == {"srvsession.W002"}
    settings.MIDDLEWARE = [OURS, OURS, *settings.MIDDLEWARE[1:]]
    assert ids() == {"srvsession.W002"}


@pytest.mark.parametrize(
    ("name", "value"), [("IDLE_TIMEOUT", 600), ("TRUSTED_PROXIES", ["10.0.0.0/8"]), ("NOTIFY_NEW_DEVICE", True)]
)
def test_a_setting_that_does_nothing_without_our_middleware_is_an_error(settings: Any, name: str, value: Any) -> None:
    setattr(settings, f"SRVSESSION_{name}", value)
    assert ids() == set()
    settings.MIDDLEWARE = [STOCK if path == OURS else path for path in settings.MIDDLEWARE]
    (message,) = [message for message in run_checks() if message.id == "srvsession.E003"]
    assert f"SRVSESSION_{name}" in message.msg
    assert ids() == {"srvsession.E003"}


@pytest.mark.parametrize("name", ["MIGRATE_FROM", "MIGRATE_TO"])
def test_a_move_without_our_middleware_is_an_error_since_it_signs_people_out(settings: Any, name: str) -> None:
    setattr(settings, f"SRVSESSION_{name}", "django.contrib.sessions.backends.db")
    assert "srvsession.E003" not in ids()
    settings.MIDDLEWARE = [STOCK if path == OURS else path for path in settings.MIDDLEWARE]
    assert f"SRVSESSION_{name}" in "".join(each.msg for each in run_checks() if each.id == "srvsession.E003")


AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
UPDATE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"


@pytest.mark.parametrize(
    ("order", "csrf_in_session", "expected"),
    [
        ([OURS, CSRF, AUTHENTICATION, MESSAGES], True, set()),
        ([CSRF, OURS, AUTHENTICATION, MESSAGES], False, set()),
        ([CSRF, OURS, AUTHENTICATION, MESSAGES], True, {"srvsession.E004"}),
        ([AUTHENTICATION, OURS, MESSAGES], False, {"srvsession.E004"}),
        ([MESSAGES, OURS, AUTHENTICATION], False, {"srvsession.E004"}),
        ([UPDATE_CACHE, OURS, AUTHENTICATION, MESSAGES], False, set()),
        ([OURS, UPDATE_CACHE, AUTHENTICATION, MESSAGES], False, {"srvsession.W010"}),
        (["no.such.middleware", OURS, AUTHENTICATION, MESSAGES], False, set()),
    ],
)
def test_our_middleware_stands_before_what_needs_a_session(
    settings: Any, order: list[str], csrf_in_session: bool, expected: set[str]
) -> None:
    settings.MIDDLEWARE, settings.CSRF_USE_SESSIONS = order, csrf_in_session
    assert ids() == expected


COOKIE = [
    ({}, {"srvsession.W003"}),
    ({"SESSION_COOKIE_SECURE": True}, set()),
    ({"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_HTTPONLY": False}, {"srvsession.W004"}),
    ({"SESSION_COOKIE_HTTPONLY": False}, {"srvsession.W003", "srvsession.W004"}),
]


@pytest.mark.parametrize(("values", "expected"), COOKIE)
def test_the_cookie_is_checked_for_a_deployment_where_django_says_nothing(
    settings: Any, values: Any, expected: set[str]
) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.sessions"]
    for name, value in values.items():
        setattr(settings, name, value)
    assert ids(deploy=True) - {"srvsession.W105"} == expected
    assert ids() == set()


@pytest.mark.parametrize(("values", "expected"), COOKIE)
def test_where_django_speaks_of_the_cookie_we_are_silent(settings: Any, values: Any, expected: set[str]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
    said = {message.id for message in run_checks(include_deployment_checks=True)}
    assert len(said & {"security.W010", "security.W013"}) == len(expected)
    assert ids(deploy=True) == {"srvsession.W105"}


@pytest.mark.parametrize(
    ("same_site", "is_secure", "expected"),
    [
        ("None", False, {"srvsession.W005"}),
        ("none", False, {"srvsession.W005"}),
        ("None", True, set()),
        (None, False, set()),
        (False, False, set()),
        ("Lax", False, set()),
    ],
)
def test_a_cookie_that_browsers_refuse_is_reported(
    settings: Any, same_site: Any, is_secure: bool, expected: set[str]
) -> None:
    settings.SESSION_COOKIE_SAMESITE, settings.SESSION_COOKIE_SECURE = same_site, is_secure
    assert ids() == expected


def test_the_memory_engine_is_reported_for_a_deployment_only(settings: Any) -> None:
    assert ids() == set()
    assert ids(deploy=True) == {"srvsession.W105"}
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    assert ids(deploy=True) == set()


def test_a_missing_cache_alias_is_an_error(redis_engine: Any) -> None:
    redis_engine.SESSION_CACHE_ALIAS = "elsewhere"
    assert ids() == {"srvsession.E101"}


def test_an_alias_that_is_not_django_redis_is_an_error(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": LOCMEM}
    assert ids() == {"srvsession.E102"}
    redis_engine.CACHES = {
        "default": LOCMEM,
        "sessions": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS["LOCATION"]},
    }
    assert ids() == {"srvsession.E102"}


def test_an_alias_that_another_cache_shares_is_reported(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": REDIS, "sessions": REDIS}
    assert ids() == {"srvsession.W101"}
    redis_engine.CACHES = {"default": REDIS}
    redis_engine.SESSION_CACHE_ALIAS = "default"
    assert ids() == {"srvsession.W101"}
    redis_engine.SESSION_CACHE_ALIAS = "sessions"
    redis_engine.CACHES = {"default": {**REDIS, "LOCATION": "redis://127.0.0.1:1/2"}, "sessions": REDIS}
    assert ids() == set()


def test_an_alias_without_time_outs_is_reported(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": {**REDIS, "OPTIONS": {"SOCKET_TIMEOUT": 1}}}
    assert ids() == {"srvsession.W102"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"srvsession.W108"}),
        ({"SENTINEL_KWARGS": {"retry": "none"}}, {"srvsession.W108"}),
        ({"SENTINEL_KWARGS": {"socket_timeout": 1, "socket_connect_timeout": 1}}, {"srvsession.W108"}),
        ({"SENTINEL_KWARGS": {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": "none"}}, set()),
    ],
    ids=["redis-py's ways", "no time limits", "ten tries", "one try, with limits"],
)
def test_a_sentinel_that_may_hang_requests_is_reported(redis_engine: Any, options: Any, expected: set[str]) -> None:
    own = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": [("127.0.0.1", 1)],
    }
    entry = {**REDIS, "LOCATION": "redis://sessions/0", "OPTIONS": {**REDIS["OPTIONS"], **own, **options}}
    redis_engine.CACHES = {"default": LOCMEM, "sessions": entry}
    # Not `ids()`: the checks of a deployment would ask the Sentinel, as patiently as the alias says.
    assert {message.id for message in run_checks() if message.id.startswith("srvsession.")} == expected


class Packing(DefaultClient):  # type: ignore[type-arg]
    """Store values in a way of its own."""

    def encode(self, value: Any) -> Any:
        return super().encode(value)


class Keying(DefaultClient):  # type: ignore[type-arg]
    """Make keys in a way of its own, and values as always."""

    def make_key(self, *arguments: Any, **options: Any) -> Any:
        return super().make_key(*arguments, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERIALIZER", "django_redis.serializers.json.JSONSerializer"),
        ("COMPRESSOR", "django_redis.compressors.zlib.ZlibCompressor"),
        ("PICKLE_VERSION", 4),
        ("IGNORE_EXCEPTIONS", True),
        ("CLIENT_CLASS", "django_redis.client.HerdClient"),
        ("CLIENT_CLASS", f"{__name__}.Packing"),
    ],
)
def test_an_option_that_stock_sessions_obey_and_ours_do_not_is_an_error(
    redis_engine: Any, name: str, value: Any
) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": {**REDIS, "OPTIONS": {**REDIS["OPTIONS"], name: value}}}
    (message,) = [message for message in run_checks() if message.id == "srvsession.E106"]
    assert f" {name}" in message.msg


def test_outages_that_are_swallowed_everywhere_and_replicas_that_nobody_reads_are_errors(redis_engine: Any) -> None:
    redis_engine.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    assert ids() == {"srvsession.E106"}
    redis_engine.DJANGO_REDIS_IGNORE_EXCEPTIONS = False
    for servers in ("redis://127.0.0.1:1/1,redis://127.0.0.1:2/1", ["redis://127.0.0.1:1/1", "redis://127.0.0.1:2/1"]):
        redis_engine.CACHES = {"default": LOCMEM, "sessions": {**REDIS, "LOCATION": servers}}
        assert ids() == {"srvsession.E106"}


@pytest.mark.parametrize(
    "entry",
    [
        {"TIMEOUT": 60},  # Stock sessions have an age of their own.
        {"KEY_PREFIX": "site", "VERSION": 2, "KEY_FUNCTION": "tests.backends.tenancy.key_function"},
        {"REVERSE_KEY_FUNCTION": "django_redis.util.default_reverse_key"},
        {"OPTIONS": {**REDIS["OPTIONS"], "SERIALIZER": "django_redis.serializers.pickle.PickleSerializer"}},
        {"OPTIONS": {**REDIS["OPTIONS"], "COMPRESSOR": "django_redis.compressors.identity.IdentityCompressor"}},
        {"OPTIONS": {**REDIS["OPTIONS"], "CLIENT_CLASS": f"{__name__}.Keying"}},
        {"OPTIONS": {**REDIS["OPTIONS"], "IGNORE_EXCEPTIONS": False}},
    ],
)
def test_what_stock_sessions_do_not_obey_or_ours_obey_too_is_fine(redis_engine: Any, entry: dict[str, Any]) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": {**REDIS, **entry}}
    assert ids() == set()


def test_a_server_that_does_not_answer_is_reported_for_a_deployment_only(redis_engine: Any) -> None:
    assert ids() == set()
    assert ids(deploy=True) == {"srvsession.W103"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("noeviction", set()), ("allkeys-lru", {"srvsession.E103"}), ("volatile-ttl", {"srvsession.W104"})],
)
def test_a_server_that_evicts_is_reported(
    settings: Any, redis_alias: str, redis_server: Any, policy: str, expected: set[str]
) -> None:
    from django_redis import get_redis_connection

    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    server = get_redis_connection(redis_alias)
    before = server.config_get("maxmemory-policy")["maxmemory-policy"]
    server.config_set("maxmemory-policy", policy)
    try:
        assert ids(deploy=True) == expected
    finally:
        server.config_set("maxmemory-policy", before)


@pytest.mark.parametrize(
    ("hosts", "url", "expected"),
    [
        (["*"], None, {"srvsession.W011"}),
        (["*"], "https://example.com", set()),
        (["*"], "example.com", set()),
        ([".example.com"], None, set()),
    ],
)
def test_mails_without_a_link_are_reported_for_a_deployment(
    settings: Any, hosts: list[str], url: str | None, expected: set[str]
) -> None:
    settings.ALLOWED_HOSTS, settings.SRVSESSION_SITE_URL = hosts, url
    assert "srvsession.W011" not in ids(deploy=True)
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    assert ids(deploy=True) & {"srvsession.W011"} == expected


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("memory", "tells by itself, or has nobody to tell"),
        ("file", "tells by itself, or has nobody to tell"),
        ("db", "is sqlite"),
        ("cached_db", "is sqlite"),
    ],
)
def test_live_notify_without_postgresql_is_reported(redis_engine: Any, engine: str, says: str, tmp_path: Any) -> None:
    redis_engine.SESSION_ENGINE = f"django_srvsession.backends.{engine}"
    redis_engine.SESSION_FILE_PATH = str(tmp_path)
    assert "srvsession.W028" not in ids(deploy=True)
    redis_engine.SRVSESSION_LIVE_NOTIFY = True
    assert "srvsession.W028" not in ids()
    (message,) = check_live_notify_for_deployment()
    assert message.id in ids(deploy=True)
    assert says in message.msg


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_live_notify_on_postgresql_gives_no_message_and_asks_no_server(
    redis_engine: Any, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": "1", "NAME": "x"}
    handler = ConnectionHandler({"default": entry})
    redis_engine.SESSION_ENGINE = f"django_srvsession.backends.{engine}"
    redis_engine.SRVSESSION_LIVE_NOTIFY = True
    monkeypatch.setattr("django_srvsession.checks.live.connections", handler)
    assert not check_live_notify_for_deployment()


@pytest.mark.parametrize("value", ["yes", False])
def test_live_notify_that_is_not_true_gives_no_second_message(settings: Any, value: Any) -> None:
    settings.SESSION_ENGINE, settings.SRVSESSION_LIVE_NOTIFY = "django_srvsession.backends.db", value
    assert "srvsession.W028" not in ids(deploy=True)
