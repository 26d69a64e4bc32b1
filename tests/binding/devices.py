"""A browser in small that can be bound, as Chromium does it; its key is software, and its clock is the site's."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, Client
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from django_srvsession.binding import cookies
from django_srvsession.binding.keys import Binding, canonical
from django_srvsession.engine.details import Change, Details
from django_srvsession.engine.keys import SessionKey

REGISTRATION = "Secure-Session-Registration"
CHALLENGE = "Secure-Session-Challenge"


class Key:
    """A device's key: ES256, unless it is made otherwise."""

    def __init__(self, private: Any = None, algorithm: str = "ES256") -> None:
        self.private = private or ec.generate_private_key(ec.SECP256R1())
        self.algorithm = algorithm

    @classmethod
    def rsa(cls, bits: int = 2048) -> Key:
        """Make one as older TPMs do."""
        return cls(rsa.generate_private_key(65537, bits), "RS256")

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as a proof brings it."""
        kind: Any = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        return dict(kind.to_jwk(self.private.public_key(), as_dict=True))

    def proof(self, challenge: str, *, with_key: bool, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign a challenge."""
        header = {"typ": "dbsc+jwt", **({"jwk": self.jwk} if with_key else {}), **(headers or {})}
        return jwt.encode({"jti": challenge, **claims}, self.private, self.algorithm, headers=header)


