"""The example project: its settings on every engine, its users, its counter and its cart."""

from __future__ import annotations

import gettext
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from example_project.demo import hold_lock, outage
from example_project.demo.management.commands import demo_users
from tests.patience import patient
from tests.runs import ROOT
from tests.servers import find_program, missing
from tests.test_translations import OPTIONS, entries

REPORT = """
import json, django
from django.conf import settings
from django.core.checks import run_checks
from django_srvsession.engine import current_store
django.setup()
print(json.dumps({
    "store": type(current_store()).__name__,
    "checks": [str(message) for message in run_checks()],
    "database": settings.DATABASES["default"]["ENGINE"],
    "secret": settings.SECRET_KEY,
    "outage": settings.OUTAGE_SECONDS,
    "cache": settings.CACHES.get("sessions", {}),
    "mongodb": getattr(settings, "SRVSESSION_MONGODB", None),
}))
"""


def demo(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start Python with the example project's settings, and report on them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SRVSESSION_")}
    env = {**kept, "DJANGO_SETTINGS_MODULE": "example_project.settings", "SRVSESSION_DEMO_DATA": str(directory)}
    argv = [sys.executable, "-c", REPORT]
    return subprocess.run(
        argv, cwd=ROOT, env=env | variables, capture_output=True, text=True, timeout=patient(60), check=False
    )


@pytest.mark.parametrize(
    ("engine", "store"),
    [("", "DatabaseStore"), ("db", "DatabaseStore"), ("file", "FileStore"), ("memory", "MemoryStore")],
)
def test_the_environment_chooses_the_store(tmp_path: Path, engine: str, store: str) -> None:
    answer = demo(tmp_path, **({"SRVSESSION_DEMO_ENGINE": engine} if engine else {}))
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert (report["store"], report["checks"]) == (store, [])


@pytest.mark.parametrize(("engine", "store"), [("redis", "RedisStore"), ("cached_db", "CachedDatabaseStore")])
def test_redis_gets_a_cache_alias_of_its_own_with_time_limits(tmp_path: Path, engine: str, store: str) -> None:
    address = "redis://127.0.0.1:1/0"
    answer = demo(tmp_path, SRVSESSION_DEMO_ENGINE=engine, SRVSESSION_DEMO_REDIS=address)
    report = json.loads(answer.stdout)
    assert report["store"] == store
    assert report["cache"]["LOCATION"] == address
    assert set(report["cache"]["OPTIONS"]) == {"SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"}


@pytest.mark.parametrize(
    ("address", "entry"),
    [
        ("mongodb://127.0.0.1:1/", {"HOST": "mongodb://127.0.0.1:1/", "NAME": "demo"}),
        ("mongodb://127.0.0.1:1/mine", {"HOST": "mongodb://127.0.0.1:1/mine"}),
    ],
)
def test_the_address_of_a_mongodb_is_all_that_its_engine_needs(
    tmp_path: Path, address: str, entry: dict[str, str]
) -> None:
    answer = demo(tmp_path, SRVSESSION_DEMO_MONGODB=address)
    report = json.loads(answer.stdout)
    assert (report["store"], report["mongodb"], report["checks"]) == ("MongoStore", entry, [])


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SRVSESSION_DEMO_ENGINE": "mongodb"}, "Set SRVSESSION_DEMO_MONGODB, for example to mongodb://"),
        ({"SRVSESSION_DEMO_ENGINE": "cached_db"}, "Set SRVSESSION_DEMO_REDIS, for example to redis://"),
        ({"SRVSESSION_DEMO_ENGINE": "redis"}, "Set SRVSESSION_DEMO_REDIS, for example to redis://"),
        ({"SRVSESSION_DEMO_LOOK": "drab"}, "SRVSESSION_DEMO_LOOK is 'drab'; it must be one of own, admin, bootstrap"),
        ({"SRVSESSION_DEMO_ENGINE": "floppy"}, "SRVSESSION_DEMO_ENGINE is 'floppy'; it must be one of db, redis"),
    ],
)
def test_a_wrong_environment_is_explained(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    answer = demo(tmp_path, **variables)
    assert answer.returncode == 1
    assert message in answer.stderr.splitlines()[-1]


def test_who_starts_the_demo_is_told_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "SRVSESSION_DEMO_DATA": str(tmp_path),
        "SRVSESSION_DEMO_ENGINE": "redis",
        "PATH": str(tmp_path),
    }
    argv = [sys.executable, "-m", "example_project", "--port=1"]
    answer = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=patient(60), check=False)
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("Error: SRVSESSION_DEMO_ENGINE is 'redis', and nothing says where Redis answers.")
    assert "install redis-server" in line


