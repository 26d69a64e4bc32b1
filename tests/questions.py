"""Answering the question that "Sign out all others" asks first: its form carries which devices were shown."""

from __future__ import annotations

from typing import Any

from django.test import Client

END_OTHERS = "/account/sessions/end-others/"


def shown_to(client: Client) -> dict[str, str]:
    """Return what the question's form carries; nothing where there is no question."""
    answer = client.get(END_OTHERS)
    return dict(answer.context["fields"]) if answer.status_code == 200 else {}


def end_others(client: Client, **fields: str) -> Any:
    """Sign out all other devices: look at the question and answer it."""
    return client.post(END_OTHERS, {**shown_to(client), **fields})
