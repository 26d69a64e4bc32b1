"""Hold an exclusive lock on a SQLite file, against readers too: ``python hold_lock.py FILE SECONDS``.

It lets go after so long, or when the standard input is closed: when the demo ends, that is.
"""

import select
import sqlite3
import sys

MOST_SECONDS = 20


def main(file: str, seconds: float) -> None:
    # Waits for requests that are under way.
    connection = sqlite3.connect(file, timeout=5, isolation_level=None)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)  # The demo waits for this line.
    select.select([sys.stdin], [], [], min(seconds, MOST_SECONDS))
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
