"""System checks of the session's cookie, of Django's ``SESSION_*`` settings, and of what guards nobody."""

from __future__ import annotations

import json
import pickle
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.memory import SessionStore
from django_srvsession.engine import lifetimes
from tests.runs import ROOT
from tests.test_checks import ids

DAY = 86_400
YEAR = 365 * DAY


@pytest.fixture(autouse=True)
def _db_engine(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.sessions"]
    settings.SESSION_COOKIE_SECURE = True
    settings.SRVSESSION_SITE_URL = "https://example.com"


def put(settings: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


def test_a_good_site_is_told_nothing() -> None:
    assert (ids(), ids(deploy=True)) == (set(), set())


# Values of another kind.


AGES = ["3600", None, True, b"3600", timedelta(hours=1), -1, float("inf"), float("nan"), [3600]]


@pytest.mark.parametrize("age", AGES, ids=repr)
def test_an_age_that_is_no_number_of_seconds_is_an_error_of_the_checks_and_at_run_time(settings: Any, age: Any) -> None:
    settings.SESSION_COOKIE_AGE = age
    assert ids() == {"srvsession.E005"}
    session = SessionStore()
    session["a"] = 1
    with pytest.raises(ImproperlyConfigured, match="SESSION_COOKIE_AGE"):
        session.save()


@pytest.mark.parametrize("age", [3600, 3600.5, 0, 14 * DAY])
def test_an_age_in_seconds_is_fine(settings: Any, age: Any) -> None:
    settings.SESSION_COOKIE_AGE = age
    assert ids() == set()
    session = SessionStore()
    session["a"] = 1
    session.save()
    assert session.record is not None
    assert session.record.lifetime_ms == int(age * 1000)


FLAGS = ["SESSION_EXPIRE_AT_BROWSER_CLOSE", "SESSION_SAVE_EVERY_REQUEST", "SESSION_COOKIE_HTTPONLY"]


@pytest.mark.parametrize("name", [*FLAGS, "SESSION_COOKIE_SECURE"])
@pytest.mark.parametrize("value", ["False", "0", "", [], 2])
def test_a_switch_that_is_neither_true_nor_false_is_an_error(settings: Any, name: str, value: Any) -> None:
    setattr(settings, name, value)
    assert ids() == {"srvsession.E005"}


@pytest.mark.parametrize("name", FLAGS[:2])
def test_a_text_is_no_switch_at_run_time_either(settings: Any, name: str) -> None:
    setattr(settings, name, "False")
    with pytest.raises(ImproperlyConfigured, match=name):
        lifetimes.slides(None)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [True, False, None, 0, 1])
def test_a_switch_that_is_on_or_off_is_fine(settings: Any, name: str, value: Any) -> None:
    setattr(settings, name, value)
    assert ids() == set()


# The cookie.


@pytest.mark.parametrize("name", ["", "session id", "id;", "id=", "id,", "sitzüng", "id\n", None, 7])
def test_a_name_that_no_cookie_can_have_is_an_error(settings: Any, name: Any) -> None:
    settings.SESSION_COOKIE_NAME = name
    assert ids() == {"srvsession.E006"}


@pytest.mark.parametrize("other", ["CSRF_COOKIE_NAME", "LANGUAGE_COOKIE_NAME"])
def test_a_name_that_another_cookie_has_is_an_error(settings: Any, other: str) -> None:
    setattr(settings, other, "sid")
    settings.SESSION_COOKIE_NAME = "sid"
    assert ids() == {"srvsession.E006"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"SESSION_COOKIE_NAME": "__Host-sid"}, set()),
        ({"SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_DOMAIN": "example.com"}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_PATH": "/app/"}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_SECURE": False}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__host-sid", "SESSION_COOKIE_PATH": "/app/"}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Secure-sid", "SESSION_COOKIE_DOMAIN": "example.com"}, set()),
        ({"SESSION_COOKIE_NAME": "__Secure-sid", "SESSION_COOKIE_SECURE": False}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Http-sid", "SESSION_COOKIE_HTTPONLY": False}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Host-Http-sid", "SESSION_COOKIE_HTTPONLY": False}, {"srvsession.E007"}),
        ({"SESSION_COOKIE_NAME": "__Host-Http-sid"}, set()),
    ],
)
def test_a_prefix_whose_conditions_are_not_met_is_an_error(settings: Any, values: Any, expected: set[str]) -> None:
    put(settings, values)
    assert ids() == expected


