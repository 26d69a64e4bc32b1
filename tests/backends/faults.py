"""A file system that fails where it is told to: stands in for ``os`` in the file store's modules."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_srvsession.backends.file import directory as file_directory
from django_srvsession.backends.file import system as file_system
from django_srvsession.backends.file import users as file_users

CALLS = (
    "open",
    "read",
    "write",
    "fsync",
    "fchmod",
    "chmod",
    "fstat",
    "lstat",
    "utime",
    "rename",
    "unlink",
    "mkdir",
    "listdir",
    "close",
)


class FaultyOS:
    """Do as ``os``, but raise at call number ``fails_at`` (from 0) of those in ``CALLS``; ``made`` names all made."""

    def __init__(self, fails_at: int | None = None, error: int = 0, write_at_most: int | None = None) -> None:
        self._fails_at, self._error, self._write_at_most = fails_at, error, write_at_most
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._call(name, real) if name in CALLS else real

    def _call(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.made.append(name)
            fails = len(self.made) - 1 == self._fails_at
            if name == "close":
                real(*args)  # A descriptor is closed even where closing reports an error.
            if fails:
                raise OSError(self._error, os.strerror(self._error))
            if name == "close":
                return None
            if name == "write" and self._write_at_most is not None:
                args = (args[0], args[1][: self._write_at_most])
            return real(*args, **kwargs)

        return call


@contextmanager
def faulty(fake: FaultyOS) -> Iterator[FaultyOS]:
    """Let the file store's modules use ``fake``."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (file_system, file_directory, file_users):
            patch.setattr(module, "os", fake)
        yield fake


def calls_of(work: Callable[[], object]) -> list[str]:
    """Return the names of the system calls that some work makes when none fails."""
    with faulty(FaultyOS()) as fake:
        work()
    return fake.made
