"""Run ``migratesessions_srv``'s work in this process, and print its counts and how much memory it took on the way."""

from __future__ import annotations

import json
import sys

import django
import psutil

django.setup()

from django_srvsession.operations.migrating import Move  # noqa: E402 - after Django.

SAMPLED_EVERY = 250


def main(path: str) -> None:
    """Move all sessions of an engine."""
    samples, done, own = [], 0, psutil.Process()

    def note() -> None:
        nonlocal done
        done += 1
        if done % SAMPLED_EVERY == 0:
            samples.append(own.memory_info().rss)

    move = Move(path, None)
    move.run(note)
    print(json.dumps({"counts": move.counts, "memory": samples}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
