"""``manage.py demo_users``: the people of the demo."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from example_project.demo.people import NAMES, password_of


class Command(BaseCommand):
    help = "Make the users alice, bob and admin (an administrator), and print how to sign in. Can be repeated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--address", default="http://127.0.0.1:8000/", help="Where the demo answers, to print.")

    def handle(self, *args: Any, address: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("These passwords are known to everyone: this is for the demo alone (DEBUG is off).")
        for name in NAMES:
            make_user(name)
        self.stdout.write(f"Open {address} (sessions are kept in: {settings.SESSION_ENGINE.rpartition('.')[2]})")
        for name in NAMES:
            self.stdout.write(f"  user {name:<6} password {password_of(name)}")


def make_user(name: str) -> None:
    """Make the user, or give it its password back; one that has it keeps its sessions."""
    is_admin = name == "admin"
    user, _ = get_user_model().objects.get_or_create(username=name, defaults={"email": f"{name}@example.com"})
    if not user.check_password(password_of(name)):
        user.set_password(password_of(name))
    user.is_active, user.is_staff, user.is_superuser = True, is_admin, is_admin
    user.save()
