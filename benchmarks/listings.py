"""How long the admin's pages of live sessions take with very many: ``python -m benchmarks.listings``.

Private servers are started, filled and removed. A figure is the whole answer of a process, in milliseconds: middleware,
permission, queries, template. On a busy machine the best of several is nearest to the truth; the control tells what
the worst owes to the machine. Sessions were last used
within 14 days, a quarter of them within the last hour; one in ten is signed in.
"""

from __future__ import annotations

import argparse
import itertools
import random
import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.places import Place, served

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.{n}) Gecko/20100101 Firefox/128.{n}",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.{n}.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{n} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.{n}.0 "
    "Mobile Safari/537.36",
)
DAYS_MS = 14 * 86_400_000
LIST = "/admin/srvsession/livesession/"
CONTROL = "/admin/auth/group/"
PAGES = {
    "first page, with overview": "",
    "overview alone": "overview/",
    "signed in": "?kind=user",
    "anonymous": "?kind=anonymous",
    "active 5 minutes": "?active=5",
    "active in the last day": "?active=1440",
    "signed in, active in the last hour": "?kind=user&active=60",
    "device: computer": "?device=desktop",
    "device: iPhone": "?device=iphone",
    "device: iPhone, signed in": "?device=iphone&kind=user",
    "device: tablet (there is none)": "?device=tablet",
    "device: half of all deep": "?device=phone&after={half}",
    "staff": "?staff=1",
    "sessions of a user": "?user=77",
    "search: name": "?q=user77",
    "search: e-mail": "?q=user77@example.org",
    "search: sid": "?q={sid}",
    "search: address": "?q=10.1.2.3",
    "search: beginning of an address": "?q=10.1.2.",
    "search: nobody": "?q=nobody-at-all",
    "detail": "{sid}/change/",
    "half of all deep": "?after={half}",
    "half of all deep, signed in": "?kind=user&after={half}",
    "the very last": "?after={last}",
}


