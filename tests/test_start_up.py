"""A site that starts imports what serving a request needs, and no more. Counted in fresh processes, never timed."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import pytest

from tests.runs import ROOT

ENGINES = ("memory", "db", "file")
MOST_MODULES = 85  # 98 when the patterns of user agents, all checks and all pages of the admin came along.

SITE = """
import json, sys, types
from django.conf import settings

ours, engine, pages = json.loads(sys.argv[1])
urls = sys.modules["bare_urls"] = types.ModuleType("bare_urls")
sessions = "django_srvsession" if ours else "django.contrib.sessions"
apps = ["admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"]
settings.configure(
    SECRET_KEY="tests only",
    ROOT_URLCONF="bare_urls",
    INSTALLED_APPS=["django.contrib." + name for name in apps] + (["django_srvsession"] if ours else []),
    MIDDLEWARE=[
        sessions + ".middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    SESSION_ENGINE=f"{sessions}.backends.{engine}",
    SESSION_FILE_PATH="/",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
import django
django.setup()
from django.contrib import admin
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver, include, path
urls.urlpatterns = [path("admin/", admin.site.urls)]
if ours and pages:
    urls.urlpatterns += [path("account/", include("django_srvsession.urls"))]
    urls.urlpatterns += [path("api/", include("django_srvsession.api.urls"))]
    get_resolver().resolve("/account/sessions/")
    get_resolver().resolve("/api/sessions/")
get_resolver().resolve("/admin/")
if engine != "redis":
    WSGIHandler()
print(json.dumps(sorted(sys.modules)))
"""

HEAVY = (
    *("yaml", "redis", "django_redis", "hiredis", "tqdm", "geoip2", "maxminddb", "rest_framework"),
    "django_srvsession.clients.programs",
    *("django.contrib.admin.views.main", "django_srvsession.management"),
    *("django_srvsession.checks", "django_srvsession.admin.changelist", "django_srvsession.admin.event_list"),
    *("django_srvsession.admin.overview", "django_srvsession.operations.stats", "django_srvsession.operations.doctor"),
    *(
        "django_srvsession.operations.clearing",
        "django_srvsession.backends.db.clearing",
        "django_srvsession.backends.db.health",
    ),
)


@functools.cache
def imported(ours: bool, engine: str, pages: bool = False) -> frozenset[str]:
    """Return which modules a site has imported when it is ready to serve."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", SITE, json.dumps([ours, engine, pages])]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout))


def heavy(modules: frozenset[str]) -> list[str]:
    return sorted(name for name in modules if any(f"{name}.".startswith(f"{each}.") for each in HEAVY))


def test_the_heavy_modules_exist() -> None:
    probe = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(n) is None for n in sys.argv[1:]))"
    names = [name for name in HEAVY if name.startswith("django_srvsession") or name in ("tqdm", "redis")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    probe = f"import django; django.setup(); {probe}"
    assert subprocess.run([sys.executable, "-c", probe, *names], env=env, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bare_site_imports_few_modules_more_than_without_us(engine: str) -> None:
    more = imported(True, engine) - imported(False, "db")
    assert len(more) <= MOST_MODULES, sorted(more)


@pytest.mark.parametrize(("engine", "pages"), [(engine, False) for engine in (*ENGINES, "redis")] + [("db", True)])
def test_a_site_that_starts_imports_nothing_heavy(engine: str, pages: bool) -> None:
    """The engine on Redis is imported by the middleware, and needs a client then; its setup needs none."""
    assert heavy(imported(True, engine, pages)) == []
