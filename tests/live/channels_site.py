"""The site that ``docs/how-to/channels.rst`` makes, to be served: its consumer, and its ASGI application."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site_settings")

from importlib import import_module
from pathlib import Path

from tests.docs.site import Site

PAGE = "how-to/channels"

_site = Site(PAGE, lambda name, value: None, Path.cwd())
_site.modules.__enter__()  # For as long as the process serves.

application = import_module("mysite.asgi").application
