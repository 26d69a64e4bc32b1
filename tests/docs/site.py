"""A site that a page of the documentation makes: its blocks, done in order, each as its language and its file say."""

from __future__ import annotations

import ast
import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import sys
import tomllib
import types
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import global_settings
from django.contrib.auth import get_user_model, login
from django.core import checks
from django.db.utils import ConnectionHandler
from django.dispatch import Signal
from django.http import HttpRequest
from django.template import engines
from django.test import RequestFactory, TestCase, override_settings
from django.urls import get_resolver
from django.utils.module_loading import import_string

from django_srvsession import services, signals
from tests.docs import programs, shell
from tests.docs.blocks import Block, blocks_of

START: Final = {
    "INSTALLED_APPS": [
        f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "staticfiles")
    ]
    + ["django_srvsession"],
    "MIDDLEWARE": [
        "django.middleware.security.SecurityMiddleware",
        "django_srvsession.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    "LOGIN_URL": "srvsession:login",
    "LOGIN_REDIRECT_URL": "srvsession:sessions",
    "ROOT_URLCONF": "tests.docs.urls",
}
"""What a page may take for granted in settings: a new project, and the lines of README."""
CACHES: Final = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
URLS: Final = "from django.contrib import admin\nfrom django.urls import include, path\nurlpatterns = []\n"


class Modules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import the modules that a page shows, from what it shows."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources
        self.imported: set[str] = set()
        self.receivers: dict[Signal, list[Any]] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find a module of the page, or a package that one is in."""
        is_package = any(name.startswith(f"{fullname}.") for name in self.sources)
        if fullname in self.sources or (is_package and importlib.machinery.PathFinder.find_spec(fullname) is None):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module."""
        self.imported.add(module.__name__)
        exec(self.sources.get(module.__name__, ""), module.__dict__)

    def __enter__(self) -> Modules:
        sys.meta_path.insert(0, self)
        ours = [value for value in vars(signals).values() if isinstance(value, Signal)]
        self.receivers = {signal: list(signal.receivers) for signal in ours}
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.meta_path.remove(self)
        for name in self.imported:
            sys.modules.pop(name, None)
        for signal, receivers in self.receivers.items():  # Those of the page live until the garbage is collected.
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()


