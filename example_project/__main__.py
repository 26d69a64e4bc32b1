"""Run the demo: ``python -m example_project [--port 8000]`` (``make demo``).

Makes the database and its people, and serves them on 127.0.0.1. With ``SRVSESSION_DEMO_ENGINE=redis`` or ``cached_db``,
and no address of a Redis, it starts one of its own, which ends with it.
"""

import argparse
import os

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from example_project.demo import own_redis


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_project", description="Run the demo on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    needs_redis = os.environ.get("SRVSESSION_DEMO_ENGINE") in ("redis", "cached_db")
    if needs_redis and not os.environ.get("SRVSESSION_DEMO_REDIS"):
        own_redis.start()
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("demo_users", address=f"http://127.0.0.1:{port}/")
        # Without the reloader: it would start all of this a second time.
        call_command("runserver", f"127.0.0.1:{port}", use_reloader=False)
    except (CommandError, ImproperlyConfigured) as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
