"""Run the test site in real server processes, and visit it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import sys
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.patience import patient
from tests.runs import ROOT, Job, new_directory, wait_until

_numbers = itertools.count(1)


class Site:
    """The site of ``tests.site_urls`` in processes of its own. Keyword arguments are settings, in JSON's types."""

    probe = "/none/"

    def __init__(self, workers: int = 2, threads: int = 4, **settings: Any) -> None:
        self.workers = workers
        self.threads = threads
        self.settings = settings
        self.directory = new_directory(f"site-{next(_numbers)}")
        self.url = ""
        self.job: Job | None = None

    def command(self, descriptor: int) -> list[str]:
        """Return the command line that serves a listening socket."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what is added to the processes' environment."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.site_settings",
            "SRVSESSION_TEST_SITE": json.dumps(self.settings),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def start(self) -> None:
        """Start the processes and wait until they answer."""
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            # The processes inherit the socket: nobody can take its port in between.
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            argv = [sys.executable, "-m", *self.command(listener.fileno())]
            self.job = Job(argv, self.directory, env=self.environment(), pass_fds=[listener.fileno()])
        wait_until(self.answers, self.job)

    def answers(self) -> bool:
        """Whether the site serves a page."""
        try:
            return Visitor(self.url, seconds=5).get(self.probe).status == 200
        except (OSError, http.client.HTTPException):
            return False

    @property
    def log(self) -> str:
        """All that the processes printed."""
        return self.job.log.read_text() if self.job else ""

    def freeze(self) -> None:
        """Make the processes hang (SIGSTOP)."""
        assert self.job
        self.job.freeze()

    def thaw(self) -> None:
        """End a ``freeze()``."""
        assert self.job
        self.job.thaw()

    def stop(self) -> None:
        """End the processes, without the grace that they would give to connections which browsers keep open."""
        if self.job:
            self.job.kill()

    def __enter__(self) -> Site:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class WSGISite(Site):
    """Gunicorn with worker processes of several threads each."""

    application = "tests.site_app:wsgi"

    def command(self, descriptor: int) -> list[str]:
        pool = ["--worker-class=gthread", f"--workers={self.workers}", f"--threads={self.threads}"]
        quiet = [
            "--log-level=warning",
            "--no-control-socket",
            "--graceful-timeout=2",
            "--worker-tmp-dir=.",
            "--preload",
        ]
        patient = ["--keep-alive=60"]  # a connection that idles between two steps of a test stays with its process
        return ["gunicorn", self.application, f"--bind=fd://{descriptor}", *pool, *quiet, *patient]


class ASGISite(Site):
    """Uvicorn with worker processes of one event loop each."""

    def command(self, descriptor: int) -> list[str]:
        quiet = ["--log-level=warning", "--no-access-log", "--lifespan=off"]
        return ["uvicorn", "tests.site_app:asgi", f"--fd={descriptor}", f"--workers={self.workers}", *quiet]


class Answer:
    """An answer of a site."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies that the answer sets or deletes."""
        return SimpleCookie("\r\n".join(self.headers.get_all("Set-Cookie", [])))

    def json(self) -> Any:
        """Return the content."""
        return json.loads(self.body)


class Visitor:
    """A browser in small: cookies, and one connection per request, so that a visitor may be used by many threads."""

    def __init__(self, url: str, cookies: dict[str, str] | None = None, seconds: float = 30) -> None:
        self.address = urlsplit(url).netloc
        self.cookies = dict(cookies or {})
        self.seconds = seconds

    def send(self, path: str, form: str, headers: dict[str, str] | None = None) -> Answer:
        """Send a form, and keep the answer's cookies."""
        return self._ask(path, "POST", {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}, form)

    def get(self, path: str, method: str = "GET", headers: dict[str, str] | None = None, **query: object) -> Answer:
        """Fetch a page and keep its cookies."""
        return self._ask(f"{path}?{urlencode(query)}" if query else path, method, headers)

    def _ask(self, target: str, method: str, headers: dict[str, str] | None, body: str | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=patient(self.seconds))
        try:
            cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, target, body, headers={"Cookie": cookie, **(headers or {})})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        for name, morsel in answer.cookies.items():
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer

    def twin(self) -> Visitor:
        """Return another tab: the same cookies now, its own ones later."""
        return Visitor(f"http://{self.address}", self.cookies, self.seconds)
