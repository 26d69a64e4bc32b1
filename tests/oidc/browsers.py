"""What people and the provider do on the site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.test import Client

from tests.oidc.provider import Provider

LOGOUT, EVENTS = "/oidc/logout/", "/oidc/events/"
SET = "application/secevent+jwt"


def sign_in(claims: dict[str, Any], name: str = "ann", id_token: str = "") -> Client:
    """Sign somebody in, in a browser of their own."""
    client, query = Client(), urlencode({"id_token": id_token}) if id_token else ""
    assert client.post(f"/sign-in/{name}/?{query}", claims, content_type="application/json").status_code == 200
    return client


def user_of(client: Client) -> str:
    return str(client.get("/whoami/").json()["user"])


def send(token: str) -> Any:
    """Tell the site of a logout, as the provider's server does."""
    return Client(enforce_csrf_checks=True).post(LOGOUT, {"logout_token": token})


def log_out(provider: Provider, **claims: Any) -> None:
    """End what these claims name; the provider is told that it is done."""
    answer = send(provider.token(**claims))
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store"), answer.content


def push(token: str, content_type: str = SET) -> Any:
    """Push a security event to the site, as the provider's transmitter does."""
    return Client(enforce_csrf_checks=True).post(EVENTS, token.encode(), content_type=content_type)


def revoke(provider: Provider, subject: Any, **changed: Any) -> None:
    """End what a subject stands for; the transmitter is told that it has come."""
    answer = push(provider.event(subject, **changed))
    assert (answer.status_code, answer.content, answer["Cache-Control"]) == (202, b"", "no-store"), answer.content
