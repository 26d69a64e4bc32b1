"""What ``docs/why/express.rst`` shows of express-session, in express: the two sides of the page do the same."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.npm import CACHE, unavailable
from tests.docs.blocks import blocks_of
from tests.processes import Visitor
from tests.runs import Job, new_directory, wait_until
from tests.servers import find_program, free_port, missing
from tests.trust import WHOLE

pytestmark = pytest.mark.skipif(not WHOLE, reason="make trust: fetches express")
NEEDS = Path(__file__).parent / "express"
FRAME = """
const express = require('express')
const session = require('express-session')
const app = express()
app.use(express.urlencoded())
const check = async (name, password) => name === 'ann' && password === 'secret' ? { id: 1 } : null
%s
app.listen(%d, '127.0.0.1')
"""


def packages() -> Path:
    """Return a directory with express as its lock file names it, fetched on first use."""
    lock = (NEEDS / "package-lock.json").read_bytes()
    directory = CACHE / f"express-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (directory / "fetched").exists():
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(NEEDS, directory)
        npm = find_program("npm") or missing("npm")
        command = [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            unavailable(f"express could not be fetched: {done.stderr.strip()[-500:]}")
        (directory / "fetched").touch()
    return directory


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    """A browser at the page's app."""
    node, port = find_program("node") or missing("node"), free_port()
    shown = "\n".join(block.text for block in blocks_of("why/express") if block.language == "javascript")
    directory = new_directory("express")
    (directory / "app.js").write_text(FRAME % (shown, port))
    where = {"NODE_PATH": str(packages() / "node_modules"), "SECRET": "for tests"}
    job = Job([node, directory / "app.js"], directory, env=where)

    def answers() -> bool:
        try:
            return Visitor(url).get("/none").status == 404
        except OSError:
            return False

    url = f"http://127.0.0.1:{port}"
    wait_until(answers, job)
    yield Visitor(url)
    job.kill()


def test_the_page_s_express_counts_starts_over_and_signs_in(visitor: Visitor) -> None:
    assert [visitor.get("/counter").body for _ in range(3)] == [b"Views: 1", b"Views: 2", b"Views: 3"]
    assert visitor.get("/start-over", "POST").status == 302
    assert visitor.get("/counter").body == b"Views: 1"
    before = visitor.cookies["connect.sid"]
    assert visitor.send("/login", "username=ann&password=wrong").status == 403
    assert visitor.send("/login", "username=ann&password=secret").status == 302
    assert visitor.cookies["connect.sid"] != before
    assert visitor.get("/logout", "POST").status == 302
    assert "connect.sid" not in visitor.cookies
