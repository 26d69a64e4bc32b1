"""The place of an address, out of a small database made here."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path
from django.utils.translation import override

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.clients.geoip import location_of
from tests.geoip import SEOUL, write_database

urlpatterns = [path("account/", include("django_srvsession.urls"))]


@pytest.fixture
def cities(tmp_path: Path, settings: Any) -> Path:
    """A site with a database of cities, in a directory."""
    settings.GEOIP_PATH = str(tmp_path)
    return write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-City")


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("203.0.113.9", "Seoul, South Korea"),
        ("2001:db8::1", "Seoul, South Korea"),
        ("198.51.100.1", "New Zealand"),
        ("8.8.8.8", ""),
        ("127.0.0.1", ""),
        ("", ""),
        ("no address", ""),
        ("example.invalid", ""),
        ("203.0.113.9\n", ""),
        ("\x00", ""),
    ],
)
@pytest.mark.usefixtures("cities")
def test_a_known_address_has_a_place_and_any_other_has_none(ip: str, place: str) -> None:
    assert location_of(ip) == place


def test_a_database_of_countries_will_do(tmp_path: Path, settings: Any) -> None:
    places = {"203.0.113.0/24": {"country": SEOUL["country"]}}
    settings.GEOIP_PATH = str(write_database(tmp_path / "countries.mmdb", "GeoLite2-Country", places))
    assert location_of("203.0.113.9") == "South Korea"


def test_without_a_database_there_are_no_places() -> None:
    assert location_of("203.0.113.9") == ""


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com" + b"\xff" * 50])
def test_a_missing_or_damaged_database_is_logged_once_and_there_are_no_places(
    tmp_path: Path, settings: Any, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings.GEOIP_PATH = str(tmp_path)
    if content is not None:
        (tmp_path / "GeoLite2-City.mmdb").write_bytes(content)
    with caplog.at_level(logging.WARNING, "django_srvsession"):
        assert [location_of(ip) for ip in ("203.0.113.9", "198.51.100.1")] == ["", ""]
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("cities")
def test_damage_in_the_middle_is_an_unknown_place(tmp_path: Path) -> None:
    file = tmp_path / "GeoLite2-City.mmdb"
    content = bytearray(file.read_bytes())
    end = content.rindex(b"\xab\xcd\xefMaxMind.com")
    content[end - 400 : end - 8] = b"\xff" * 392
    file.write_bytes(content)
    assert location_of("203.0.113.9") in ("", "Seoul, South Korea")


@pytest.mark.usefixtures("cities")
def test_without_the_package_there_are_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    assert location_of("203.0.113.9") == ""


@pytest.mark.usefixtures("cities")
def test_the_database_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = maxminddb.open_database

    def opening(*args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(maxminddb, "open_database", opening)
    for number in range(20):
        location_of(f"203.0.113.{number}")
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("language", "place"),
    [
        ("ko", "서울, 대한민국"),
        ("ja", "ソウル, South Korea"),
        ("de", "Seoul, Südkorea"),
        ("de-at", "Seoul, Südkorea"),
        ("pt", "Seoul, Coreia do Sul"),
        ("pt-br", "Seoul, Coreia do Sul"),
        ("fr", "Seoul, South Korea"),
        (None, "Seoul, South Korea"),
    ],
)
@pytest.mark.usefixtures("cities")
def test_a_place_is_in_the_reader_s_language_or_else_in_english(language: str | None, place: str) -> None:
    assert location_of("203.0.113.9") == "Seoul, South Korea"
    with override(language):
        assert location_of("203.0.113.9") == place


def test_a_database_of_anything_else_is_refused(tmp_path: Path, settings: Any, caplog: Any) -> None:
    settings.GEOIP_PATH = str(write_database(tmp_path / "networks.mmdb", "GeoLite2-ASN"))
    assert location_of("203.0.113.9") == ""
    assert "neither cities nor countries" in caplog.text


@pytest.mark.parametrize(
    "value", [{"city": "Seoul"}, {"city": {"names": ["Seoul"]}}, {"city": {"names": {"en": 5}}}, 5]
)
def test_what_has_another_shape_is_an_unknown_place(value: Any, tmp_path: Path, settings: Any) -> None:
    file = write_database(tmp_path / "cities.mmdb", "GeoLite2-City", {"203.0.113.0/24": value})
    settings.GEOIP_PATH = str(file)
    assert location_of("203.0.113.9") == ""


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("cities")
def test_the_list_of_sessions_shows_places_and_trusts_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "table", SessionTable())
    get_user_model().objects.create_user("alice", password="pass-alice")
    for ip in ("203.0.113.9", "192.0.2.1"):
        client = Client(REMOTE_ADDR=ip)
        client.post("/account/login/", {"username": "alice", "password": "pass-alice"})
        text = client.get("/account/sessions/").content.decode()
        with override("ko"):
            korean = client.get("/account/sessions/").content.decode()
    assert '203.0.113.9</bdi> <bdi class="place">Seoul, South Korea</bdi>' in text
    assert '203.0.113.9</bdi> <bdi class="place">서울, 대한민국</bdi>' in korean
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
