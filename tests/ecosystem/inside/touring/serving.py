"""The site of a tour, in a server process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from touring.browsing import SECONDS, Browser

SETTINGS = "touring.settings"


class Site:
    """The site of ``touring.settings``, with what the tour adds. A tour with another server overrides ``argv()``."""

    def __init__(self, directory=None):
        self.directory = Path(directory or tempfile.mkdtemp())
        self.process = None
        self.url = ""
        os.environ["SRVSESSION_ECOSYSTEM_DIRECTORY"] = str(self.directory)
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS

    def argv(self, port):
        """Return the command line that serves the site on a port of 127.0.0.1."""
        pool = ["--worker-class=gthread", "--workers=2", "--threads=4", "--no-control-socket", "--log-level=warning"]
        return [sys.executable, "-m", "gunicorn", "touring.app:wsgi", f"--bind=127.0.0.1:{port}", *pool]

    def prepare(self):
        """Make the tables and the users."""
        self.run("-m", "touring.prepare")

    def run(self, *words):
        """Run Python with the site's settings until it ends; return what it printed."""
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=4 * SECONDS, cwd=self.directory
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage(self, *words):
        """Run a management command; return what it printed."""
        return self.run("-m", "django", *words)

    def start(self):
        """Start the server and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen(self.argv(port), stdout=log, stderr=log, cwd=self.directory)
        give_up = time.monotonic() + 2 * SECONDS
        while not self.answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, self.log
            time.sleep(0.05)

    def answers(self):
        """Whether the site serves a page."""
        try:
            return Browser(self.url).get("/none/").status == 200
        except OSError:
            return False

    @property
    def log(self):
        """All that the server printed."""
        return (self.directory / "log").read_text()

    def stop(self):
        """End the server, so that it can note what it used; kill it where it does not end."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def restart(self):
        """Stop the server and start it anew, on another port; browsers keep their cookies, not the address."""
        self.stop()
        self.start()

    def browser(self, **headers):
        """Return a new browser, which nobody has used yet."""
        return Browser(self.url, headers)