def records(count: int, now_ms: int) -> Iterator[Any]:
    """Make records, in no order; every tenth is a user's."""
    from django_srvsession.records import Client, SessionRecord

    chance = random.Random(7)
    for number in range(count):
        seen_ms = now_ms - int(chance.random() ** 4 * DAYS_MS)
        user_id = str(chance.randrange(count // 20) + 1) if number % 10 == 0 else None
        agent = AGENTS[number % 4].format(n=chance.randrange(60))
        address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
        yield SessionRecord(
            sid=secrets.token_hex(9),
            verifier=secrets.token_hex(32),
            created_ms=seen_ms - 60_000,
            last_seen_ms=seen_ms,
            lifetime_ms=2 * DAYS_MS,
            expires_ms=seen_ms + 2 * DAYS_MS,
            user_id=user_id,
            signed_in_ms=None if user_id is None else seen_ms - 50_000,
            client=Client(address, agent),
        )


def columns_of(record: Any) -> dict[str, Any]:
    from django_srvsession.clients.devices import device_family

    fields = record._asdict()
    client = fields.pop("client")
    family = device_family(client.user_agent)
    return {**fields, "ip": client.ip, "user_agent": client.user_agent, "device_family": family}


def copy_rows(connection: Any, found: Iterator[Any], data: bytes) -> None:
    names = None
    with connection.cursor() as cursor:
        for columns in map(columns_of, found):
            if names is None:
                names = [*columns, "data"]
                copying = cursor.copy(f"COPY srvsession_session ({', '.join(names)}) FROM STDIN")
                copy = copying.__enter__()
            copy.write_row([*columns.values(), data])
        copying.__exit__(None, None, None)


def fill_database(place: Place, found: Iterator[Any]) -> None:
    from django.db import connections

    from django_srvsession.engine import current_store
    from django_srvsession.models import Session

    data = Session._base_manager.get(sid=current_store().records()[0].sid).data
    if place.name == "postgresql":
        copy_rows(connections[place.name], found, bytes(data))
    while batch := list(itertools.islice(found, 5000)):
        Session._base_manager.bulk_create(Session(**columns_of(record), data=data) for record in batch)
    with connections[place.name].cursor() as cursor:
        cursor.execute("ANALYZE" if place.name != "mariadb" else "ANALYZE TABLE srvsession_session")


def fill_redis(found: Iterator[Any]) -> None:
    from django_redis import get_redis_connection

    from django_srvsession import conf
    from django_srvsession.backends.redis.format import session_image
    from django_srvsession.backends.redis.keys import Keys, kind_of
    from django_srvsession.engine import current_store

    redis, keys = get_redis_connection("default"), Keys(conf.redis_prefix)
    redis.config_set("maxmemory", 8 << 30)  # Bytes; our own server.
    store = current_store()
    template = store.load(store.records()[0].sid)
    while batch := list(itertools.islice(found, 2000)):
        pipeline = redis.pipeline(transaction=False)
        for record in batch:
            if record.user_id is not None:
                pipeline.zadd(keys.user(record.user_id), {record.sid: record.expires_ms})
            image = session_image(record, template.values, record.expires_ms)
            pipeline.set(keys.session(record.sid), image, pxat=record.expires_ms + DAYS_MS)
            pipeline.zadd(keys.live_of(kind_of(record.user_id), record.sid), {record.sid: record.last_seen_ms})
        pipeline.execute()


def viewer() -> Any:
    """Make users, and return the browser of one who may see all."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    model = get_user_model()
    boss = model._default_manager.filter(username="viewer").first()
    if boss is None:
        boss = model._default_manager.create_superuser("viewer", "viewer@example.org", "x")
        numbers = range(boss.pk + 1, boss.pk + 20_001)
        people = (model(pk=n, username=f"user{n}", email=f"user{n}@example.org", is_staff=n < 20) for n in numbers)
        model._default_manager.bulk_create(people, batch_size=5000)
    client = Client()
    client.force_login(boss)
    session = client.session
    session["cart"] = ["x" * 800]
    session.save()
    return client


def places_in(place: Place, count: int) -> dict[str, str]:
    from django_srvsession.engine import current_store
    from django_srvsession.store.listings import place_at

    def at(rank: int) -> str:
        record = current_store().records()[rank]
        return place_at(record.last_seen_ms * (1000 if place.name == "redis" else 1), record.sid)

    return {"half": at(count // 2), "last": at(count - 20), "sid": current_store().records()[100].sid}


def milliseconds(client: Any, url: str, times: int) -> tuple[list[float], int]:
    """Return the best, the median and the worst of several answers, and how many rows the list had.

    The fourth figure is what this process itself was busy for: the rest is the database, and waiting for the machine.
    """
    took, rows, busy = [], 0, []
    for _ in range(times):
        began, began_busy = time.perf_counter(), time.process_time()
        answer = client.get(url)
        took.append((time.perf_counter() - began) * 1000)
        busy.append((time.process_time() - began_busy) * 1000)
        assert answer.status_code == 200, (url, answer.status_code)
        rows = answer.content.count(b'name="_selected_action"')
    return [min(took), statistics.median(took), max(took), statistics.median(busy)], rows


def tell(title: str, took: list[float], rows: int) -> None:
    print(f"{title:<40}" + "".join(f"{each:>10.0f}" for each in took) + f"{rows:>6}", flush=True)


def measure(place: Place, count: int, times: int) -> None:
    from django.conf import settings

    from django_srvsession.engine import current_store

    settings.SESSION_ENGINE = f"django_srvsession.backends.{place.ours}"
    settings.SESSION_CACHE_ALIAS, settings.ALLOWED_HOSTS = "default", ["*"]
    place.use()
    client, began = viewer(), time.perf_counter()
    found = records(count, time.time_ns() // 1_000_000)
    fill_redis(found) if place.name == "redis" else fill_database(place, found)
    print(f"\n{place.name}: {count:,} sessions, filled in {time.perf_counter() - began:.0f} s")
    print(f"{'page':<40}{'best ms':>10}{'median':>10}{'worst':>10}{'busy':>10}{'rows':>6}")
    names = places_in(place, count)
    tell("the process's first page", *milliseconds(client, LIST, 1))
    for title, url in PAGES.items():
        tell(title, *milliseconds(client, LIST + url.format(**names), times))
    tell("(control: an empty list of Django's)", *milliseconds(client, CONTROL, 10 * times))
    began = time.perf_counter()
    list(current_store().records()[count // 2 : count // 2 + 50])
    print(f"{'(for comparison: half deep by rank)':<40}{(time.perf_counter() - began) * 1000:>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", nargs="+", default=["postgresql", "redis"])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    with served(options.stores) as places:
        for place in places:
            measure(place, options.sessions, options.times)


if __name__ == "__main__":
    main()
