"""Packages that sign people in."""

from __future__ import annotations

from tests.ecosystem.entries.settings_for import MODULE, NO_TESTS, everyday
from tests.ecosystem.entry import Entry, Suite

TITLE = "Signing in"
NAMESPACED = """\
from django.urls import include, path

urlpatterns = [path("namespace/", include(("mozilla_django_oidc.urls", "mozilla_django_oidc"), namespace="namespace"))]
"""
VIEWS = ("view", "allow", "allow2", "allow_read_only", "qs")
ENTRIES = (
    Entry(
        "django-allauth",
        requirements=(
            "django-allauth[headless,idp-oidc,mfa,openid,saml,socialaccount,steam]",
            "Pillow",
            "PyYAML",
            "django-ninja",
            "djangorestframework",
            "pytest-asyncio",
        ),
        suite=Suite(
            (
                "tests/apps/account",
                "tests/apps/usersessions",
                "tests/apps/mfa",
                "tests/apps/headless",
            ),
            settings="tests.projects.regular.settings",
        ),
    ),
    Entry(
        "django-axes",
        requirements=("django-ipware>=3", "pytest-subtests"),
        suite=Suite(("tests",), settings="tests.settings"),
    ),
    Entry(
        "django-otp",
        requirements=("django-otp[qrcode]", "freezegun"),
        why="Without its tests of threads, which wait for one another for ever on SQLite.",
        suite=Suite(
            (
                "src/django_otp/tests.py",
                "src/django_otp/plugins/otp_email/tests.py",
                "src/django_otp/plugins/otp_hotp/tests.py",
                "src/django_otp/plugins/otp_static/tests.py",
                "src/django_otp/plugins/otp_totp/tests.py",
            ),
            settings="test_project.settings",
            path=("src", "test"),
            options=("-k", "not ConcurrencyTestCase"),
        ),
    ),
    Entry(
        "django-two-factor-auth",
        requirements=("django-two-factor-auth[phonenumberslite]",),
        tour="two_factor",
        why="Its source distribution has tests without their settings and helpers.",
    ),
    Entry("django-hijack", tour="hijack", why=NO_TESTS),
    Entry(
        "django-impersonate",
        requirements=("setuptools<81",),
        suite=Suite(
            ("impersonate/tests.py",),
            settings=MODULE,
            # Views of the tests, not tests.
            options=tuple(f"--deselect=impersonate/tests.py::test_{name}" for name in VIEWS),
            files=everyday("""
INSTALLED_APPS += ["impersonate"]
MIDDLEWARE += ["impersonate.middleware.ImpersonateMiddleware"]
ROOT_URLCONF = "impersonate.tests"
IMPERSONATE = {"DISABLE_LOGGING": True}
"""),
        ),
    ),
    Entry(
        "django-loginas",
        suite=Suite(("loginas/tests/tests.py",), settings="loginas.tests.settings", path=("loginas/tests",)),
    ),
    Entry("social-auth-app-django", suite=Suite(("tests",), settings="tests.settings")),
    Entry(
        "mozilla-django-oidc",
        requirements=("djangorestframework", "responses"),
        suite=Suite(
            ("tests",),
            settings=MODULE,
            files={"tests/namespaced_urls.py": NAMESPACED}
            | everyday("""
INSTALLED_APPS += ["mozilla_django_oidc"]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "mozilla_django_oidc.urls"
OIDC_USERNAME_ALGO = None
OIDC_RP_CLIENT_ID = "example_id"
OIDC_RP_CLIENT_SECRET = "client_secret"
OIDC_OP_AUTHORIZATION_ENDPOINT = "https://server.example.com/auth"
OIDC_OP_TOKEN_ENDPOINT = "https://server.example.com/token"
OIDC_OP_USER_ENDPOINT = "https://server.example.com/user"
"""),
        ),
    ),
    Entry(
        "django-oauth-toolkit",
        tour="oauth_toolkit",
        why="Its source distribution has tests without their settings and helpers.",
    ),
)
