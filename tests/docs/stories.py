"""What happens on the sites of some pages: called in a process of its own, after all that the page says was done."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from django_srvsession import services
from django_srvsession.models import Session
from tests.docs.site import Site


def database_of_its_own(site: Site) -> None:
    """Keep sessions beside the site's database, as the router says."""
    call_command("migrate", database="sessions", verbosity=0)
    ann = get_user_model().objects.create_user("ann")
    Client().force_login(ann)
    assert [record.user_id for record in services.sessions_of(ann)] == [str(ann.pk)]
    assert Session.objects.using("sessions").count() == 1
    assert get_user_model().objects.using("default").count() == 1
    assert "srvsession_session" not in _tables("default")
    assert "auth_user" not in _tables("sessions")


def _tables(alias: str) -> list[str]:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        return connections[alias].introspection.table_names(cursor)
