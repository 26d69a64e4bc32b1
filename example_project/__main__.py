"""Run the demo: ``python -m example_project [--port 8000] [--bind]`` (``make demo``).

Makes the database and its people, and serves them on 127.0.0.1. With ``SRVSESSION_DEMO_ENGINE=redis`` or ``cached_db``,
and no address of a Redis, it starts one of its own, which ends with it.
With ``--bind`` sessions are bound to the device, over TLS; it says how to start a Chromium that can.
"""

import argparse
import os
import shlex

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from example_project.demo import own_redis


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_project", description="Run the demo on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--bind", action="store_true", help="bind sessions to the device, over TLS")
    options = parser.parse_args()
    port, binds = options.port, options.bind
    if binds:
        os.environ.setdefault("SRVSESSION_DEMO_BIND", "offer")
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    needs_redis = os.environ.get("SRVSESSION_DEMO_ENGINE") in ("redis", "cached_db")
    if needs_redis and not os.environ.get("SRVSESSION_DEMO_REDIS"):
        own_redis.start()
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        if binds:
            serve_bound(port)
            return
        call_command("demo_users", address=f"http://127.0.0.1:{port}/")
        # Without the reloader: it would start all of this a second time.
        call_command("runserver", f"127.0.0.1:{port}", use_reloader=False)
    except (CommandError, ImproperlyConfigured) as error:
        raise SystemExit(f"Error: {error}") from None


def serve_bound(port: int) -> None:
    from django.core.wsgi import get_wsgi_application

    try:
        from example_project.demo import tls
    except ImportError:
        raise CommandError('--bind needs PyJWT with cryptography: pip install "PyJWT[crypto]"') from None
    from example_project.settings import DATA

    made, url = tls.certificate(DATA), f"https://localhost:{port}/"
    call_command("demo_users", address=url)
    command = shlex.join(["chromium", *made.flags, f"--user-data-dir={DATA / 'browser'}", url])
    print(f"A Chromium that binds sessions by keys in software, for a try:\n\n  {command}\n", flush=True)
    tls.serve(get_wsgi_application(), port, made)


if __name__ == "__main__":
    main()
