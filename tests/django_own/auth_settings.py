"""Settings under which Django's ``auth_tests`` run, in a process of their own: Django's, with our engine put in.

``SRVSESSION_ENGINE`` names the engine; its servers and directories come as JSON in ``SRVSESSION_MORE``.
"""

import json
import os
import sys

from tests.django_own.source import django_tests

sys.path.append(str(django_tests()))

from auth_tests.settings import AUTH_MIDDLEWARE

OURS = "django_srvsession.middleware.SessionMiddleware"
# Cases that bring their own MIDDLEWARE get ours too.
AUTH_MIDDLEWARE[:] = [OURS if name.endswith(".SessionMiddleware") else name for name in AUTH_MIDDLEWARE]

SECRET_KEY = "django_tests_secret_key"
ROOT_URLCONF = "auth_tests.urls"
STATIC_URL = "static/"
SITE_ID = 1
USE_TZ = False
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sites",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.staticfiles",
    "django_srvsession",
    "auth_tests",
]
# Django's cases make and drop tables of these apps by themselves.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "sessions", "srvsession", "admin", "sites"))
MIDDLEWARE = [
    OURS,
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
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
SILENCED_SYSTEM_CHECKS = ["fields.W342", "postgres.E005", "fields.W903"]
LOGGING = {"version": 1, "disable_existing_loggers": False}
SESSION_ENGINE = os.environ["SRVSESSION_ENGINE"]
globals().update(json.loads(os.environ.get("SRVSESSION_MORE", "{}")))
