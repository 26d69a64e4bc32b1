"""README, done as it says, on the built wheel: a new project, its blocks in order, a browser that sees and ends."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest
from docutils.core import publish_doctree, publish_string
from docutils.nodes import Node, literal_block, paragraph

from tests.browser.browsers import Browser
from tests.patience import patient
from tests.processes import Visitor
from tests.runs import ROOT, Job, new_directory, wait_until
from tests.servers import RedisServer, free_port

QUIET = {"report_level": 5}
PERSON = {
    "DJANGO_SUPERUSER_USERNAME": "ann",
    "DJANGO_SUPERUSER_PASSWORD": "pass-ann-2026",
    "DJANGO_SUPERUSER_EMAIL": "a@b.example",
}
STOCK = """
from django.contrib.auth import get_user_model
from importlib import import_module
from django.conf import settings
session = import_module(settings.SESSION_ENGINE).SessionStore()
user = get_user_model().objects.create_user("ann", "a@b.example", "pass-ann-2026")
session["_auth_user_id"], session["_auth_user_backend"] = str(user.pk), "django.contrib.auth.backends.ModelBackend"
session["_auth_user_hash"] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""
VIEW = """
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
from importlib import import_module
from django.conf import settings
user = get_user_model().objects.get()
def sign_in():
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "192.0.2.1"}
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    request.user = user
    login(request, user)
    request.session.save()
    return request
sign_in()
request = sign_in()
"""


class Block(NamedTuple):
    """A block of README: its language, what is in it, and the paragraph that leads to it."""

    language: str
    text: str
    before: str


def blocks(name: str = "README.rst") -> list[Block]:
    tree = publish_doctree((ROOT / name).read_text(), settings_overrides=QUIET)
    found, before = [], ""
    for node in tree.findall(lambda node: isinstance(node, paragraph | literal_block)):
        if isinstance(node, literal_block):
            found.append(Block(_language(node), node.astext(), before))
        else:
            before = node.astext()
    return found


def _language(node: Node) -> str:
    (language,) = set(node["classes"]) - {"code"}  # type: ignore[index]
    return str(language)


class Project:
    """A project that is made by following README."""

    def __init__(self, name: str, packages: Path) -> None:
        self.home = new_directory(name)
        self.root = self.home / "mysite"
        self.env = {
            "PYTHONPATH": str(packages),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            **PERSON,
        }
        self.jobs: list[Job] = []
        self.url = ""

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.language == "shell":
            for line in block.text.splitlines():
                self.do(line)
        elif file := re.search(r"mysite/\w+\.py", block.before):
            with (self.root / file[0]).open("a") as open_file:
                open_file.write(f"\n{block.text}\n")
        else:
            assert block.before.endswith("view:")
            self.manage("shell", "--command", VIEW + block.text)

    def do(self, line: str) -> None:
        """Do a line of a shell: what a person would be asked is told, and what would go on for ever goes on."""
        match line.split():
            case ["pip", "install", *_]:
                return  # The fixture did: the same wheel, without a package index.
            case ["django-admin", *arguments]:
                self.run(self.home, "-m", "django", *arguments, settings=None)
            case ["cd", "mysite"]:
                assert self.root.is_dir()
            case ["python", "manage.py", "runserver"]:
                self.serve()
            case ["python", "manage.py", "createsuperuser"]:
                self.manage("createsuperuser", "--no-input")
            case ["python", "manage.py", *arguments]:
                self.manage(*arguments)
            case other:
                raise AssertionError(other)

    def run(self, directory: Path, *arguments: str, settings: str | None = "mysite.settings") -> str:
        env = {name: value for name, value in {**os.environ, **self.env}.items() if name != "DJANGO_SETTINGS_MODULE"}
        env |= {"DJANGO_SETTINGS_MODULE": settings} if settings else {}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=directory,
            env=env,
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *arguments: str) -> str:
        return self.run(self.root, "manage.py", *arguments)

    def serve(self) -> None:
        """Serve it until the end."""
        port = free_port()
        directory = new_directory(f"serving-{port}")
        argv = [sys.executable, str(self.root / "manage.py"), "runserver", "--noreload", f"127.0.0.1:{port}"]
        job = Job(argv, directory, env=self.env)
        self.jobs.append(job)
        self.url = f"http://127.0.0.1:{port}"
        wait_until(self.answers, job)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return Visitor(self.url, seconds=5).get("/admin/login/").status == 200
        return False

    def stop(self) -> None:
        while self.jobs:
            self.jobs.pop().kill()