@pytest.mark.parametrize(
    "domain",
    [
        *("https://example.com", "example.com:8000", "example.com/", "*.example.com", "example .com", "192.0.2.1"),
        *("::1", "com", "", 7, "example.com,example.org", "a..example.com", "-a.example.com"),
    ],
)
def test_a_domain_for_which_no_browser_keeps_a_cookie_is_an_error(settings: Any, domain: Any) -> None:
    settings.SESSION_COOKIE_DOMAIN = domain
    assert ids() == ({"srvsession.E008"} if domain != "" else set())


@pytest.mark.parametrize("domain", ["example.com", ".example.com", "a.b-c.example.co.uk", "xn--bcher-kva.example"])
def test_a_domain_shares_the_session_with_all_its_hosts_which_a_deployment_is_told(settings: Any, domain: str) -> None:
    settings.SESSION_COOKIE_DOMAIN = domain
    assert ids() == set()
    assert ids(deploy=True) == {"srvsession.W012"}


@pytest.mark.parametrize("path", ["app", "", "app/", "/app;x", "/a\n", None, 7])
def test_a_path_that_browsers_do_not_take_is_an_error(settings: Any, path: Any) -> None:
    settings.SESSION_COOKIE_PATH = path
    assert ids() == {"srvsession.E009"}


@pytest.mark.parametrize("value", ["strictt", "", True, 0, 1, "Lax "])
def test_a_same_site_that_there_is_not_is_an_error(settings: Any, value: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = value
    assert ids() == {"srvsession.E010"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("Lax", set()), ("strict", set()), (None, {"srvsession.W013"}), (False, {"srvsession.W013"})],
)
def test_same_site_switched_off_is_told_to_a_deployment(settings: Any, value: Any, expected: set[str]) -> None:
    settings.SESSION_COOKIE_SAMESITE = value
    assert ids() == set()
    assert ids(deploy=True) == expected


def test_same_site_none_is_told_to_a_deployment_too(settings: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = "None"
    assert ids(deploy=True) == {"srvsession.W013"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"SESSION_COOKIE_AGE": 10 * YEAR}, {"srvsession.W014"}),
        ({"SESSION_COOKIE_AGE": 400 * DAY + 1}, {"srvsession.W014"}),
        ({"SESSION_COOKIE_AGE": 400 * DAY}, set()),
        ({"SRVSESSION_REMEMBER_AGE": timedelta(days=401)}, {"srvsession.W014"}),
        ({"SRVSESSION_REMEMBER_AGE": timedelta(days=400)}, set()),
        ({"SESSION_COOKIE_AGE": 10 * YEAR, "SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, set()),
    ],
)
def test_a_cookie_that_outlives_what_browsers_keep_is_reported(settings: Any, values: Any, expected: set[str]) -> None:
    put(settings, values)
    assert ids() == expected


# The serializer.


class OfDicts(JSONSerializer):
    """Take a dictionary only."""

    def dumps(self, obj: Any) -> bytes:
        return super().dumps(dict(obj.items()))


class Signing:
    """Be given a dictionary back, whatever it was."""

    def dumps(self, obj: Any) -> bytes:
        return json.dumps({"data": repr(obj)}).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Text:
    """Return text instead of bytes."""

    def dumps(self, obj: Any) -> Any:
        return json.dumps(obj)

    def loads(self, data: Any) -> Any:
        return json.loads(data)


class Half:
    """Have no way back."""

    def dumps(self, obj: Any) -> bytes:
        return b""


class Pickles:
    """Do what Django's own did until 5.0."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


class OldPickles(Pickles):
    """Do it by a protocol that looks like text."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj, 0)


class Lenient(JSONSerializer):
    """Write whatever it does not know as text."""

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(obj, default=repr).encode()


