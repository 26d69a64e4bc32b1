"""A Redis that the demo starts for itself, on a free port of 127.0.0.1, and that ends when the demo does.

This module is also the program in between: it starts Redis, says on which port, and waits for orders from the demo. The
end of the demo, be it by SIGKILL, closes the pipe that orders come through.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

_keeper: subprocess.Popen[str] | None = None


def start() -> None:
    """Start it where the program is installed, and tell the settings; else the settings say what is missing."""
    global _keeper
    if program() is None:
        return
    command = [sys.executable, __file__]
    # A session of its own: Ctrl-C in the terminal is for the demo, which then ends this.
    _keeper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    port = _line_of(_keeper)
    if port:
        os.environ["SRVSESSION_DEMO_REDIS"] = f"redis://127.0.0.1:{port}/0"


def is_running() -> bool:
    """Tell whether this process has a Redis of its own."""
    return _keeper is not None and _keeper.poll() is None


def pause(seconds: float) -> bool:
    """Stop it (SIGSTOP) for so long; return once it has stopped. False when there is none."""
    if _keeper is None or _keeper.stdin is None or not is_running():
        return False
    _keeper.stdin.write(f"{seconds}\n")
    _keeper.stdin.flush()
    return _line_of(_keeper) == "stopped"


def program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


def _line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _keep(orders: IO[str]) -> None:
    """Run Redis until there are no more orders; each is for how many seconds it is to stop."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="srvsession-demo-") as directory:
        command = [str(program()), "--bind", "127.0.0.1", "--port", str(port), "--dir", directory]
        command += ["--save", "", "--appendonly", "no", "--logfile", os.devnull]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port, server)
            print(port, flush=True)
            for order in orders:
                server.send_signal(signal.SIGSTOP)
                print("stopped", flush=True)
                # Ends early with the demo.
                select.select([orders], [], [], float(order))
                server.send_signal(signal.SIGCONT)
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("Redis did not start.")


if __name__ == "__main__":
    _keep(sys.stdin)
