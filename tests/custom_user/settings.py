"""Its settings, in a process of its own: the user model cannot be exchanged in one that runs."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as THEIRS

INSTALLED_APPS = [app for app in THEIRS if app != "django.contrib.admin"] + ["tests.custom_user"]
AUTH_USER_MODEL = "custom_user.Person"
ROOT_URLCONF = "tests.custom_user.urls"
LOGIN_URL = "srvsession:login"
