"""The template filters and tags: what they say, and that none of them ever raises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import override_settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import override

from django_srvsession.clients import devices
from django_srvsession.moments import until
from django_srvsession.records import NO_CLIENT
from django_srvsession.templatetags.srvsession import ago, device_kind, device_name, exactly, place, static_url, when

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 {}Safari/537.36"
HOSTILE = [None, "", 7, b"Firefox", [], {}, object(), NO_CLIENT, "\x00", "\ud800", "%s %(x)s {0}", "(" * 100_000, "😀"]


def test_a_device_has_a_name_in_a_template() -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    template = Template("{% load srvsession %}{{ agent|device_name }}")
    assert template.render(Context({"agent": firefox})) == "Firefox on Linux"


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_anything_else_is_an_unknown_device_and_never_an_error(value: Any) -> None:
    assert device_name(value) == "Unknown device"


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/124.0.0.0 Safari/537.36", "desktop"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
            "desktop",
        ),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/124.0.0.0 Safari/537.36", "desktop"),
        (IPHONE, "phone"),
        (IPAD, "tablet"),
        (ANDROID.format("Mobile "), "phone"),
        (ANDROID.format(""), "tablet"),
        ("Mozilla/5.0 (Android 14; Tablet; rv:126.0) Gecko/126.0 Firefox/126.0", "tablet"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("curl/8.5.0", "app"),
    ],
)
def test_a_device_is_of_a_kind(user_agent: str, kind: str) -> None:
    assert device_kind(user_agent) == kind


def test_every_kind_has_a_picture() -> None:
    for kind in devices.KINDS:
        found = finders.find(f"srvsession/{kind}.svg")
        assert found
        picture = Path(found).read_text()
        assert "<style" not in picture and "<script" not in picture and "style=" not in picture


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_nothing_makes_a_filter_or_a_tag_raise(value: Any) -> None:
    assert device_kind(value) == "unknown"
    assert place(value) == ""
    assert ago(value) == when(value) == when(value, "relative") == when(value, value) == exactly(value) == ""
    assert isinstance(static_url(value), str)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=0), "just now"),
        (timedelta(seconds=59), "just now"),
        (-timedelta(hours=1), "just now"),
        (timedelta(seconds=61), "1\xa0minute ago"),
        (timedelta(minutes=3, seconds=30), "3\xa0minutes ago"),
        (timedelta(hours=5, minutes=30), "5\xa0hours ago"),
        (timedelta(days=2, hours=1), "2\xa0days ago"),
        (timedelta(days=800), "2\xa0years ago"),
    ],
)
@pytest.mark.parametrize("use_tz", [True, False])
def test_how_long_ago_something_was(age: timedelta, text: str, use_tz: bool, settings: Any) -> None:
    settings.USE_TZ = use_tz
    assert ago(datetime.now(UTC) - age) == text


def test_a_naive_moment_is_one_of_the_default_time_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    here = timezone.make_naive(datetime.now(UTC) - timedelta(hours=2, minutes=1), timezone.get_default_timezone())
    assert ago(here) == "2\xa0hours ago"


def test_how_long_ago_in_korean() -> None:
    with override("ko"):
        assert ago(datetime.now(UTC) - timedelta(minutes=3, seconds=1)) == "3분 전"


@pytest.mark.parametrize(
    ("language", "past", "future"),
    [
        ("ja", "3日前", "2か月後"),
        ("es", "hace 3 días", "en 2 meses"),
        ("de", "vor 3 Tagen", "in 2 Monaten"),
        ("fr", "il y a 3 jours", "dans 2 mois"),
    ],
)
def test_how_long_ago_and_in_how_long_in_other_languages(language: str, past: str, future: str) -> None:
    now = datetime.now(UTC)
    with override(language):
        assert ago(now - timedelta(days=3, hours=1)).replace("\xa0", " ") == past
        assert until(now + timedelta(days=70)).replace("\xa0", " ") == future


@pytest.mark.parametrize(
    ("language", "exact"),
    [
        ("ja", "2026年11月28日 20:17 UTC"),
        ("es", "28 de noviembre de 2026, 20:17 UTC"),
        ("de", "28. November 2026, 20:17 UTC"),
        ("fr", "28 novembre 2026 à 20:17 UTC"),
    ],
)
def test_a_moment_in_other_languages(language: str, exact: str) -> None:
    with override(language), timezone.override("UTC"):
        assert exactly(datetime(2026, 11, 28, 20, 17, tzinfo=UTC)) == exact


@pytest.mark.parametrize(
    ("age", "style", "text"),
    [
        (timedelta(minutes=3, seconds=9), "relative", "3\xa0minutes ago"),
        (timedelta(days=6, hours=23), "relative", "6\xa0days ago"),
        (timedelta(days=8), "relative", "F j"),
        (timedelta(days=400), "relative", "N j, Y"),
        (timedelta(minutes=3), "when", "F j, P"),
        (timedelta(days=200), "when", "F j, P"),
        (timedelta(days=400), "when", "N j, Y"),
        (-timedelta(days=400), "when", "N j, Y"),
        (timedelta(days=3), "clock", "P"),
        (timedelta(days=3), "", "F j, P"),
    ],
)
def test_no_more_is_said_of_a_moment_than_is_needed(age: timedelta, style: str, text: str) -> None:
    moment = datetime.now(UTC) - age
    with timezone.override("Asia/Seoul"):
        assert when(moment, style) == (text if "ago" in text else date_format(timezone.localtime(moment), text))
        assert exactly(moment) == date_format(timezone.localtime(moment), "N j, Y, P") + " KST"


def test_the_half_of_the_day_stands_before_the_time_in_korean() -> None:
    moment = datetime(2026, 11, 28, 20, 17, tzinfo=UTC)
    with override("ko"), timezone.override("UTC"):
        assert exactly(moment) == "2026년 11월 28일 오후 8:17 UTC"
        assert when(moment) in ("11월 28일 오후 8:17", "2026년 11월 28일")


MANIFEST = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}


@override_settings(STORAGES=MANIFEST, STATIC_ROOT="/nonexistent", DEBUG=False)
def test_the_page_of_an_outage_comes_also_where_static_files_are_missing() -> None:
    assert static_url("srvsession/srvsession.css") == ""
    page = render_to_string("srvsession/503_plain.html")
    assert "Temporarily unavailable" in page
    assert "stylesheet" not in page
