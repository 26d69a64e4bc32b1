"""The example project's settings, in processes of the tests (whose package lets PyMySQL stand in for MySQLdb)."""

from example_project.settings import *  # noqa: F403

# Not for a real site: the tests sign in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
