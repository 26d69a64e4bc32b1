"""The example project's settings, in processes of the tests (whose package lets PyMySQL stand in for MySQLdb)."""

import json
import os

from example_project.settings import *  # noqa: F403
from example_project.settings import MIDDLEWARE as DEMO_MIDDLEWARE

# Not for a real site: the tests sign in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A language that is written from right to left; the pages have no translation into it.
LANGUAGES = [
    *(("en", "English"), ("ko", "한국어"), ("ja", "日本語"), ("es", "español"), ("de", "Deutsch"), ("fr", "français")),
    ("ar", "العربية"),
]

ROOT_URLCONF = "tests.browser.demo_urls"
MIDDLEWARE = ["tests.browser.demo_urls.strict_policy", *DEMO_MIDDLEWARE]

globals().update(json.loads(os.environ.get("SRVSESSION_TEST_DEMO", "{}")))
