"""A site with live sessions moves to ours and back, under traffic: nobody is signed out, nothing is lost or revived.

Five kinds of servers are at work: those of before, of the first and the second step, and of the two steps back. In each
phase two kinds answer, as in a rolling deploy, and a request may come to either.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from tests.databases import add_database
from tests.engine.pages import STOCK
from tests.moving.people import COOKIE, Person, all_visit
from tests.processes import Visitor, WSGISite
from tests.runs import Job, can_be_imported, new_directory
from tests.trust import WHOLE, rounds

OURS, THEIRS = "django_srvsession.middleware", "django.contrib.sessions.middleware"
TARGETS = {
    f"{STOCK}.backends.db": "redis",
    f"{STOCK}.backends.signed_cookies": "db",
    f"{STOCK}.backends.cache": "db",
    f"{STOCK}.backends.cached_db": "redis",
    f"{STOCK}.backends.file": "db",
}
PEERS = {"user_sessions.backends.db": "db", "qsessions.backends.db": "redis", "qsessions.backends.cached_db": "db"}
ARE_HERE = can_be_imported(*(path.partition(".")[0] for path in PEERS))  # Not for every Python and Django.
SOURCES = [*TARGETS, *(PEERS if ARE_HERE else ())] if WHOLE else [f"{STOCK}.backends.db"]
SESSIONS = 10_000 if WHOLE else 40
PEOPLE = 200 if WHOLE else 12
"""Of so many sessions the visitors come in every phase; the others come once, after the command."""
USERS = 50
MOST_GROWTH_BYTES = 12 * 1024 * 1024

Servers = dict[str, WSGISite]


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """A ``DATABASES`` entry, migrated and with users."""
    server = request.getfixturevalue("postgresql_server")
    server.create_database("moving")
    entry: dict[str, Any] = server.database_settings("moving") | {"CONN_MAX_AGE": 600}
    with django_db_blocker.unblock():
        add_database("moving", entry)
        password = make_password("secret")
        User.objects.using("moving").bulk_create(
            User(username=f"user{number}", password=password) for number in range(USERS)
        )
    return entry


@pytest.fixture(scope="module", params=SOURCES)
def servers(request: pytest.FixtureRequest, database: dict[str, Any]) -> Iterator[Servers]:
    """The five kinds of servers, which share a database, a Redis and a directory."""
    theirs = request.param
    ours = f"django_srvsession.backends.{(TARGETS | PEERS)[theirs]}"
    cache = request.getfixturevalue("redis_server").cache_settings() | {"KEY_PREFIX": secrets.token_hex(6)}
    shared = {
        "DATABASES": {"default": database},
        "CACHES": {"default": cache},
        "SESSION_FILE_PATH": str(new_directory(f"moving-{secrets.token_hex(6)}")),
        "ROOT_URLCONF": "tests.moving.views",
        "MIDDLEWARE": [f"{OURS}.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
        "SRVSESSION_REDIS_PREFIX": f"moving-{secrets.token_hex(6)}:",
        "SRVSESSION_MIGRATE_UNTIL": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
    }
    package = theirs.partition(".")[0]
    before = THEIRS
    if theirs in PEERS:
        shared["INSTALLED_APPS"], before = [*django_settings.INSTALLED_APPS, package], f"{package}.middleware"
    stock = [entry.replace(OURS, before) for entry in shared["MIDDLEWARE"]]
    kinds: dict[str, dict[str, Any]] = {
        "old": {"SESSION_ENGINE": theirs, "MIDDLEWARE": stock},
        "first": {"SESSION_ENGINE": theirs, "SRVSESSION_MIGRATE_TO": ours},
        "second": {"SESSION_ENGINE": ours, "SRVSESSION_MIGRATE_FROM": theirs},
        "first back": {"SESSION_ENGINE": ours, "SRVSESSION_MIGRATE_TO": theirs},
        "second back": {"SESSION_ENGINE": theirs, "SRVSESSION_MIGRATE_FROM": ours},
    }
    sites = {name: WSGISite(workers=1, threads=4, **(shared | settings)) for name, settings in kinds.items()}
    if theirs in PEERS:
        migrate = [sys.executable, "-m", "django", "migrate", "--verbosity=0", "--skip-checks"]
        Job(migrate, new_directory(f"migrate-{secrets.token_hex(4)}"), env=sites["second"].environment()).finish(120)
    with ExitStack() as stack:
        for site in sites.values():
            stack.enter_context(site)
        yield sites


def sessions_of_before(servers: Servers) -> list[Person]:
    """Make sessions on a server of before."""
    people, is_kept = [], not servers["old"].settings["SESSION_ENGINE"].endswith("signed_cookies")
    for first in range(0, SESSIONS, 500):
        behind = min(first + 500, SESSIONS)
        made = Visitor(servers["old"].url, seconds=120).get("/make/", first=first, behind=behind).json()["made"]
        people += [Person(key, name, is_kept) for key, name in made]
    return people


def move_all(servers: Servers) -> dict[str, Any]:
    """Run the command beside the servers of the second step."""
    site = servers["second"]
    argv = [sys.executable, "-m", "tests.moving.command", site.settings["SRVSESSION_MIGRATE_FROM"]]
    job = Job(argv, new_directory(f"command-{secrets.token_hex(4)}"), env=site.environment())
    job.finish(900)
    told: dict[str, Any] = json.loads(job.log.read_text().splitlines()[-1])
    return told


@pytest.mark.slow
@pytest.mark.timeout(3600 if WHOLE else 120)
def test_a_site_moves_there_and_back_under_traffic(
    servers: Servers, record_property: Callable[[str, object], None]
) -> None:
    people = sessions_of_before(servers)
    regulars, others = people[:PEOPLE], people[PEOPLE:]
    phases = [("old", "old"), ("old", "first"), ("first", "first"), ("first", "second"), ("second", "second")]
    back = [("second", "first back"), ("first back", "first back"), ("first back", "second back")]
    back += [("second back", "second back"), ("second back", "old")]
    wrong: list[str] = []

    def go_through(phases: list[tuple[str, str]], begin: int) -> None:
        for number, phase in enumerate(phases, begin):
            sites = [servers[kind] for kind in phase]
            wrong.extend(f"{phase}: {what}" for what in all_visit(regulars, sites, number))
            wrong.extend(f"{phase}: {what}" for what in all_visit(regulars, sites, number + 100))
            if "second" in phase or phase == ("first", "first"):  # Where a logout ends signed cookies, too.
                chance = random.Random(number)
                those_in = [person for person in regulars if person.is_in]
                for person in chance.sample(those_in, max(len(regulars) // 20, 1)):
                    person.sign_out(sites, chance)
            assert not wrong, wrong[:10]

    go_through(phases, 0)
    if not servers["old"].settings["SESSION_ENGINE"].endswith("signed_cookies"):
        told = move_all(servers)
        assert told["counts"].get("moved", 0) == len(others), told["counts"]
        record_property("the command's memory, in bytes", told["memory"])
        if WHOLE:
            settled, last = told["memory"][4], told["memory"][-1]
            assert last - settled < MOST_GROWTH_BYTES, told["memory"]
    wrong += all_visit(others, [servers["second"], servers["first"]], 50)
    assert not wrong, wrong[:10]
    go_through(back, 10)
    assert sum(person.is_in for person in regulars) > len(regulars) // 3
    record_property("sessions", len(people))
    record_property("visits", sum(person.visits for person in people))
    record_property("signed out", sum(not person.is_in for person in people))


@pytest.mark.slow
def test_all_of_a_user_end_while_their_visitors_are_carried_over(servers: Servers) -> None:
    """Whichever is first, on whichever server: what waited is over, and who signs in afterwards stays."""
    sites = [servers["first"], servers["second"]]

    def shown(site: WSGISite, cookie: str, page: str = "see", **query: object) -> tuple[str, str]:
        visitor = Visitor(site.url, {COOKIE: cookie} if cookie else {})
        answer = visitor.get(f"/{page}/", **query)
        assert answer.status == 200, answer.body[:300]
        return answer.json().get("user", ""), visitor.cookies.get(COOKIE, "")

    for number in range(rounds(40)):
        chance = random.Random(number)
        place = number % USERS
        made = [
            Visitor(servers["old"].url).get("/make/", first=first, behind=first + 1).json()["made"][0]
            for first in range(place, place + 6 * USERS, USERS)
        ]
        name, old = made[0][1], [cookie for cookie, _ in made]
        how = {"name": name} | ({"atomic": 1} if number % 2 else {})
        with ThreadPoolExecutor(len(old) + 1) as pool:
            visits = [pool.submit(shown, chance.choice(sites), cookie) for cookie in old]
            pool.submit(shown, chance.choice(sites), "", "end", **how).result()
            cookies = [*old, *(visit.result()[1] for visit in visits)]
        assert {shown(site, cookie)[0] for cookie in cookies for site in sites} == {""}, (number, servers["first"].log)
        entered = [shown(site, "", "enter", name=name)[1] for site in sites]
        assert {shown(site, cookie)[0] for cookie in entered for site in sites} == {name}, number
        shown(chance.choice(sites), "", "end", **how)
        assert {shown(site, cookie)[0] for cookie in entered for site in sites} == {""}, number
