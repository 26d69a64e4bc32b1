"""The place of an address, out of a small database made here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.gis import geoip2
from django.test import Client
from django.urls import include, path

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.clients.geoip import location_of
from tests.geoip import write_database

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
    settings.GEOIP_PATH = str(write_database(tmp_path / "countries.mmdb", "GeoLite2-Country"))
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
    monkeypatch.setattr(geoip2, "HAS_GEOIP2", False)
    assert location_of("203.0.113.9") == ""


@pytest.mark.usefixtures("cities")
def test_the_database_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = geoip2.GeoIP2.__init__

    def opening(self: Any, *args: Any, **kwargs: Any) -> None:
        opened.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(geoip2.GeoIP2, "__init__", opening)
    for number in range(20):
        location_of(f"203.0.113.{number}")
    assert len(opened) == 1


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
    assert '203.0.113.9</bdi> <bdi class="place">Seoul, South Korea</bdi>' in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
