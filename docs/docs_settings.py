"""Settings under which the package is imported for its documentation."""

SECRET_KEY = "documentation only"
INSTALLED_APPS = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages")] + [
    "django_srvsession"
]
SESSION_ENGINE = "django_srvsession.backends.memory"
