"""docs/why/express.rst and the tests of this directory keep up with each other, and the page's examples work."""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings
from django.test import Client
from django.urls import path

from django_srvsession import conf, services
from django_srvsession.engine import SessionStore
from tests.docs.blocks import blocks_of

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "why" / "express.rst").read_text()
EXAMPLES = [block.text for block in blocks_of("why/express") if block.language == "python"]
TERMS = [
    *"secret resave saveUninitialized rolling unset genid name proxy store cookie".split(),
    *(f"cookie.{name}" for name in "domain expires httpOnly maxAge originalMaxAge partitioned path priority".split()),
    *["cookie.sameSite", "cookie.secure", "cookie.secure: 'auto'", "sameSite: 'auto'"],
    *"regenerate() destroy() reload() save() touch() req.session.id req.sessionID req.sessionStore".split(),
    *"req.session.cookie all() clear() length() generate()".split(),
    *["destroy(sid)", "get(sid)", "set(sid, session)", "touch(sid, session)"],
    *"MemoryStore connect-redis connect-mongo session-file-store express-mysql-session".split(),
]


def lines_of_tables() -> list[str]:
    """Return the lines of all tables, each with the comments below it; without the heads."""
    rows = re.findall(r"^   \* - (?:.*\n)+?(?=   \* - |\n\S|\Z)", PAGE, re.MULTILINE)
    return [row for row in rows if not row.startswith("   * - express-session\n")]


def backing(row: str) -> list[str]:
    return re.findall(r"^       \.\. (test_\w+)$", row, re.MULTILINE)


def names_of_tests() -> list[str]:
    """Return the names of the tests of this directory, but for those of this module."""
    modules = [module for module in HERE.glob("test_*.py") if module != Path(__file__)]
    functions = [node for module in modules for node in ast.parse(module.read_text()).body]
    names = [node.name for node in functions if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_")]


def test_every_line_of_the_page_names_a_test_that_exists() -> None:
    existing = set(names_of_tests())
    assert len(lines_of_tables()) == PAGE.count("\n   * - ") - PAGE.count("\n   * - express-session\n") > 50
    for row in lines_of_tables():
        assert backing(row), row
        assert set(backing(row)) <= existing, row


def test_every_test_of_this_directory_backs_a_line_of_the_page() -> None:
    named = {name for row in lines_of_tables() for name in backing(row)}
    assert set(names_of_tests()) - named == set()


def test_no_two_tests_of_this_directory_have_one_name() -> None:
    names = names_of_tests()
    assert len(names) == len(set(names))


@pytest.mark.parametrize("term", TERMS)
def test_every_option_method_and_store_of_express_session_is_on_the_left_of_a_line(term: str) -> None:
    left = [row.partition("\n     - ")[0] for row in lines_of_tables()]
    assert [cell for cell in left if re.search(rf"``(?:req\.session\.)?{re.escape(term)}\W", cell)]


def test_every_setting_on_the_page_exists() -> None:
    names = set(re.findall(r"\b(?:SRV)?SESSION_[A-Z_]+|\bSEC[A-Z]+_[A-Z_]+", PAGE))
    assert len(names) > 15
    for name in names:
        is_ours = name.startswith(conf.PREFIX)
        assert name.removeprefix(conf.PREFIX) in conf.SETTINGS if is_ours else hasattr(global_settings, name), name


def test_every_method_on_the_page_exists() -> None:
    right = "".join(row.partition("\n     - ")[2] for row in lines_of_tables())
    names = set(re.findall(r"``(?:await )?(?:request\.session\.)?([a-z_]+)\(", right))
    names -= {"len", "login", "logout", "set"}
    assert {"flush", "cycle_key", "reload", "touch", "incr", "asave"} <= names
    assert [name for name in names if not hasattr(SessionStore, name)] == []
    assert [name for name in re.findall(r"``services\.(\w+)", right) if not hasattr(services, name)] == []


# The examples.


def examples() -> Any:
    """Run the page's Python, and return the module that it makes."""
    module = types.ModuleType("examples")
    for example in EXAMPLES:
        exec(example, module.__dict__)
    return module


urlpatterns: list[Any] = []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Client:
    """A browser on a site of the page's views."""
    views = examples()
    pages = {"counter": views.counter, "start-over": views.start_over, "in": views.sign_in, "out": views.sign_out}
    monkeypatch.setitem(globals(), "urlpatterns", [path(name, view) for name, view in pages.items()])
    settings.ROOT_URLCONF = types.ModuleType("urls")
    settings.ROOT_URLCONF.urlpatterns = urlpatterns
    return Client()


def test_the_pages_view_counter_counts_and_starts_over(client: Client) -> None:
    assert [client.get("/counter").content for _ in range(3)] == [b"Views: 1", b"Views: 2", b"Views: 3"]
    assert client.get("/start-over").status_code == 405
    assert client.post("/start-over")["Location"] == "/counter"
    assert client.get("/counter").content == b"Views: 1"


@pytest.mark.parametrize("page", ["start-over", "in", "out"])
def test_the_pages_forms_need_a_csrf_token(client: Client, page: str) -> None:
    client.handler.enforce_csrf_checks = True
    assert client.post(f"/{page}").status_code == 403


def test_the_pages_sign_in_and_sign_out_do(client: Client, ann: Any) -> None:
    client.get("/counter")
    planted = client.cookies["sessionid"].value
    assert client.post("/in", {"username": "ann", "password": "wrong"}).status_code == 403
    assert client.post("/in", {"username": "ann", "password": "secret"}).status_code == 302
    key = client.cookies["sessionid"].value
    assert key != planted
    assert client.session["_auth_user_id"] == str(ann.pk)
    assert client.post("/out").cookies["sessionid"]["max-age"] == 0
    assert Client(headers={"cookie": f"sessionid={key}"}).get("/counter").content == b"Views: 1"
