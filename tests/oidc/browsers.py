"""What people and the provider do on the site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.test import Client

from tests.oidc.provider import Provider

LOGOUT = "/oidc/logout/"


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
