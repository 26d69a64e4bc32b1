"""Settings of the site that runs in processes of its own: the tests' settings, and what its environment changes."""

import json
import os

from tests import settings as base

_all = {name: getattr(base, name) for name in dir(base) if name.isupper()} | {"ROOT_URLCONF": "tests.site_urls"}
_all |= json.loads(os.environ.get("SRVSESSION_TEST_SITE", "{}"))

_moves = _all.get("SRVSESSION_MIGRATE_FROM") or _all.get("SRVSESSION_MIGRATE_TO")
if _all["SESSION_ENGINE"].startswith("django.contrib.sessions.") and not _moves:
    # A fair baseline is stock Django without us.
    _swap = {
        "django_srvsession.middleware.SessionMiddleware": "django.contrib.sessions.middleware.SessionMiddleware",
    }
    _all["MIDDLEWARE"] = [_swap.get(name, name) for name in _all["MIDDLEWARE"]]
    _all["INSTALLED_APPS"] = [name for name in _all["INSTALLED_APPS"] if name != "django_srvsession"]

globals().update(_all)
