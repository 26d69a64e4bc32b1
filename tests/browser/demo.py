"""The example project in processes of its own."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.browser.browsers import Browser
from tests.browser.npm import BOOTSTRAP, path_of
from tests.processes import Site, WSGISite
from tests.runs import Job

PREPARE = """
from django.core.management import execute_from_command_line as run
run(["manage.py", "migrate", "--verbosity=0"])
run(["manage.py", "demo_users"])
"""


class DemoSite(WSGISite):
    """The example project on one engine; keyword arguments that are not named here are settings, in JSON's types.

    ``redis`` and ``mongodb`` are the addresses of servers, ``database`` an entry of DATABASES.
    """

    application = "example_project.wsgi"
    probe = "/account/login/"

    def __init__(
        self,
        engine: str,
        redis: str = "",
        mongodb: str = "",
        database: dict[str, Any] | None = None,
        look: str = "own",
        **settings: object,
    ) -> None:
        super().__init__(workers=1 if engine == "memory" else 2)
        self.variables = {
            "DJANGO_SETTINGS_MODULE": "tests.browser.demo_settings",
            "SRVSESSION_DEMO_ENGINE": engine,
            "SRVSESSION_DEMO_REDIS": redis,
            "SRVSESSION_DEMO_MONGODB": mongodb,
            "SRVSESSION_DEMO_DATABASE": json.dumps(database),
            "SRVSESSION_DEMO_DATA": os.fspath(self.directory),
            "SRVSESSION_DEMO_LOOK": look,
            "SRVSESSION_TEST_DEMO": json.dumps(settings),
        }

    def environment(self) -> dict[str, str]:
        """Return what is added to the processes' environment."""
        return super().environment() | self.variables

    def start(self) -> None:
        """Make the database and its users, then serve."""
        if self.variables["SRVSESSION_DEMO_LOOK"] == "bootstrap":
            target = self.directory / "static" / "bootstrap"
            target.mkdir(parents=True)
            shutil.copy(path_of(BOOTSTRAP), target)
        if self.variables["SRVSESSION_DEMO_DATABASE"] == "null":
            shutil.copy(_prepared_database(), self.directory)
        else:
            Job([sys.executable, "-c", PREPARE], self.directory, env=self.environment()).finish()
        super().start()


def enter(browser: Browser, name: str = "alice") -> None:
    """Sign in as one of the demo's users, beside what is shown: for tests that are not about signing in."""
    page = browser.ask("/account/login/").body.decode()
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    answer = browser.ask("/account/login/", csrfmiddlewaretoken=token, username=name, password=f"demo-{name}")
    assert answer.status == 302, answer.body.decode()


def begin(browser: Browser, site: Site, *asked: str, name: str = "alice") -> None:
    """Turn to a site, end all of its sessions, sign in, and ask for pages that bring about what a test needs."""
    browser.turn_to(site.url)
    browser.ask("/end-everything/")
    enter(browser, name)
    for path in asked:
        browser.ask(path)


@functools.cache
def _prepared_database() -> Path:
    """Return the SQLite file that the demo begins with; all demos of a run begin with copies of one."""
    site = DemoSite("db")
    Job([sys.executable, "-c", PREPARE], site.directory, env=site.environment()).finish()
    return site.directory / "db.sqlite3"
