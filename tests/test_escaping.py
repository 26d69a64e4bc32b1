"""Texts of others in logs, in JSON for programs and on terminals: shown, and never obeyed."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.test import Client as Browser

from django_srvsession import services
from django_srvsession.admin.ending import _repr
from django_srvsession.escaping import escaped, escaped_json
from django_srvsession.management.commands import listsessions_srv
from django_srvsession.records import Client
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = "".join(map(chr, [*range(32), *range(127, 160)])) + BIDI + "\u2028\u2029\ufeff\U000e0001\ud800"
FORGED = "ann\n[28/Nov/2026] Session f00 ended.\x1b[31m\x9b2J\u202e\u2028"


def is_harmless(text: str) -> bool:
    """Tell whether a text is one line in which nothing acts."""
    return len(text.splitlines()) == 1 and not any(unicodedata.category(char) in "Cc Cf Cs Zl Zp" for char in text)


@pytest.mark.parametrize("char", HOSTILE)
def test_what_acts_in_a_log_or_on_a_terminal_is_escaped(char: str) -> None:
    assert is_harmless(f"a{escaped(char)}b")
    assert escaped(char).isascii()
    assert is_harmless(escaped_json({char: char}))
    assert json.loads(escaped_json({char: [char]})) == {char: [char]}


@pytest.mark.parametrize("text", ["", "ann", "김민준", "Zoë O'Neill-Δ", "😀 x", "C:\\temp", '"a", {b}'])
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert escaped(text) == text
    assert escaped_json([text]) == json.dumps([text], ensure_ascii=False)


@pytest.mark.django_db(transaction=True)
def test_nobody_writes_lines_into_the_log_of_the_api(
    store: Any, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.ROOT_URLCONF = "tests.api.client"
    address = "/api/sessions/x%0AINFO%20all%20is%20well%1b[31m%C2%9b%E2%80%AE%E2%80%A8/"
    assert Browser(enforce_csrf_checks=True).delete(address).status_code == 403
    (record,) = (record for record in caplog.records if record.name == "django.security.csrf")
    assert is_harmless(record.getMessage())
    assert "\\n" in record.getMessage()
    assert (record.status_code, record.levelname) == (403, "WARNING")  # type: ignore[attr-defined]


@pytest.mark.django_db(transaction=True)
def test_nobody_writes_lines_into_the_log_of_events(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="django_srvsession")
    sid = create(store, user_id=FORGED).record.sid
    services.revoke(sid, by=FORGED, reason=FORGED)
    (record,) = (record for record in caplog.records if record.name == "django_srvsession")
    fields = [str(vars(record)[name]) for name in ("user_id", "reason", "by")]
    for text in (record.getMessage(), *fields):
        assert is_harmless(text)
        assert "\\n" in text


@pytest.mark.django_db(transaction=True)
def test_a_row_of_the_event_log_keeps_the_users_id_as_it_is(store: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    services.revoke(create(store, user_id="a\u200db").record.sid)
    assert [event.reason for event in services.recent_activity("a\u200db")] == ["revoked"]


@pytest.mark.django_db(transaction=True)
def test_lists_show_what_a_browser_sent_and_a_name_that_was_chosen_as_they_are(store: Any) -> None:
    user = get_user_model().objects.create_user(FORGED)
    create(store, user_id=str(user.pk), client=Client("192.0.2.7", HOSTILE.replace("\ud800", "")))
    stdout = io.StringIO()
    call_command("listsessions_srv", stdout=stdout)
    (_, line) = stdout.getvalue().removesuffix("\n").split("\n")
    assert is_harmless(line)
    stdout = io.StringIO()
    call_command("listsessions_srv", "--json", stdout=stdout)
    assert is_harmless(stdout.getvalue().removesuffix("\n"))
    assert json.loads(stdout.getvalue())["user"] == FORGED


@pytest.mark.parametrize("error", [StoreUnavailableError(FORGED), DatabaseError(FORGED)])
def test_what_a_server_answers_does_not_command_the_terminal(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(listsessions_srv.Command, "work", fail)
    with pytest.raises(CommandError) as refused:
        call_command("listsessions_srv")
    assert all(map(is_harmless, str(refused.value).split("\n")))


@pytest.mark.django_db
def test_a_name_that_was_chosen_stays_in_its_place_in_the_admins_log(store: Any) -> None:
    user = get_user_model().objects.create_user(FORGED)
    record = create(store, user_id=str(user.pk)).record
    assert is_harmless(_repr(record, user))
