"""Settings of a site with django-axes and the API: for a process of its own."""

from tests.axes_site.settings import *  # noqa: F403

ROOT_URLCONF = "tests.api.client"
AXES_LOCKOUT_CALLABLE = "tests.api.lockout.locked_out"
