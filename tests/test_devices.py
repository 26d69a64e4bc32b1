"""What devices are called: as the people would who use them, as the site says, and never in words that do harm."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.translation import override

from django_srvsession import conf
from django_srvsession.checks.settings import check_settings
from django_srvsession.clients import devices, programs
from django_srvsession.clients.devices import device_kind, device_name
from django_srvsession.engine.naming import MOST_LETTERS, device_name_of
from django_srvsession.records import Client, SessionRecord
from django_srvsession.templatetags import srvsession as tags

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} "
IPAD = f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {WEBKIT} "
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/124.0.0.0 "
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} "
IN_APP = f"Mozilla/5.0 (Linux; Android 14; SM-S918N Build/UP1A; wv) {BLINK} Version/4.0 Chrome/124.0.6367.82 "


def record(agent: str = "", ip: str = "192.0.2.1", sid: str = "5" * 18) -> SessionRecord:
    return SessionRecord(sid, "0" * 64, 0, 0, 0, 0, client=Client(ip, agent))


@pytest.mark.parametrize(
    ("agent", "name", "kind"),
    [
        # Browsers.
        (IPHONE + "Version/17.5 Mobile/15E148 Safari/604.1", "Safari on iPhone", "phone"),
        (IPAD + "Version/17.5 Mobile/15E148 Safari/604.1", "Safari on iPad", "tablet"),
        (MAC + f"{WEBKIT} Version/17.4 Safari/605.1.15", "Safari on Mac", "desktop"),
        (IPHONE + "CriOS/125.0.6422.51 Mobile/15E148 Safari/604.1", "Chrome on iPhone", "phone"),
        (IPHONE + "FxiOS/126.0 Mobile/15E148 Safari/605.1.15", "Firefox on iPhone", "phone"),
        (ANDROID + "Chrome/124.0.0.0 Mobile Safari/537.36", "Chrome on Android phone", "phone"),
        (ANDROID + "Chrome/124.0.0.0 Safari/537.36", "Chrome on Android tablet", "tablet"),
        (
            ANDROID + "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
            "Samsung Internet on Android phone",
            "phone",
        ),
        ("Mozilla/5.0 (Android 14; Mobile; rv:126.0) Gecko/126.0 Firefox/126.0", "Firefox on Android phone", "phone"),
        (WINDOWS + "Safari/537.36", "Chrome on Windows", "desktop"),
        (WINDOWS + "Safari/537.36 Edg/124.0.0.0", "Edge on Windows", "desktop"),
        (WINDOWS + "Whale/3.26.244.21 Safari/537.36", "Whale on Windows", "desktop"),
        (WINDOWS + "Safari/537.36 OPR/110.0.0.0", "Opera on Windows", "desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux", "desktop"),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/124.0.0.0 Safari/537.36",
            "Chrome on Chromebook",
            "desktop",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "Internet Explorer on Windows",
            "desktop",
        ),
        # Apps that show pages.
        (IPHONE + "Mobile/15E148 KAKAOTALK 10.8.0", "KakaoTalk on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36;KAKAOTALK 2410630", "KakaoTalk on Android phone", "phone"),
        (IPHONE + "Mobile/15E148 NAVER(inapp; search; 2000; 12.5.2; 14PRO)", "NAVER on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36 NAVER(inapp; search; 1030; 12.5.2)", "NAVER on Android phone", "phone"),
        (
            IN_APP + "Mobile Safari/537.36 Instagram 331.0.0.37.90 Android (34/14; 480dpi)",
            "Instagram on Android phone",
            "phone",
        ),
        (IPHONE + "Mobile/15E148 Instagram 331.0.0.37.90 (iPhone15,2; iOS 17_5)", "Instagram on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/463.0.0.37.90;]", "Facebook on Android phone", "phone"),
        (IPHONE + "Mobile/15E148 [FBAN/FBIOS;FBAV/463.0.0.37.90;FBBV/1]", "Facebook on iPhone", "phone"),
        (IPHONE + "Mobile/15E148 Safari Line/14.7.0", "LINE on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36 Line/14.7.0/IAB", "LINE on Android phone", "phone"),
        (IPHONE + "Mobile/15E148 MyApp/2.3.1", "MyApp 2.3 on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36 MyApp/2.3.1", "MyApp 2.3 on Android phone", "phone"),
        (IPHONE + "Mobile/15E148", "App on iPhone", "phone"),
        (IN_APP + "Mobile Safari/537.36", "App on Android phone", "phone"),
        # Apps that speak for themselves.
        ("MyApp/2.3 (iPhone; iOS 17.5; Scale/3.00)", "MyApp 2.3 on iPhone", "phone"),
        ("MyApp/2.3 (iPad; iPadOS 17.5; Scale/2.00)", "MyApp 2.3 on iPad", "tablet"),
        ("MyApp/2.3.1 (com.example.myapp; build:1; iOS 17.5.1) Alamofire/5.8.0", "MyApp 2.3 on iOS", "phone"),
        ("MyApp/2.3 (Android 14; Pixel 8) okhttp/4.12.0", "MyApp 2.3 on Android", "phone"),
        ("com.example.MyApp/2.3 (Android 14)", "MyApp 2.3 on Android", "phone"),
        ("My%20App/20240501 CFNetwork/1494.0.7 Darwin/23.4.0", "My App on Apple device", "app"),
        ("MyApp/12 CFNetwork/1494.0.7 Darwin/22.6.0 (x86_64)", "MyApp 12 on Mac", "desktop"),
        ("MyApp/2.3", "MyApp 2.3", "app"),
        # Libraries.
        ("okhttp/4.12.0", "Other apps", "app"),
        ("python-requests/2.31.0", "Other apps", "app"),
        ("Dart/3.3 (dart:io)", "Other apps", "app"),
        ("curl/8.5.0", "Other apps", "app"),
        ("node", "Other apps", "app"),
        ("Dalvik/2.1.0 (Linux; U; Android 14; SM-S918N)", "Other apps on Android", "phone"),
        # Nobody's.
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "bot"),
        ("Mozilla/5.0 (compatible; Yahoo! Slurp)", "Bot", "bot"),
        ("Mozilla/5.0", "Unknown device", "unknown"),
        ("", "Unknown device", "unknown"),
    ],
)
def test_a_device_is_called_what_people_call_it(agent: str, name: str, kind: str) -> None:
    assert device_name(agent) == name
    assert device_kind(agent) == kind


@pytest.mark.parametrize(
    "agent",
    [
        "evil.com/1.0 (iPhone)",
        "Visit-http://evil.com/1.0 (iPhone)",
        "a%0d%0aSet-Cookie:x/1.0 (iPhone)",
        "%E2%80%AEmoc.live/1.0 (iPhone)",
        "<b>x</b>/1.0 (iPhone)",
        IPHONE + "Mobile/15E148 evil.com/2.0",
        IPHONE + "Mobile/15E148 https://evil.com/2.0",
        "bot.evil.com/1.0 bot",
        "A" * 200 + "/1.0 (iPhone)",
    ],
)
def test_a_name_that_an_app_gives_itself_is_short_and_no_address(agent: str) -> None:
    name = device_name(agent)
    assert len(name) <= MOST_LETTERS
    assert name.isprintable()
    assert "evil." not in name and "//" not in name and "<" not in name


@pytest.mark.parametrize(
    ("language", "iphone", "android", "alone", "apps"),
    [
        ("ko", "iPhone의 Safari", "Android 휴대전화의 Chrome", "Android 휴대전화", "기타 앱"),
        ("ja", "iPhoneのSafari", "Android スマートフォンのChrome", "Android スマートフォン", "その他のアプリ"),
        ("es", "Safari en iPhone", "Chrome en teléfono Android", "Teléfono Android", "Otras aplicaciones"),
        ("de", "Safari auf iPhone", "Chrome auf Android-Smartphone", "Android-Smartphone", "Andere Apps"),
        ("fr", "Safari sur iPhone", "Chrome sur téléphone Android", "Téléphone Android", "Autres applications"),
    ],
)
def test_devices_have_names_in_every_language(language: str, iphone: str, android: str, alone: str, apps: str) -> None:
    agents = {
        IPHONE + "Version/17.5 Mobile/15E148 Safari/604.1": iphone,
        ANDROID + "Chrome/124.0.0.0 Mobile Safari/537.36": android,
        "(Linux; Android 14; Mobile)": alone,
        "curl/8.5.0": apps,
        "(iPhone)": "iPhone",
    }
    with override(language):
        assert {agent: device_name(agent) for agent in agents} == agents
        assert devices.english_device_name(next(iter(agents))) == "Safari on iPhone"


def test_one_reading_serves_name_family_and_kind() -> None:
    agent = f"MyApp/{__name__[-3:]}7 (iPhone)"
    before = devices._device.cache_info().misses
    device_name(agent), devices.device_family(agent), device_kind(agent)
    assert devices._device.cache_info().misses == before + 1


def test_every_word_that_the_table_knows_is_found_as_it_stands() -> None:
    assert len(programs._KNOWN) > 50
    for word, name in programs._KNOWN.items():
        assert programs.program_of(f"Mozilla/5.0 ({word} x) {word}/1.0", is_apple=False) == name
        assert programs._WORD.fullmatch(word), word


# The site's own names.


def by_app(record: SessionRecord) -> str | None:
    return "Our app" if record.client.user_agent.startswith("OurApp/") else None


def test_a_site_names_devices_by_a_function_of_the_record() -> None:
    ours, other = record("OurApp/1 (iPhone)"), record("curl/8.5.0")
    for value in (by_app, f"{__name__}.by_app"):
        with override_settings(SRVSESSION_DEVICE_NAME=value):
            assert device_name_of(ours) == tags.device_name(ours) == "Our app"
            assert device_name_of(other) == tags.device_name(other) == "Other apps"
            assert tags.device_kind(ours) == "phone"


@pytest.mark.parametrize(
    ("returned", "name"),
    [
        (None, "Other apps"),
        ("", "Other apps"),
        ("  work \n laptop\t", "work laptop"),
        ("\u202eevil", "\\u202eevil"),
        ("x" * 200, "x" * 60),
        (7, "7"),
    ],
)
def test_what_that_function_returns_is_one_short_line_in_which_nothing_acts(returned: Any, name: str) -> None:
    with override_settings(SRVSESSION_DEVICE_NAME=lambda record: returned):
        assert device_name_of(record("curl/8.5.0")) == name


def test_a_function_that_fails_is_logged_and_our_name_stands(caplog: pytest.LogCaptureFixture) -> None:
    def fails(record: SessionRecord) -> str:
        raise LookupError("for the test")

    with override_settings(SRVSESSION_DEVICE_NAME=fails), caplog.at_level(logging.ERROR, "django_srvsession"):
        assert device_name_of(record("curl/8.5.0")) == "Other apps"
    assert "SRVSESSION_DEVICE_NAME" in caplog.text and "for the test" in caplog.text


@pytest.mark.parametrize("value", [7, "no.such.module.function", "word"])
def test_a_setting_that_is_no_function_is_reported(value: Any) -> None:
    with override_settings(SRVSESSION_DEVICE_NAME=value):
        assert [message.id for message in check_settings()] == ["srvsession.E002"]
        with pytest.raises(ImproperlyConfigured, match="SRVSESSION_DEVICE_NAME"):
            conf.read("DEVICE_NAME")
