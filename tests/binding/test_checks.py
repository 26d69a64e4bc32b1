"""``manage.py check`` says what keeps a site from binding any session."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from django_srvsession.checks import binding as binding_checks

pytestmark = pytest.mark.django_db


def ids() -> set[str]:
    return {str(message.id) for message in checks.run_checks() if str(message.id).startswith("srvsession")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, set()),
        ({"SRVSESSION_BIND": "require"}, set()),
        ({"SRVSESSION_BIND": "maybe"}, {"srvsession.E002"}),
        ({"SRVSESSION_BIND": "tests.binding.none"}, {"srvsession.E002"}),
        ({"SRVSESSION_BIND": "tests.binding.test_requiring.for_staff_only"}, set()),
        ({"SRVSESSION_BIND_VIOLATION": "shout"}, {"srvsession.E002"}),
        ({"ROOT_URLCONF": "tests.urls"}, {"srvsession.E014"}),
        ({"SESSION_COOKIE_SECURE": False}, {"srvsession.E015"}),
        ({"SESSION_COOKIE_PATH": "/account/"}, {"srvsession.E018"}),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, {"srvsession.W024"}),
        ({"SRVSESSION_BIND_SITE": "https://example.com"}, {"srvsession.E020"}),
        ({"SRVSESSION_BIND_SITE": "example.com"}, {"srvsession.E002"}),
        ({"SRVSESSION_BIND_AGE": 239}, {"srvsession.W023"}),
        ({"SRVSESSION_BIND_AGE": 240}, set()),
        ({"SRVSESSION_BIND_AGE": 86_401}, {"srvsession.W023"}),
        ({"SRVSESSION_BIND": None, "SESSION_COOKIE_SECURE": False, "ROOT_URLCONF": "tests.urls"}, set()),
    ],
)
def test_a_site_is_told_what_keeps_it_from_binding(binding: Any, values: dict[str, Any], expected: set[str]) -> None:
    for name, value in values.items():
        setattr(binding, name, value)
    assert ids() - {"srvsession.W019"} == expected


@pytest.mark.parametrize(
    ("domain", "site", "expected"),
    [
        ("example.com", "https://example.com", set()),
        (".eu.example.com", "https://example.com", set()),
        ("example.com", "http://example.com", {"srvsession.E020"}),
        ("an-example.com", "https://example.com", {"srvsession.E020"}),
        ("example.com", "https://a.example.com", {"srvsession.E020"}),
    ],
)
def test_a_site_of_several_hosts_is_told_whether_they_share_the_cookie(
    binding: Any, domain: str, site: str, expected: set[str]
) -> None:
    binding.SESSION_COOKIE_DOMAIN, binding.SRVSESSION_BIND_SITE = domain, site
    assert ids() - {"srvsession.W019"} == expected


def test_a_site_without_our_middleware_is_told_so(binding: Any) -> None:
    binding.MIDDLEWARE = [name for name in binding.MIDDLEWARE if "srvsession" not in name]
    with pytest.raises(SystemCheckError, match="SRVSESSION_BIND"):
        call_command("check")


def test_a_site_without_the_library_is_told_so(binding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding_checks, "find_spec", lambda name: None)
    assert ids() - {"srvsession.W019"} == {"srvsession.E014"}
