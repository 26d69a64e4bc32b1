"""Packages for the admin, and for who may do what there."""

from __future__ import annotations

from tests.ecosystem.entries.settings_for import MODULE, NO_TESTS, after
from tests.ecosystem.entry import Entry, Suite

TITLE = "Admin and permissions"
ENTRIES = (
    Entry(
        "django-guardian",
        requirements=("django-environ",),
        suite=Suite(
            tuple(f"guardian/testapp/tests/test_{name}.py" for name in ("admin", "decorators", "mixins", "backends")),
            settings="guardian.testapp.testsettings",
        ),
    ),
    Entry(
        "django-simple-history",
        suite=Suite(
            ("simple_history/tests/tests/test_admin.py", "simple_history/tests/tests/test_middleware.py"),
            settings=MODULE,
            files=after("from runtests import get_default_settings\n\nglobals().update(get_default_settings())\n"),
        ),
    ),
    Entry(
        "django-auditlog",
        requirements=("freezegun", "psycopg[binary]"),
        suite=Suite(
            ("tests.py", "test_view.py", "test_render.py"),
            settings="test_settings",
            directory="auditlog_tests",
            path=(".",),
        ),
    ),
    Entry("django-unfold", tour="unfold", why=NO_TESTS),
    Entry("django-jazzmin", tour="jazzmin", why=NO_TESTS),
)