def test_database_and_secret_come_from_the_environment(tmp_path: Path) -> None:
    database = json.dumps({"ENGINE": "django.db.backends.postgresql", "NAME": "demo"})
    answer = demo(
        tmp_path,
        SRVSESSION_DEMO_ENGINE="memory",
        SRVSESSION_DEMO_DATABASE=database,
        SRVSESSION_DEMO_SECRET="s3cret",
    )
    report = json.loads(answer.stdout)
    assert (report["database"], report["secret"]) == ("django.db.backends.postgresql", "s3cret")


def test_the_demos_files_are_its_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    assert demo(directory, SRVSESSION_DEMO_ENGINE="file").returncode == 0
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "sessions").stat().st_mode) == 0o700


# In this process.


@pytest.fixture
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example project's pages, on an empty memory store."""
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.ROOT_URLCONF = "example_project.urls"
    settings.LOGIN_REDIRECT_URL = "home"
    settings.OUTAGE_SECONDS = 3
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [ROOT / "example_project" / "templates"]}]
    settings.DEBUG = True
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


def make_users() -> str:
    stdout = io.StringIO()
    call_command(demo_users.Command(), "--address=http://127.0.0.1:7/", stdout=stdout)
    return stdout.getvalue()


def views(client: Client) -> int:
    found = re.search(r'<output id="views">(\d+)</output>', client.get("/").content.decode())
    assert found
    return int(found[1])


@pytest.mark.django_db
@pytest.mark.usefixtures("site")
def test_the_users_can_sign_in_and_one_is_an_administrator() -> None:
    assert make_users().splitlines() == [
        "Open http://127.0.0.1:7/ (sessions are kept in: memory)",
        "  user alice  password demo-alice",
        "  user bob    password demo-bob",
        "  user admin  password demo-admin",
    ]
    for name in demo_users.NAMES:
        client = Client()
        answer = client.post(reverse("srvsession:login"), {"username": name, "password": f"demo-{name}"}, follow=True)
        assert f"Hello, {name}" in answer.content.decode()
        assert client.get("/admin/").status_code == (200 if name == "admin" else 302)


@pytest.mark.django_db
@pytest.mark.usefixtures("site")
def test_making_the_users_again_repairs_them_and_signs_nobody_out() -> None:
    make_users()
    client = Client()
    assert client.login(username="alice", password="demo-alice")
    get_user_model().objects.filter(username="bob").update(password="forgotten", is_active=False, is_superuser=True)
    make_users()
    assert get_user_model().objects.count() == 3
    assert "Hello, alice" in client.get("/").content.decode()
    bob = get_user_model().objects.get(username="bob")
    assert (bob.check_password("demo-bob"), bob.is_active, bob.is_superuser) == (True, True, False)


@pytest.mark.django_db
@pytest.mark.usefixtures("site")
def test_known_passwords_are_refused_outside_development(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG is off"):
        make_users()
    assert not get_user_model().objects.exists()


@pytest.mark.usefixtures("site")
def test_the_counter_counts_every_view_of_one_session_and_of_no_other() -> None:
    client, other = Client(), Client()
    assert [views(client) for _ in range(3)] == [1, 2, 3]
    assert views(other) == 1


@pytest.mark.usefixtures("site")
def test_the_counter_is_exact_under_load() -> None:
    client = Client()
    views(client)

    def visit(_: int) -> int:
        tab = Client()
        tab.cookies = client.cookies.copy()
        return views(tab)

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(visit, range(80)))
    assert sorted(counts) == list(range(2, 82))


