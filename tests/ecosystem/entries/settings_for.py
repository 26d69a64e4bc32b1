"""A settings' module for tests whose distribution has none."""

from __future__ import annotations

MODULE = "settings_of_the_tests"
NO_TESTS = "Its source distribution has no tests."
_EVERYDAY = """\
SECRET_KEY = "tests only, tests only, tests only, tests only, tests only"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
STATIC_URL = "/static/"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
"""


def everyday(more: str) -> dict[str, str]:
    """Return the file: an everyday site in memory, and what is peculiar to the tests."""
    return {f"{MODULE}.py": _EVERYDAY + more}


def after(lines: str) -> dict[str, str]:
    """Return the file: these lines alone, which import settings of the distribution."""
    return {f"{MODULE}.py": lines}
