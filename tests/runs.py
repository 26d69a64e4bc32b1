"""Start processes that cannot outlive the test run, and give them a place for their files."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import pwd
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests import reaper
from tests.patience import patient

ROOT = Path(__file__).resolve().parent.parent

# The shell tells the reaper its own number, then becomes the program: there is no instant in which the program runs
# and nobody knows of it. Its standard output is the reaper's pipe until the program's log takes its place.
ANNOUNCE_THEN_RUN = 'echo "started $$"; log=$1; shift; exec "$@" >>"$log" 2>&1'


def restore_signals_of_children() -> None:
    """Let programs that are started from here have those signals that this process was told to ignore.

    A background shell and nohup start the tests so, and what is ignored stays ignored in whatever is started. A
    handler that does nothing still ignores the signal here; a program that is started begins without it.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python ignores these two by itself.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


class Run:
    """A test run: its directory, and the pipe to the process that cleans up after it."""

    def __init__(self) -> None:
        restore_signals_of_children()
        self._reaper = subprocess.Popen(
            [sys.executable, "-P", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != reaper.MARK},
        )
        assert self._reaper.stdin
        assert self._reaper.stdout
        self.directory = Path(self._reaper.stdout.readline().strip())
        self.pipe = self._reaper.stdin.fileno()
        self._pid = os.getpid()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._let_go)

    def _let_go(self) -> None:
        # A forked child that kept the pipe would keep the servers alive after the tests are gone.
        with contextlib.suppress(OSError):
            os.close(self.pipe)

    def ended(self, pid: int) -> None:
        """Tell the reaper that nothing is left of a group."""
        os.write(self.pipe, f"ended {pid}\n".encode())

    def close(self) -> None:
        """End the run: wait until its processes are killed and its files are removed."""
        if os.getpid() == self._pid and self._reaper.stdin:
            self._reaper.stdin.close()
            self._reaper.wait(timeout=patient(60))


@functools.cache
def current_run() -> Run:
    """Return this process's run; the first call begins it."""
    return Run()


@functools.cache
def unprivileged_user() -> str | None:
    """Return who runs the servers: nobody special, or None for ourselves (PostgreSQL refuses to run as root)."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in names)


def new_directory(name: str, user: str | None = None) -> Path:
    """Make a directory of the run, readable by its user alone."""
    directory = current_run().directory / name
    directory.mkdir(mode=0o700)
    if user:
        entry = pwd.getpwnam(user)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    return directory


class Job:
    """A process group of the run, with its log."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        directory: Path,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        run = current_run()
        self.log = directory / "log"
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", ANNOUNCE_THEN_RUN, "sh", str(self.log), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=run.pipe,
            cwd=directory,
            env={
                **os.environ,
                "HOME": str(directory),
                "TMPDIR": str(directory),
                reaper.MARK: str(run.directory),
                **(env or {}),
            },
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.leader = psutil.Process(self.process.pid)
        self.frozen = False

    @property
    def alive(self) -> bool:
        """Whether the leader still runs."""
        return self.process.poll() is None

    def finish(self, seconds: float = 60) -> None:
        """Wait until the program has ended; raise ``RuntimeError`` with its last words if it failed."""
        code = self.process.wait(timeout=patient(seconds))
        current_run().ended(self.process.pid)
        if code:
            raise RuntimeError(f"{self.process.args!r} ended with {code}:\n{self.last_words()}")

    def freeze(self) -> None:
        """Stop all processes of the job: they keep their sockets and answer nothing."""
        reaper.freeze_tree(self.leader)
        self.frozen = True

    def thaw(self) -> None:
        """Let a frozen job go on."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self.leader.children(recursive=True), self.leader]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
        self.frozen = False

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> None:
        """Ask the job to end, by a signal to its leader; kill it when it does not."""
        if self.alive:
            self.thaw()
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=patient(seconds))
        self.kill()

    def kill(self) -> None:
        """End all processes of the job without notice (SIGKILL), and wait until they are gone."""
        descendants = reaper.freeze_tree(self.leader)
        reaper.kill_tree(self.leader)
        self.process.wait(timeout=patient(15))
        reaper.wait_dead(descendants)
        self.frozen = False
        current_run().ended(self.process.pid)

    def last_words(self, lines: int = 20) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


def wait_until(answers: Callable[[], bool], job: Job, seconds: float = 60) -> None:
    """Call ``answers`` until it returns True; raise ``RuntimeError`` when the job ends first or time is up."""
    give_up = time.monotonic() + patient(seconds)
    while job.alive and time.monotonic() < give_up:
        if answers():
            return
        time.sleep(0.02)
    why = "gave no answer in time" if job.alive else f"ended with {job.process.returncode}"
    job.kill()
    raise RuntimeError(f"{job.process.args!r} {why}:\n{job.last_words()}")


@functools.cache
def can_be_imported(*packages: str) -> bool:
    """Tell whether packages are here, and work on this Python: some need setuptools, which newer ones lack."""
    with warnings.catch_warnings(action="ignore"):
        try:
            for package in packages:
                importlib.import_module(package)
        except ImportError:
            return False
    return True


def play(settings: str, story: str, directory: Path) -> None:
    """Run a story, which is Python, on a site of these settings, in a process of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = {**kept, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", story]
    done = subprocess.run(
        argv, env=env, cwd=directory, capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert done.returncode == 0, done.stderr
