"""Make the tables and the users of a tour's site: ``python -m touring.prepare``."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "touring.settings")
django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command

from touring.tour import part

call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
users = get_user_model().objects
users.create_user("ann", "ann@example.com", "ann")
users.create_user("bob", "bob@example.com", "bob")
users.create_superuser("root", "root@example.com", "root")
part("prepare", lambda: None)()
