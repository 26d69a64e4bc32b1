"""The deprecation policy: what is deprecated says so, and goes when it was promised."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from django.core.checks import run_checks

import django_srvsession
from django_srvsession import deprecation
from django_srvsession.deprecation import Deprecated, SrvSessionDeprecationWarning
from tests.runs import ROOT

CHANGELOG = (ROOT / "CHANGELOG.rst").read_text()
OLD = "SRVSESSION_IDLE_LIMIT"
DUE = Deprecated("0.3", "0.5", "SRVSESSION_IDLE_TIMEOUT")


def numbers(version: str) -> tuple[int, int]:
    major, minor, *_ = map(int, version.split("."))
    return major, minor


def broken_promises(names: dict[str, Deprecated], version: str, changelog: str) -> list[str]:
    """Return what is wrong with a list of deprecated names at a version."""
    wrong = []
    for name, its in names.items():
        since, removed_in = numbers(its.since), numbers(its.removed_in)
        # Of 0.x the second number counts; from 1.0 on, a name goes with a new first number only.
        enough = removed_in >= (since[0], since[1] + 2) if removed_in[0] == 0 else removed_in[0] > since[0]
        wrong += [f"{name} goes too early"] if not enough else []
        wrong += [f"{name} should be gone"] if numbers(version) >= removed_in else []
        wrong += [f"{name} is deprecated from a release that is not there yet"] if since > numbers(version) else []
        wrong += [f"{name} is not in the changelog"] if f"``{name}``" not in changelog else []
    return wrong


def test_what_is_deprecated_keeps_the_policy() -> None:
    assert broken_promises(deprecation.NAMES, django_srvsession.__version__, CHANGELOG) == []


@pytest.mark.parametrize(
    ("its", "version", "changelog", "wrong"),
    [
        (DUE, "0.3.0", f"``{OLD}``", []),
        (DUE, "0.4.7", f"``{OLD}``", []),
        (DUE, "0.5.0", f"``{OLD}``", [f"{OLD} should be gone"]),
        (DUE, "0.2.9", f"``{OLD}``", [f"{OLD} is deprecated from a release that is not there yet"]),
        (DUE, "0.3.0", "nothing", [f"{OLD} is not in the changelog"]),
        (DUE._replace(removed_in="0.4"), "0.3.0", f"``{OLD}``", [f"{OLD} goes too early"]),
        (DUE._replace(since="1.2", removed_in="1.4"), "1.2.0", f"``{OLD}``", [f"{OLD} goes too early"]),
        (DUE._replace(since="1.2", removed_in="2.0"), "1.9.0", f"``{OLD}``", []),
    ],
)
def test_a_broken_promise_is_found(its: Deprecated, version: str, changelog: str, wrong: list[str]) -> None:
    assert broken_promises({OLD: its}, version, changelog) == wrong


def test_a_deprecated_setting_is_reported_by_the_checks_with_what_to_use_instead(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_IDLE_LIMIT = 60
    assert [message.id for message in run_checks()] == ["srvsession.W001"]
    monkeypatch.setitem(deprecation.NAMES, OLD, DUE)
    (message,) = run_checks()
    assert message.id == "srvsession.W017"
    assert message.msg == f"{OLD} is deprecated since 0.3, and goes with 0.5. Use SRVSESSION_IDLE_TIMEOUT."


def test_a_warning_points_at_the_code_that_uses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(deprecation.NAMES, "site.old", DUE)

    def old() -> None:
        deprecation.warn("site.old")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old()
    (warning,) = caught
    assert warning.category is SrvSessionDeprecationWarning
    assert warning.filename == __file__
    assert "old()" in (ROOT / "tests" / "test_deprecation.py").read_text().splitlines()[warning.lineno - 1]