@pytest.mark.parametrize("path", ["no.such.Serializer", f"{__name__}.Missing", "json", "", f"{__name__}.Half", 7])
def test_a_serializer_that_cannot_be_used_is_an_error(settings: Any, path: Any) -> None:
    settings.SESSION_SERIALIZER = path
    assert ids() == {"srvsession.E011"}


@pytest.mark.parametrize("name", ["OfDicts", "Signing", "Text"])
def test_a_serializer_that_takes_only_the_whole_dictionary_is_an_error(settings: Any, name: str) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.{name}"
    assert ids() == {"srvsession.E012"}


@pytest.mark.parametrize("name", ["Pickles", "OldPickles"])
def test_a_serializer_that_makes_any_object_is_reported(settings: Any, name: str) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.{name}"
    assert ids() == {"srvsession.W015"}


@pytest.mark.parametrize("path", [f"{__name__}.Lenient", "django.contrib.sessions.serializers.JSONSerializer"])
def test_a_serializer_of_plain_data_is_fine(settings: Any, path: str) -> None:
    settings.SESSION_SERIALIZER = path
    assert ids() == set()


# Who is believed, and what ends.


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (["0.0.0.0/0"], {"srvsession.E013"}),
        (["::/0"], {"srvsession.E013"}),
        (["::ffff:0:0/96"], {"srvsession.E013"}),
        (["0.0.0.0/1", "128.0.0.0/1"], {"srvsession.E013"}),
        (["10.0.0.0/8", "0.0.0.0/0", "unix:"], {"srvsession.E013"}),
        (["64.0.0.0/4"], {"srvsession.E013"}),
        (["2000::/3"], {"srvsession.E013"}),
        (["10.0.0.0/8", "172.16.0.0/12", "fc00::/7", "203.0.113.0/24", "2001:db8::/32", "unix:"], set()),
        (["not a network"], {"srvsession.E002"}),
    ],
)
def test_proxies_that_anybody_may_be_are_an_error(settings: Any, networks: list[str], expected: set[str]) -> None:
    settings.SRVSESSION_TRUSTED_PROXIES = networks
    assert ids() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"srvsession.W016"}),
        ({"SRVSESSION_IDLE_TIMEOUT": 1800}, set()),
        ({"SRVSESSION_MAX_LIFETIME": 8 * 3600}, set()),
        ({"SRVSESSION_MAX_SESSIONS_PER_USER": 5}, set()),
        ({"SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, {"srvsession.W016"}),
        ({"SRVSESSION_REAUTH_AGE": 900}, set()),
    ],
)
def test_no_limit_of_any_kind_and_no_second_question_are_told_to_a_deployment(
    settings: Any, values: Any, expected: set[str]
) -> None:
    settings.SRVSESSION_REAUTH_AGE = None
    put(settings, values)
    assert ids() == set()
    assert ids(deploy=True) == expected


def test_each_message_says_what_to_do(settings: Any) -> None:
    put(
        settings,
        {
            "SESSION_COOKIE_AGE": "3600",
            "SESSION_COOKIE_NAME": "__Host-sid",
            "SESSION_COOKIE_DOMAIN": "https://example.com",
            "SESSION_COOKIE_PATH": "app",
            "SESSION_COOKIE_SAMESITE": "strictt",
            "SESSION_SERIALIZER": f"{__name__}.OfDicts",
            "SRVSESSION_TRUSTED_PROXIES": ["0.0.0.0/0"],
        },
    )
    ours = [message for message in run_checks(include_deployment_checks=True) if str(message.id).startswith("srv")]
    assert len(ours) >= 7
    assert all(message.hint for message in ours if message.id != "srvsession.E002")


def test_the_docs_list_every_id_and_no_other() -> None:
    package, page = ROOT / "django_srvsession", (ROOT / "docs" / "reference" / "checks.rst").read_text()
    sources = [path.read_text() for path in package.rglob("*.py")]
    given = {name for source in sources for name in re.findall(r'"(?:srvsession\.)?([EW]\d{3})"', source)}
    listed = re.findall(r"^srvsession\.([EW]\d{3}) ", page, re.MULTILINE)
    assert sorted(listed) == sorted(given)