@pytest.fixture(scope="module")
def packages() -> Path:
    """A directory that holds the package as it is published: the wheel, built and installed."""
    directory = new_directory("packages")
    for command in (
        ["build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)],
        [
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--target",
            str(directory / "site"),
            "--find-links",
            str(directory),
            "django-srvsession",
        ],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, timeout=patient(120), check=False
        )
        assert done.returncode == 0, done.stderr
    return directory / "site"


@pytest.fixture
def project(packages: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    project = Project(f"readme-{request.node.name}"[:60], packages)
    yield project
    project.stop()


def sign_in(browser: Browser, url: str) -> None:
    """Do what README says: open the page, and sign in."""
    browser.visit(url)
    browser.go("/account/")
    assert browser.heading == "Sign in"
    browser.type("username", "ann")
    browser.type("password", PERSON["DJANGO_SUPERUSER_PASSWORD"])
    browser.press("Sign in", within="main")
    assert browser.heading == "Your devices"


def test_who_follows_readme_in_a_new_project_sees_and_ends_a_session(
    project: Project, laptop: Browser, phone: Browser, redis_server: RedisServer
) -> None:
    install, settings, urls, run, view, redis = blocks()
    for block in (install, settings, urls, run):
        project.follow(block)
    assert "System check identified no issues" in project.manage("check")
    where = project.manage("shell", "--command", "import django_srvsession; print(django_srvsession.__file__)")
    assert str(project.env["PYTHONPATH"]) in where
    sign_in(laptop, project.url)
    sign_in(phone, project.url)
    laptop.go("/account/")
    assert sorted(laptop.texts(".sessions h3")) == ["Firefox on Linux", "Safari on iPhone"]
    laptop.click("Sign out", within=".sessions li:not([aria-current])")
    laptop.wait_for("document.querySelector('[role=status] p') !== null")
    phone.go("/account/")
    assert phone.heading == "Sign in"
    assert phone.texts(".note") == ["You were signed out from another device."]
    phone.go("/admin/")
    assert "/admin/login/" in phone.run("return location.pathname")
    laptop.go("/admin/")
    assert laptop.heading == "Site administration"
    assert "Ended 0 expired sessions." in project.manage("clearsessions_srv")
    project.follow(view)
    assert project.manage("listsessions_srv").strip() == "There is no such session."
    # The other store.
    project.stop()
    project.follow(redis._replace(text=redis.text.replace("redis://127.0.0.1:6379/1", redis_server.url)))
    assert "System check identified no issues" in project.manage("check")
    project.serve()
    sign_in(laptop, project.url)
    assert "Firefox on Linux" in project.manage("listsessions_srv")


def test_an_existing_site_keeps_its_users_and_finds_the_way_back(project: Project) -> None:
    install, settings, urls, _, _, _ = blocks()
    project.follow(install)
    project.manage("migrate", "--verbosity=0")
    cookie = project.manage("shell", "--command", STOCK).split()[-1]
    before = {path: path.read_text() for path in (project.root / "mysite").glob("*.py")}
    project.serve()
    assert _is_in(project, cookie)
    project.stop()

    project.follow(settings)
    project.follow(urls)
    project.manage("migrate", "--verbosity=0")
    project.serve()
    assert not _is_in(project, cookie)
    answer = Visitor(project.url, {"sessionid": cookie}).get("/account/sessions/")
    assert (answer.status, answer.headers["Location"]) == (302, "/account/login/?next=/account/sessions/")
    check = (
        "from django.contrib.auth import authenticate; print(authenticate(username='ann', password='pass-ann-2026'))"
    )
    assert project.manage("shell", "--command", check).split()[-1] == "ann"
    project.stop()

    for path, text in before.items():
        path.write_text(text)
    project.serve()
    assert _is_in(project, cookie)


def _is_in(project: Project, cookie: str) -> bool:
    """Tell whether a cookie signs in: its user, who is no administrator, reads so on the admin's page."""
    answer = Visitor(project.url, {"sessionid": cookie}).get("/admin/login/")
    return b"You are authenticated as ann" in answer.body


def test_readme_fits_three_screens(laptop: Browser, tmp_path: Path) -> None:
    html = publish_string(
        (ROOT / "README.rst").read_text(), writer="html5", settings_overrides={**QUIET, "input_encoding": "unicode"}
    )
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "README.html").write_bytes(html if isinstance(html, bytes) else html.encode())
    laptop.prefer(width=1280)
    try:
        laptop.remote.get((tmp_path / "README.html").as_uri())
        laptop.wait_for("document.images.length > 0 && document.images[0].complete")
        assert laptop.run("return document.images[0].naturalWidth") > 0
        assert laptop.run("return document.documentElement.scrollHeight") <= 3 * 900
    finally:
        laptop.prefer()


def test_the_korean_readme_has_the_same_blocks_and_passes_as_the_index_reads_it() -> None:
    def without_comments(name: str) -> list[tuple[str, str]]:
        return [(block.language, re.sub(r" *#.*", "", block.text)) for block in blocks(name)]

    assert without_comments("README.ko.rst") == without_comments("README.rst")
    text = (ROOT / "README.ko.rst").read_text()
    publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 2})