class Device:
    """A browser that keeps cookies, and keys if it ``can`` be bound; over WSGI, or over ASGI with ``asgi=True``."""

    def __init__(self, *, can: bool = True, asgi: bool = False, agent: str = "", key: Key | None = None) -> None:
        self.can = can
        self.asgi = asgi
        self.client: Any = (AsyncClient if asgi else Client)(raise_request_exception=False)
        self.agent = {"user_agent": agent} if agent else {}
        self.key = key or Key()
        self.config: dict[str, Any] = {}
        self.challenge = ""

    # Requests.

    def ask(self, path: str, method: str = "get", data: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request over TLS, and nothing else."""
        extra: dict[str, Any] = {"secure": True, "headers": {**self.agent, **(headers or {})}}
        answer = getattr(self.client, method)(path, data, **extra)
        answer = asyncio.run(answer) if self.asgi else answer
        for name in [name for name, morsel in self.client.cookies.items() if not morsel.value]:
            del self.client.cookies[name]  # As browsers do.
        if self.can and REGISTRATION in answer.headers:
            self.register(answer.headers[REGISTRATION])
        return answer

    def visit(self, path: str, method: str = "get", data: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request; without its bound cookie, ask for that first."""
        if self.config and bound_name() not in self.client.cookies:
            self.refresh()
        return self.ask(path, method, data, headers)

    def sign_in(self, name: str = "ann") -> Any:
        """Sign in by Django's own means."""
        return self.visit(f"{self.a}/sign-in/{name}/")

    @property
    def user(self) -> str:
        """Who is signed in, or nothing."""
        return str(self.visit(f"{self.a}/whoami/").json()["user"])

    @property
    def a(self) -> str:
        """Where the views of this kind are."""
        return "/a" if self.asgi else ""

    # Binding.

    def register(self, header: str, key: Key | None = None) -> Any:
        """Answer a request to register."""
        found = re.fullmatch(r'\(ES256 RS256\);path="([^"]+)";challenge="([^"]+)"', header)
        assert found, header
        answer = self.prove(found[1], (key or self.key).proof(found[2], with_key=True))
        if answer.status_code == 200 and "session_identifier" in answer.json():
            self.config = answer.json()
            self._keep_challenge(answer)
        return answer

    def refresh(self) -> Any:
        """Do what a browser does without its bound cookie; up to five times."""
        path, sid = self.config["refresh_url"], self.config["session_identifier"]
        headers = {"sec-secure-session-id": sid}
        answer = None
        for _ in range(5):
            if self.challenge:
                headers["secure-session-response"] = self.key.proof(self.challenge, with_key=False)
            answer = self.ask(path, "post", headers=headers)
            self._keep_challenge(answer)
            if answer.status_code != 403:
                break
        assert answer is not None
        ends = answer.status_code in (400, 401, 403, 429)
        if ends or (answer.status_code == 200 and answer.json().get("continue") is False):
            self.config = {}
        return answer

    def prove(self, path: str, proof: str, *, quoted: bool = False) -> Any:
        """Send a proof."""
        return self.ask(path, "post", headers={"secure-session-response": f'"{proof}"' if quoted else proof})

    def _keep_challenge(self, answer: Any) -> None:
        self.challenge = challenge_in(answer)

    # Cookies.

    @property
    def sid(self) -> str:
        """The session that its cookie names."""
        key = SessionKey.parse(self.cookie(settings.SESSION_COOKIE_NAME))
        assert key is not None
        return key.sid

    @property
    def is_bound(self) -> bool:
        """Whether it holds a bound cookie."""
        return bound_name() in self.client.cookies

    def cookie(self, name: str) -> str | None:
        """Return a cookie, or None."""
        return self.client.cookies[name].value if name in self.client.cookies else None

    def drop(self, name: str = "") -> None:
        """Lose a cookie: the bound one, as when its time is up."""
        self.client.cookies.pop(name or bound_name(), None)

    def thief(self, *names: str, asgi: bool | None = None) -> Device:
        """Return another browser, which has copied cookies of these names: the session's, if none is named."""
        other = Device(can=False, asgi=self.asgi if asgi is None else asgi, agent=secrets.token_hex(4))
        for name in names or (settings.SESSION_COOKIE_NAME,):
            other.client.cookies[name] = self.cookie(name)
        return other


def change(device: Device, function: Change) -> None:
    """Change what is kept of a device's session, as if time had passed."""
    engine(device.cookie(settings.SESSION_COOKIE_NAME)).change_details(function)


def engine(key: str | None) -> Any:
    """Return a session object of the engine in use."""
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def registered_ago(seconds: float) -> Change:
    """Return the change by which a key was registered so long ago, and its browser has not shown its cookie yet."""

    def change(details: Details, now_ms: int) -> Details:
        binding = Binding.decode(details.binding)._replace(at_ms=now_ms - int(seconds * 1000), was_shown=False)
        return details._replace(binding=binding.encode())

    return change


def renewed_ago(seconds: float) -> Change:
    """Return the change by which a binding was renewed so long ago, and its browser has shown its cookie."""

    def change(details: Details, now_ms: int) -> Details:
        binding = Binding.decode(details.binding)._replace(at_ms=now_ms - int(seconds * 1000), was_shown=True)
        return details._replace(binding=binding.encode())

    return change


def cookie_of(device: Device, *, age: float = 0, generation: int | None = None, **other: Any) -> str:
    """Return a bound cookie that the site gave out so many seconds ago, or after other renewals, or for another."""
    session = engine(device.cookie(settings.SESSION_COOKIE_NAME))
    session.load()
    details, response = session.details, HttpResponse()
    if generation is not None:
        details = details._replace(generation=generation)
    if "key" in other:
        binding = Binding.decode(details.binding)._replace(jwk=canonical(other["key"].jwk))
        details = details._replace(binding=binding.encode())
    cookies.put(response, other.get("sid", session.sid), details, session.now_ms - int(age * 1000))
    return str(response.cookies[bound_name()].value)


def bound_name() -> str:
    return f"{settings.SESSION_COOKIE_NAME}_bound"


def challenge_in(answer: Any) -> str:
    """Return the challenge that an answer brings, or nothing."""
    found = re.fullmatch(r'"([^"]+)";id="[0-9a-f]{18}"', answer.headers.get(CHALLENGE, ""))
    return found[1] if found else ""


def parts_of(proof: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a proof."""
    return jwt.get_unverified_header(proof), json.loads(jwt.utils.base64url_decode(proof.split(".")[1]))
