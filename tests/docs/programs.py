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


def nginx(text: str, directory: Path, more: str = "") -> list[str]:
    """Return the command of an nginx with this part of a configuration: of a server, or of HTTP. ``more`` is global."""
    program = find_program("nginx") or missing("nginx")
    inside = text if "server {" in text else f"server {{\nlisten 127.0.0.1:8080;\n{text}\n}}"
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{name}_temp_path {directory}/nginx-{name};" for name in names)
    whole = f"pid {directory}/pid;\n{more}\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n{inside}\n}}\n"
    file = directory / "nginx.conf"
    file.write_text(whole)
    return [str(program), "-c", str(file), "-p", str(directory), "-e", "stderr"]


def read_nginx(text: str, directory: Path) -> None:
    """Have nginx read a part of a configuration; it does not serve."""
    done = subprocess.run(
        [*nginx(text, directory), "-t"], capture_output=True, text=True, timeout=patient(30), check=False
    )
    assert done.returncode == 0, done.stderr
