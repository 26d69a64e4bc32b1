"""A page that adds apps, in a process of its own: it starts with the page's settings, as a site would.

``python -m tests.docs.apart PAGE [STORY]`` does what the page says, and then calls the function STORY of
``tests.docs.stories`` with the site.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.docs.blocks import Block, blocks_of
from tests.patience import patient
from tests.runs import ROOT

STORIES: Final = {
    "how-to/store-database": "database_of_its_own",
    "how-to/allauth": "allauth",
    "how-to/oidc-allauth": "oidc_by_allauth",
    "how-to/oidc-mozilla": "oidc_by_mozilla",
    "how-to/oidc-social-auth": "oidc_by_social_auth",
    "how-to/channels": "channels",
    "how-to/drf": "rest_framework",
}
"""What happens on the site of a page, after all that the page says was done (``tests/docs/test_how_to.py``)."""


def are_settings(block: Block) -> bool:
    """Tell whether a block is a part of the settings."""
    return block.is_run and block.language == "python" and block.caption.endswith("settings.py")


def needs_its_own_process(page: str) -> bool:
    """Tell whether a page adds apps: these leave receivers, models and administration behind."""
    return any(are_settings(block) and "INSTALLED_APPS" in block.text for block in blocks_of(page))


def run_apart(page: str, story: str = "") -> None:
    """Run a page, and a story on its site, in a process of its own."""
    strict = [
        "-W",
        "error::DeprecationWarning",
        "-W",
        "ignore:defusedxml.cElementTree:DeprecationWarning",
    ]  # social-auth's
    command = [sys.executable, *strict, "-m", "tests.docs.apart", page, *filter(None, [story])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def main(page: str, story: str = "") -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from tests import settings as base
    from tests.docs.site import Site

    values: dict[str, Any] = {name: getattr(base, name) for name in dir(base) if name.isupper()}
    with tempfile.TemporaryDirectory() as place:
        values["ALLOWED_HOSTS"] = ["testserver"]
        values["DATABASES"] = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{place}/db.sqlite3"}}
        site = Site(page, values.__setitem__, Path(place))
        for block in filter(are_settings, blocks_of(page)):
            site.read(block)
        settings.configure(**values)
        with site.modules:
            django.setup()
            setup_test_environment()
            site.put = lambda name, value: setattr(settings, name, value)
            call_command("migrate", verbosity=0)
            for block in blocks_of(page):
                if not are_settings(block):
                    site.do(block)
            site.check()
            if story:
                from tests.docs import stories

                getattr(stories, story)(site)


if __name__ == "__main__":
    main(*sys.argv[1:])
