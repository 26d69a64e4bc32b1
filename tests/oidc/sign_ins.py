"""An identity provider at which people sign in, with the addresses of a Keycloak: by the code flow, with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

from tests.oidc.provider import CLIENT, EVENT, Provider, rsa_key

SECRET: Final = "secret-of-mysite"
BACK: Final = "https://www.example.com/"
"""Where people come back to when they have signed out."""
_PATH: Final = "/realms/main"
_ENDPOINTS: Final = f"{_PATH}/protocol/openid-connect"

Answer = tuple[int, dict[str, str], bytes]


class SignInProvider(Provider):
    """Sign everybody in as Ann, at once, in a session of the provider whose name is that of the browser."""

    def __init__(self) -> None:
        self.browser = "p1"
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.signed_out: list[str] = []
        super().__init__()

    @property
    def base(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def issuer(self) -> str:
        return f"{self.base}{_PATH}"

    def rotate(self) -> None:
        """Sign with RS256, which every client knows."""
        self.kid = secrets.token_hex(4)
        self.keys = {self.kid: rsa_key()}

    def published(self) -> list[dict[str, Any]]:
        own = jwt.algorithms.RSAAlgorithm
        keys = [{**json.loads(own.to_jwk(key.public_key())), "kid": kid} for kid, key in self.keys.items()]
        return [{**key, "use": "sig", "alg": "RS256"} for key in keys]

    def signed(self, claims: dict[str, Any], kind: str) -> str:
        headers = {"kid": self.kid, "typ": kind}
        return jwt.encode({"iss": self.issuer, "aud": CLIENT, **claims}, self.keys[self.kid], "RS256", headers=headers)

    def logout_token(self, **who: str) -> str:
        """A logout token for a session or a user."""
        claims = {"iat": int(time.time()), "jti": secrets.token_hex(8), "events": {EVENT: {}}, **who}
        return self.signed(claims, "logout+jwt")

    def answer(self, address: str, headers: Any, body: BinaryIO) -> Answer:
        """Do what each address is for."""
        parts = urlsplit(address)
        form = body.read(int(headers.get("Content-Length") or 0)).decode()
        sent = {name: values[0] for name, values in parse_qs(form or parts.query).items()}
        if parts.path == f"{_PATH}/.well-known/openid-configuration":
            return _json(self.described())
        actions = {"auth": self.authorize, "token": self.exchange, "userinfo": self.userinfo, "logout": self.log_out}
        name = parts.path.removeprefix(f"{_ENDPOINTS}/")
        if name == "certs":
            return _json({"keys": self.published()})
        return actions[name](sent, headers)

    def described(self) -> dict[str, Any]:
        at = f"{self.base}{_ENDPOINTS}"
        names = {"authorization": "auth", "token": "token", "userinfo": "userinfo", "end_session": "logout"}
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{at}/certs",
            **{f"{name}_endpoint": f"{at}/{path}" for name, path in names.items()},
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, sent: dict[str, str], headers: Any) -> Answer:
        """Send the browser back with a code."""
        assert sent["client_id"] == CLIENT and sent["response_type"] == "code" and "openid" in sent["scope"].split()
        code = secrets.token_hex(8)
        self.codes[code] = {**sent, "sid": self.browser}
        return _to(sent["redirect_uri"], {"code": code, "state": sent["state"], "iss": self.issuer})

    def exchange(self, sent: dict[str, str], headers: Any) -> Answer:
        """Give tokens for a code, once, to the site that it is for."""
        begun = self.codes.pop(sent["code"])
        assert _client(sent, headers) == (CLIENT, SECRET)
        assert sent["redirect_uri"] == begun["redirect_uri"]
        if challenge := begun.get("code_challenge"):
            digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        now, access = int(time.time()), secrets.token_hex(8)
        self.tokens[access] = begun["sid"]
        claims = {"sub": "a1", "sid": begun["sid"], "iat": now, "exp": now + 300, "azp": CLIENT}
        if nonce := begun.get("nonce"):
            claims["nonce"] = nonce
        tokens = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        return _json({**tokens, "id_token": self.signed(claims, "JWT")})

    def userinfo(self, sent: dict[str, str], headers: Any) -> Answer:
        assert headers["Authorization"].removeprefix("Bearer ") in self.tokens
        who = {"sub": "a1", "email": "ann@example.com", "email_verified": True, "preferred_username": "ann"}
        return _json({**who, "name": "Ann"})

    def log_out(self, sent: dict[str, str], headers: Any) -> Answer:
        """Sign out at the provider, and send the browser back where it may go."""
        assert sent["client_id"] == CLIENT and sent["post_logout_redirect_uri"] == BACK
        if token := sent.get("id_token_hint"):
            key = self.keys[self.kid].public_key()
            self.signed_out.append(jwt.decode(token, key, algorithms=["RS256"], audience=CLIENT)["sid"])
        else:
            self.signed_out.append(sent["logout_hint"])
        return _to(BACK, {name: sent[name] for name in ("state",) if name in sent})


def _client(sent: dict[str, str], headers: Any) -> tuple[str, ...]:
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        return tuple(base64.b64decode(given).decode().split(":"))
    return sent["client_id"], sent["client_secret"]


def _json(value: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _to(address: str, more: dict[str, str]) -> Answer:
    return 302, {"Location": f"{address}?{urlencode(more)}" if more else address}, b""