@pytest.mark.usefixtures("site")
def test_the_cart_keeps_what_is_put_into_its_lists() -> None:
    client = Client()
    for shelf, item in [("Fruit", "Pears"), ("Fruit", "Plums"), ("Bread", "Rye"), ("Fruit", "Pears")]:
        assert client.post("/cart/add/", {"shelf": shelf, "item": item}).status_code == 302
    assert client.session["cart"] == {"Fruit": ["Pears", "Plums", "Pears"], "Bread": ["Rye"]}
    assert client.get("/").content.decode().count("<dd>Pears</dd>") == 2
    assert client.post("/cart/add/", {"shelf": "Fruit", "item": "Gold"}).status_code == 404
    client.post("/cart/empty/")
    assert "cart" not in client.session
    assert "Nothing yet" in client.get("/").content.decode()


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("page", ["/cart/add/", "/cart/empty/"])
def test_only_post_changes_the_cart(page: str) -> None:
    assert Client().get(page).status_code == 405
    assert Client(enforce_csrf_checks=True).post(page, {"shelf": "Fruit", "item": "Pears"}).status_code == 403


# The outage. What it does is in tests/browser/test_demo.py; here, who may not bring one about.


@pytest.fixture
def begun(site: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """What the button would have done, on a store that can be taken away."""
    calls: list[float] = []
    monkeypatch.setattr(outage, "_sqlite_file", lambda: tmp_path / "db.sqlite3")
    monkeypatch.setattr(outage, "_lock", lambda file, seconds: bool(calls.append(seconds)) or True)
    monkeypatch.setattr(outage, "_ends_at", 0.0)
    return calls


def test_the_button_takes_the_store_away_once_however_often_it_is_pressed(begun: list[float]) -> None:
    client = Client()
    assert "Take the store away" in client.get("/").content.decode()
    for _ in range(3):
        assert client.post("/take-away/").status_code == 302
    assert begun == [3]


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "", "::ffff:192.0.2.7"])
def test_nobody_takes_the_store_away_from_another_machine(begun: list[float], address: str) -> None:
    client = Client(REMOTE_ADDR=address)
    assert "Take the store away" not in client.get("/").content.decode()
    assert client.post("/take-away/").status_code == 404
    assert begun == []


def test_nobody_takes_the_store_away_outside_development(begun: list[float], settings: Any) -> None:
    settings.DEBUG = False
    assert "Take the store away" not in Client().get("/").content.decode()
    assert Client().post("/take-away/").status_code == 404
    assert begun == []


def test_another_site_cannot_take_the_store_away(begun: list[float]) -> None:
    assert Client().get("/take-away/").status_code == 405
    assert Client(enforce_csrf_checks=True).post("/take-away/").status_code == 403
    assert begun == []


@pytest.mark.parametrize(("asked", "seconds"), [(None, 15), ("7", 7), ("3600", 20)])
def test_the_store_is_away_for_20_seconds_at_most(tmp_path: Path, asked: str | None, seconds: int) -> None:
    variables = {} if asked is None else {"SRVSESSION_DEMO_OUTAGE": asked}
    assert json.loads(demo(tmp_path, **variables).stdout)["outage"] == seconds
    assert hold_lock.MOST_SECONDS == 20


# Languages.

CATALOGUE = ROOT / "example_project" / "locale" / "ko" / "LC_MESSAGES" / "django.po"


def test_the_demo_speaks_korean_wholly(tmp_path: Path) -> None:
    if find_program("xgettext") is None:
        missing("gettext")
    copy = tmp_path / "example_project"
    shutil.copytree(ROOT / "example_project", copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    command = [sys.executable, "-m", "django", "makemessages", "--locale=ko", *OPTIONS]
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=copy, env=env, check=True, capture_output=True, timeout=patient(60))
    made = (copy / CATALOGUE.relative_to(ROOT / "example_project")).read_text(encoding="utf-8")
    assert re.sub(r'"POT-Creation-Date: .*\n', "", made) == CATALOGUE.read_text(encoding="utf-8")
    assert not re.search(r'^msgstr ""$(?!\n")', made, re.MULTILINE)
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, translation in entries(made).items():
        assert compiled.gettext(text) == translation, text
        # What the package says, too, the demo says in the same words: its catalogue comes first.
        assert entries().get(text, translation) == translation, text
