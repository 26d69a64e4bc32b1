"""Packages that answer requests, or look at the answers: content, shops, interfaces, headers, tools."""

from __future__ import annotations

from tests.ecosystem.entries.settings_for import MODULE, NO_TESTS, after
from tests.ecosystem.entry import Entry, Suite

TITLE = "Pages and interfaces"
ENTRIES = (
    Entry(
        "djangorestframework",
        requirements=(
            "coreapi",
            "dj-database-url",
            "markdown",
            "pygments",
            "inflection",
            "uritemplate",
            "django-guardian",
            "django-filter",
        ),
        suite=Suite(
            (
                "tests/authentication",
                "tests/browsable_api",
                "tests/test_atomic_requests.py",
                "tests/test_authtoken.py",
                "tests/test_middleware.py",
                "tests/test_permissions.py",
                "tests/test_request.py",
                "tests/test_requests_client.py",
                "tests/test_testing.py",
                "tests/test_throttling.py",
            ),
            options=("--no-migrations",),
        ),
    ),
    Entry(
        "django-debug-toolbar",
        requirements=(
            "django-csp",
            "django-template-partials",
            "html5lib",
            "jinja2",
            "whitenoise",
            "daphne",
            "pygments",
        ),
        suite=Suite(
            (
                "tests/test_integration.py",
                "tests/test_integration_async.py",
                "tests/test_login_not_required.py",
                "tests/test_middleware.py",
                "tests/panels/test_history.py",
                "tests/panels/test_request.py",
            ),
            settings="tests.settings",
        ),
    ),
    Entry(
        "django-silk",
        requirements=("autopep8", "factory-boy", "freezegun", "networkx", "pydot", "pillow"),
        suite=Suite(
            ("tests",),
            settings=MODULE,
            # It measures the time that a sleep takes, and fails on a busy machine.
            options=("--deselect=tests/test_silky_profiler.py::TestProfilertContextManager::test_time_taken",),
            directory="project",
            path=(".",),
            files=after(
                'import os\n\nos.environ["DB_ENGINE"] = "sqlite3"\nfrom project.settings import *  # noqa: E402\n'
            ),
        ),
    ),
    Entry("django-csp", tour="csp", why="None of its own tests meets a session."),
    Entry(
        "django-tenants",
        requirements=("psycopg[binary]",),
        needs=("postgresql",),
        tour="tenants",
        why="Its own tests are about schemas, and sign nobody in. The tour is on PostgreSQL.",
    ),
    Entry(
        "wagtail",
        requirements=("wagtail[testing]",),
        suite=Suite(
            (
                "wagtail/admin/tests/test_account_management.py",
                "wagtail/admin/tests/test_password_reset.py",
                "wagtail/admin/tests/test_privacy.py",
                "wagtail/tests/test_page_privacy.py",
            ),
            settings="wagtail.test.settings",
        ),
        seconds=1200,
    ),
    Entry(
        "django-cms",
        why="On Django's side its tests keep sessions in the cache.",
        requirements=(
            "dj-database-url",
            "django-app-helper",
            "djangocms-admin-style",
            "djangocms-text",
            "iptools",
            "mock",
            "pyflakes",
            "setuptools<81",
        ),
        suite=Suite(
            (
                "cms/tests/test_middleware_user.py",
                "cms/tests/test_security.py",
                "cms/tests/test_toolbar.py",
                "cms/tests/test_views.py",
            ),
            settings="cms.tests.settings",
        ),
        seconds=1200,
    ),
    Entry("django-ninja", tour="ninja", why=NO_TESTS),
    Entry(
        "channels",
        requirements=("daphne", "websockets"),
        tour="channels",
        why=NO_TESTS,
    ),
    Entry("django-cors-headers", tour="cors_headers", why=NO_TESTS),
    Entry("django-oscar", requirements=("sorl-thumbnail",), tour="oscar", why=NO_TESTS),
)