class Site:
    """The site of one page. ``put`` changes a setting; ``place`` stands for the directories that a page names."""

    def __init__(self, page: str, put: Callable[[str, Any], object], place: Path) -> None:
        self.page = page
        self.put = put
        self.place = place
        self.values: dict[str, Any] = {**START, "BASE_DIR": place, "CACHES": CACHES}
        self.start = dict(self.values)
        self.snippets: dict[str, Any] = {}
        self.urls = URLS
        sources: dict[str, str] = {}
        for block in blocks_of(page):
            if block.is_run and block.language == "python" and block.caption.endswith(".py"):
                name = block.caption.removesuffix(".py").replace("/", ".")
                sources[name] = sources.get(name, "") + self.text_of(block) + "\n\n"
        self.modules = Modules(
            {name: text for name, text in sources.items() if not name.endswith(("settings", "urls"))}
        )
        for name, value in START.items():
            put(name, value)

    def text_of(self, block: Block) -> str:
        """Return what a block says, with directories that are there and a date that is near."""
        near = f"{datetime.now(UTC) + timedelta(days=14):%Y-%m-%d}"
        return block.text.replace("/var/lib/mysite", str(self.place)).replace("2027-01-31", near)

    def do(self, block: Block) -> None:
        """Do what a block says, if it is one to be run; an error names the block."""
        try:
            if block.is_run and (block.language in HOW or not block.name):
                HOW[block.language](self, block)
        except BaseException as error:
            error.add_note(f"{block.place}:\n{block.text}")
            raise

    def python(self, block: Block) -> None:
        if block.caption.endswith("settings.py") or (not block.caption and self.page == "reference/settings"):
            self.configure(block)
        elif block.caption.endswith("urls.py"):
            self.route(block)
        elif block.caption:
            importlib.import_module(block.caption.removesuffix(".py").replace("/", "."))
        else:
            self.try_out(block)

    def configure(self, block: Block) -> None:
        """Take over settings; system checks find nothing wrong with them."""
        if "anew" in block.options.get("class", "").split():
            self.begin_anew()
        self.read(block)
        if databases := self.values.get("DATABASES"):
            handler = ConnectionHandler(databases)
            for alias in databases:
                handler[alias].get_connection_params()
        self.check()

    def begin_anew(self) -> None:
        """Forget the settings that blocks before have made: the page shows another site."""
        for name in self.values.keys() - self.start.keys():
            if name.isupper():
                self.put(name, getattr(global_settings, name, None))
        self.values = dict(self.start)

    def read(self, block: Block) -> None:
        """Take over settings."""
        values = {
            name: value.copy() if isinstance(value, list | dict) else value for name, value in self.values.items()
        }
        exec(compile(self.text_of(block), block.place, "exec"), values)
        changed = {name: value for name, value in values.items() if name.isupper() and value != self.values.get(name)}
        self.values = {name: value for name, value in values.items() if name != "__builtins__"}
        for name, value in changed.items():
            self.put(name, value)

    def check(self) -> None:
        """See that system checks find nothing, and that all middleware is there."""
        for path in self.values["MIDDLEWARE"]:
            import_string(path)
        assert [found for found in checks.run_checks() if found.level >= checks.WARNING] == []

    def route(self, block: Block) -> None:
        """Serve what the blocks of URLs say until here."""
        self.urls += f"{self.text_of(block)}\n"
        module = types.ModuleType(f"urls_of_{self.page.replace('/', '_').replace('-', '_')}")
        exec(self.urls, module.__dict__)
        self.put("ROOT_URLCONF", module)
        assert get_resolver(module).url_patterns  # type: ignore[arg-type]

    def try_out(self, block: Block) -> None:
        """Run lines of a view or a shell, for somebody who is signed in."""
        names = self.snippets = self.snippets or somebody()
        code = compile(self.text_of(block), block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        answer = eval(code, names)
        if inspect.iscoroutine(answer):
            asyncio.run(answer)

    def template(self, block: Block) -> None:
        engines["django"].from_string(self.text_of(block))
        if block.caption:
            file = self.place / block.caption
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text_of(block))

    def shell(self, block: Block) -> None:
        with override_settings(SESSION_ENGINE="django_srvsession.backends.memory"):  # No server need answer.
            self.snippets = self.snippets or somebody()
            for line in shell.lines(block.text):
                shell.do(line, self.values.get("DATABASES", ()))


def somebody() -> dict[str, Any]:
    """Return the names that a snippet may take for granted: a signed-in user, with a request and a second session."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        user = get_user_model().objects.create_user("ann", "ann@example.com", "pass-ann-2026")
        signed_in_request(user)
        request = signed_in_request(user)
    (other,) = [record.sid for record in services.sessions_of(user) if record.sid != request.session.sid]
    return {"request": request, "user": user, "sid": other}


def signed_in_request(user: Any, **fields: Any) -> HttpRequest:
    """Return a request in whose session a user has just signed in."""
    from django.conf import settings

    request = RequestFactory().post("/", **fields)
    request.session = importlib.import_module(settings.SESSION_ENGINE).SessionStore()
    request.user = user
    login(request, user)
    request.session.save()
    return request


HOW: Final[dict[str, Callable[[Site, Block], object]]] = {
    "python": Site.python,
    "shell": Site.shell,
    "html+django": Site.template,
    "json": lambda _, block: json.loads(block.text),
    "yaml": lambda _, block: yaml.safe_load(block.text),
    "toml": lambda _, block: tomllib.loads(block.text),
    "javascript": lambda _, block: programs.read_javascript(block.text),
    "nginx": lambda site, block: programs.read_nginx(block.text, site.place),
}
LANGUAGES: Sequence[str] = tuple(HOW)
