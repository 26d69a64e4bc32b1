"""Moving from django-user-sessions and django-qsessions, step by step and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import can_be_imported, play

STORY = """
import django
django.setup()
from importlib import import_module
from django.core.management import call_command
from django.test import override_settings
from django_srvsession import services
from tests.engine.pages import Browser, login, make_user, name_user, put, read
call_command("migrate", verbosity=0)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1"
OURS = "django_srvsession.backends.db"
for app, engine in (
    ("user_sessions", "user_sessions.backends.db"),
    ("qsessions", "qsessions.backends.db"),
    ("qsessions", "qsessions.backends.cached_db"),
):
    ann, model = make_user(engine), import_module(app + ".models").Session
    middleware = [
        app + ".middleware.SessionMiddleware" if "srvsession" in entry else entry
        for entry in django.conf.settings.MIDDLEWARE
    ]
    old = {"SESSION_ENGINE": engine, "MIDDLEWARE": middleware}
    first = {"SESSION_ENGINE": engine, "SRVSESSION_MIGRATE_TO": OURS}
    second = {"SESSION_ENGINE": OURS, "SRVSESSION_MIGRATE_FROM": engine}
    back = {"SESSION_ENGINE": engine, "SRVSESSION_MIGRATE_FROM": OURS}
    browser = Browser()
    with override_settings(**old):
        browser.visit(login(ann), HTTP_USER_AGENT=PHONE)
        browser.visit(put(number=0), HTTP_USER_AGENT=PHONE)
    rows = model.objects.filter(user=ann)
    assert rows.count() == 1, rows.count()
    for number, server in enumerate((old, first, old, first, second, first, second, second, back, back, first, old)):
        with override_settings(**server):
            visitor = browser.copy()
            assert visitor.show(name_user, HTTP_USER_AGENT=PHONE) == engine, (engine, number)
            assert visitor.show(read, HTTP_USER_AGENT=PHONE)["number"] == number, (engine, number)
            visitor.visit(put(number=number + 1), HTTP_USER_AGENT=PHONE)
            browser.client.cookies = visitor.client.cookies
            if server in (second, back):
                assert (rows.count(), len(services.sessions_of(ann))) == ((0, 1) if server is second else (1, 0))
    (row,) = rows
    assert (row.user_agent, row.ip) == (PHONE, "127.0.0.1"), (row.user_agent, row.ip)

    def overtaken(request):
        request.session["number"]
        with override_settings(**back, SRVSESSION_MIGRATE_TO=None):
            assert browser.copy().show(read, HTTP_USER_AGENT=PHONE)["number"] == 12
        request.session["late"] = 1

    first_back = {"SESSION_ENGINE": OURS, "SRVSESSION_MIGRATE_TO": engine}
    for server, view in ((second, read), (first_back, overtaken)):
        with override_settings(**server):
            visitor = browser.copy()
            answer = visitor.visit(view, HTTP_USER_AGENT=PHONE)
            assert answer.status_code == 200, (engine, answer.status_code, answer.content)
            browser.client.cookies = visitor.client.cookies
    (row,) = rows.all()
    assert row.get_decoded()["late"] == 1, "what it saved follows"
    # Another client there than the next request's, and each of its requests saves all that it has read.
    assert (row.user_agent, row.ip) == (PHONE, "127.0.0.1"), (row.user_agent, row.ip)
    for unknown in ("x" * 32, "a" * 32):
        with override_settings(**second):
            assert Browser(unknown).show(read) == {}
    assert model.objects.count() == rows.count()
    model.objects.all().delete()
"""


@pytest.mark.skipif(
    not can_be_imported("user_sessions", "qsessions"), reason="the packages are not for this Python or Django"
)
def test_a_visitor_of_another_package_goes_there_and_back(tmp_path: Path) -> None:
    play("tests.moving_site.settings", STORY, tmp_path)
