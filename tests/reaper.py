"""Kill what a test run started once the run is over, however it ended.

Run as a program in a session of its own, out of reach of the terminal's signals. It makes the run's directory, prints
its path, and reads its standard input, whose other end only the test process holds: lines ``started PID`` and
``ended PID``. When that pipe closes (normal end, Ctrl-C, SIGKILL of the tests) it kills every process group that
started and did not end, then what carries the run's mark, and removes the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

IPC_RMID = 0
ROOM = 4 * 2**30
MARK = "SRVSESSION_TEST_RUN"
"""The variable in the environment of all that a run starts; its value is the run's directory."""


def freeze_tree(leader: psutil.Process) -> list[psutil.Process]:
    """Stop a process and all its descendants; return the descendants.

    PostgreSQL's children make themselves process groups, so signalling the group is not enough. The leader stops
    first: what does not run does not fork.
    """
    stopped: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        leader.suspend()
        while fresh := [child for child in leader.children(recursive=True) if child not in stopped]:
            for child in fresh:
                stopped.append(child)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.suspend()
    return stopped


def kill_tree(leader: psutil.Process) -> None:
    """Kill a group leader, its process group and all its descendants.

    Where the leader is gone its group may still have members, and then the system has not given its number to anyone
    else; where the number has a new owner, the group was empty and nothing is killed.
    """
    descendants = freeze_tree(leader)
    if leader.is_running() or not psutil.pid_exists(leader.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)
    for child in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def kill_strays(directory: Path) -> None:
    """Kill what left its group and its parent, as Chromium's crash handler does; the run's mark stays with it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(directory):
                process.kill()


def is_dead(process: psutil.Process) -> bool:
    """Say whether a process is gone, or a zombie: dead, but its parent has not looked yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def wait_dead(processes: list[psutil.Process], seconds: float = 30) -> None:
    """Wait until killed processes are dead."""
    give_up = time.monotonic() + seconds
    while not all(map(is_dead, processes)) and time.monotonic() < give_up:
        time.sleep(0.005)


def remove_shared_memory(directory: Path) -> None:
    """Remove the System V segment that a killed PostgreSQL leaves behind; its pid file names it."""
    for pid_file in directory.glob("*/data/postmaster.pid"):
        lines = pid_file.read_text().splitlines()
        if len(lines) > 6 and lines[6].split():
            ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), IPC_RMID, None)


def remove(directory: Path, seconds: float = 30) -> None:
    """Remove the run's directory, again while dying processes still write to it."""
    give_up = time.monotonic() + seconds
    while directory.exists() and time.monotonic() < give_up:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.02)


def place() -> Path | None:
    """Return where files are kept in memory, if there is room for what servers write; None: the usual place.

    No test outlives the machine, and disks are slow to say that they have written.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return None


def main() -> None:
    """Serve one test run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    directory = Path(tempfile.mkdtemp(prefix="srvsession-tests-", dir=place()))
    directory.chmod(0o711)  # the servers run as another user when the tests run as root
    started: dict[int, psutil.Process] = {}
    try:
        print(directory, flush=True)
        for line in sys.stdin:
            verb, pid = line.split()
            if verb == "started":
                with contextlib.suppress(psutil.NoSuchProcess):
                    started[int(pid)] = psutil.Process(int(pid))
            else:
                started.pop(int(pid), None)
    finally:
        for leader in started.values():
            kill_tree(leader)
        kill_strays(directory)
        wait_dead(list(started.values()))
        remove_shared_memory(directory)
        remove(directory)


if __name__ == "__main__":
    main()
