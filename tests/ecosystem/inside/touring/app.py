"""The site of a tour as an application; a tour's own ``asgi()`` puts more around it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "touring.settings")

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from touring.tour import part

wsgi = get_wsgi_application()
asgi = part("asgi", lambda application: application)(get_asgi_application())
