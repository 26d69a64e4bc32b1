"""Its settings, in a process of its own; ``database.json`` in the working directory is the entry of ``DATABASES``."""

import json
from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["testserver"]
DATABASES = {"default": {"ENGINE": "django_mongodb_backend", **json.loads(Path("database.json").read_text())}}
DEFAULT_AUTO_FIELD = "django_mongodb_backend.fields.ObjectIdAutoField"
APPS = "tests.users_in_mongodb.apps"
INSTALLED_APPS = [f"{APPS}.ContentTypes", f"{APPS}.Auth", f"{APPS}.Sessions"]
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "srvsession"))  # A site makes its own for these.
MIDDLEWARE = [
    "django_srvsession.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.users_in_mongodb.urls"
LOGIN_URL = "srvsession:login"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
SESSION_ENGINE = "django_srvsession.backends.mongodb"
SRVSESSION_MONGODB = {"USING": "default"}
SRVSESSION_MAX_SESSIONS_PER_USER = 2
SRVSESSION_EVENT_LOG = 30
SRVSESSION_END_OTHERS_AFTER = ("password_changed",)
