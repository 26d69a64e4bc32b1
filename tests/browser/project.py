"""A project that is made by doing what a page says, on the package as it is published."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tests.browser.browsers import Browser
from tests.docs.blocks import Block
from tests.patience import patient
from tests.processes import Visitor
from tests.runs import Job, new_directory, wait_until
from tests.servers import free_port

PERSON = {
    "DJANGO_SUPERUSER_USERNAME": "ann",
    "DJANGO_SUPERUSER_PASSWORD": "pass-ann-2026",
    "DJANGO_SUPERUSER_EMAIL": "a@b.example",
}


class Project:
    """A project that is made by following README, or a page."""

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
        self.served = 0

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.language == "shell":
            for line in block.text.splitlines():
                self.do(line)
        else:
            file = block.caption or re.findall(r"mysite/\w+\.py", block.before)[-1]
            with (self.root / file).open("a") as open_file:
                open_file.write(f"\n{block.text}\n")

    def do(self, line: str) -> None:
        """Do a line of a shell: what a person would be asked is told, and what would go on for ever goes on."""
        match line.split():
            case ["pip", "install", *_]:
                return  # The fixture did: the same wheel, without a package index.
            case ["django-admin", *arguments]:
                self.run(self.home, "-m", "django", *arguments, settings=None)
            case ["cd", "mysite"]:
                assert self.root.is_dir()
            case ["python", "manage.py", "runserver", *_]:
                self.serve_anew()
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
        """Serve it until the end, always at one address."""
        self.served += 1
        self.url = self.url or f"http://127.0.0.1:{free_port()}"
        directory = new_directory(f"{self.home.name}-served-{self.served}")
        argv = [sys.executable, str(self.root / "manage.py"), "runserver", "--noreload", urlsplit(self.url).netloc]
        job = Job(argv, directory, env=self.env)
        self.jobs.append(job)
        wait_until(self.answers, job)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return Visitor(self.url, seconds=5).get("/admin/login/").status == 200
        return False

    def stop(self) -> None:
        while self.jobs:
            self.jobs.pop().kill()

    def serve_anew(self) -> None:
        """Start it again: what runserver does by itself when a file changes."""
        self.stop()
        self.serve()


def sign_in(browser: Browser, url: str, word: str = "Sign in") -> None:
    """Open the page, and sign in."""
    browser.visit(url)
    browser.go("/account/")
    assert browser.heading == word
    browser.type("username", "ann")
    browser.type("password", PERSON["DJANGO_SUPERUSER_PASSWORD"])
    browser.press(word, within="main")
    assert browser.heading != word
