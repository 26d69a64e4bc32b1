"""A native app: it keeps what the header says, sends it, and has no cookies."""

from __future__ import annotations

import asyncio
import json
from http.cookies import SimpleCookie
from typing import Any

from django.test import AsyncClient, Client

HEADER = "X-Session-Token"
OKHTTP = "okhttp/4.12.0"


class App:
    """Send a token as the documentation tells apps to: at first "new", then what the last answer said."""

    def __init__(self, token: str = "new", asgi: bool = False, agent: str = OKHTTP) -> None:
        self._asgi = asgi
        client: Any = AsyncClient if asgi else Client
        self.client = client(enforce_csrf_checks=True, raise_request_exception=False)
        self.token, self.agent = token, agent

    def ask(self, method: str, address: str, body: Any = None, **headers: str) -> Any:
        """Send a request with a JSON body, or none, and keep the token of the answer; no cookie may be in it."""
        data = b"" if body is None else json.dumps(body).encode()
        sent = {HEADER: self.token, "User-Agent": self.agent, **headers}
        answer = self.client.generic(method, address, data, content_type="application/json", headers=sent)
        answer = asyncio.run(answer) if self._asgi else answer
        assert answer.cookies == SimpleCookie(), answer.cookies
        self.token = answer.headers.get(HEADER, self.token)
        return answer
