"""Blocks for programs that are not Python: read by the program itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.patience import patient
from tests.servers import find_program, missing


def read_javascript(text: str) -> None:
    """Have Node.js read a module; it does not run it."""
    node = find_program("node") or missing("node")
    command = [str(node), "--input-type=module", "--check", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=patient(30), check=False)
    assert done.returncode == 0, done.stderr


def read_nginx(text: str, directory: Path) -> None:
    """Have nginx read a part of its configuration: of a server, or of all."""
    nginx = find_program("nginx") or missing("nginx")
    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (directory / f"nginx-{name}").mkdir(exist_ok=True)
    inside = text if "server {" in text or "upstream " in text else f"server {{\n{text}\n}}"
    temporary = "\n".join(f"{path.name[6:]}_temp_path {path};" for path in directory.glob("nginx-*"))
    file = directory / "nginx.conf"
    file.write_text(f"pid {directory}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n{inside}\n}}\n")
    command = [str(nginx), "-t", "-c", str(file), "-p", str(directory), "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(30), check=False)
    assert done.returncode == 0, done.stderr
