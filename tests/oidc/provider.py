"""An identity provider: keys at an address of this machine, ID tokens' claims, and logout tokens."""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, ClassVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://id.example.com"
CLIENT = "mysite"
AUDIENCE = "https://mysite.example.com/caep"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"


class Provider:
    """Serve the keys, and sign."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_out = False
        self.keys: dict[str, Any] = {}
        self.kid = ""
        self.rotate()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.0"

            def do_GET(self) -> None:
                status, headers, body = provider.answer(self.path, self.headers, self.rfile)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, address: str, headers: Any, body: BinaryIO) -> tuple[int, dict[str, str], bytes]:
        """Tell the keys, whatever the address."""
        self.asked += 1
        return (500 if self.is_out else 200), {}, json.dumps({"keys": self.published()}).encode()

    def stop(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def setting(self) -> dict[str, str]:
        """What the site must be told of it."""
        port = self.server.server_address[1]
        return {"issuer": ISSUER, "client_id": CLIENT, "jwks_uri": f"http://127.0.0.1:{port}/keys"}

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no older one."""
        self.kid = secrets.token_hex(4)
        self.keys = {self.kid: ec.generate_private_key(ec.SECP256R1())}

    def published(self) -> list[dict[str, Any]]:
        own = jwt.algorithms.ECAlgorithm
        return [
            {**json.loads(own.to_jwk(key.public_key())), "kid": kid, "use": "sig"} for kid, key in self.keys.items()
        ]

    def id_claims(self, subject: str = "ann", provider_sid: str | None = "p1", ago_s: int = 0) -> dict[str, Any]:
        """The claims of an ID token."""
        claims = {"iss": ISSUER, "aud": CLIENT, "sub": subject, "iat": int(time.time()) - ago_s, "nonce": "n"}
        return claims if provider_sid is None else {**claims, "sid": provider_sid}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a logout token; None leaves one out."""
        claims: dict[str, Any] = {
            **{"iss": ISSUER, "aud": CLIENT, "iat": int(time.time()), "jti": secrets.token_hex(8)},
            **{"events": {EVENT: {}}, **changed},
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A logout token."""
        headers = {"kid": self.kid, "typ": "logout+jwt", **(header or {})}
        return jwt.encode(self.claims(**changed), self.keys[self.kid], "ES256", headers=headers)

    def event(self, subject: Any, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A security event token: a session-revoked for a subject, where nothing else is said."""
        told = {"event_timestamp": int(time.time()), "reason_admin": {"en": "Policy"}, "initiating_entity": "policy"}
        claims = {"aud": AUDIENCE, "sub_id": subject, "events": {REVOKED: told}, "txn": secrets.token_hex(4), **changed}
        return self.token({"typ": "secevent+jwt", **(header or {})}, **claims)


def stranger() -> Any:
    """A key that no provider has."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
