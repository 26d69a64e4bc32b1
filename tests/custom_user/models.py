"""People without a user name."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class People(BaseUserManager["Person"]):
    """Make people."""

    def create_user(self, email: str, password: str) -> Person:
        person = self.model(email=email)
        person.set_password(password)
        person.save()
        return person


class Person(AbstractBaseUser):
    """Somebody with an address; a UUID would do as well for the key."""

    email = models.EmailField(unique=True)
    is_active = True
    objects: Any = People()

    USERNAME_FIELD = "email"
