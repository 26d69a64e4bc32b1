"""Its settings, in a process of its own: the app sets defaults of its settings when it is loaded."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as OUR_APPS
from tests.settings import MIDDLEWARE as OUR_MIDDLEWARE

INSTALLED_APPS = [*OUR_APPS, "axes"]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
MIDDLEWARE = [*OUR_MIDDLEWARE, "axes.middleware.AxesMiddleware"]
AXES_FAILURE_LIMIT = 3
ROOT_URLCONF = "tests.custom_user.urls"
LOGIN_URL = "srvsession:login"
