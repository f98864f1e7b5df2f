"""A small OpenID Connect provider over real sockets: it signs real tokens, holds clients to PKCE and to their redirect address, and
lies in one point when it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT: Final = "zhenglian-node"
SECRET: Final = "a secret with : and %"
REDIRECT: Final = "https://portal.city.example.cn/login"
SUBJECT: Final = "citizen-4711"

Change = Callable[[dict[str, Any]], None]


@dataclass
class Liar:
    """In what the provider lies: each changes something on its way out."""

    description: Change | None = None
    claims: Change | None = None
    header: Change | None = None
    answer: Change | None = None
    sign_with: Any = None
    raw_token: str | None = None
    raw_answer: bytes | None = None
    raw_description: bytes | None = None
    keys: bytes | None = None


@dataclass
class OidcProvider:
    """The provider's state: codes that wait, and how often it was asked for what."""

    issuer: str = ""
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "one"}))
    algorithm: str = "RS256"
    lies: Liar = field(default_factory=Liar)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now_s: Callable[[], float] = time.time

    def rotate(self) -> None:
        """Sign with another key from now on."""
        self.key = ECKey.generate_key("P-256", parameters={"kid": secrets.token_hex(4)})
        self.algorithm = "ES256"

    def consent(self, url: str) -> dict[str, str]:
        """What the person's browser brings back to the portal after a login at `url`."""
        parts = urlsplit(url)
        assert url.startswith(self.issuer + "/authorize")
        asked = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == REDIRECT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"state": asked["state"], "code": code}

    async def description(self, _request: web.Request) -> web.Response:
        self.asked.append("description")
        if self.lies.raw_description is not None:
            return web.Response(body=self.lies.raw_description, content_type="application/json")
        found: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "jwks_uri": self.issuer + "/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        if self.lies.description:
            self.lies.description(found)
        return web.json_response(found)

    async def keys(self, _request: web.Request) -> web.Response:
        self.asked.append("keys")
        if self.lies.keys is not None:
            return web.Response(body=self.lies.keys, content_type="application/json")
        return web.json_response(KeySet([self.key]).as_dict(private=False))

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append("token")
        form = await request.post()
        expected = (
            "Basic "
            + base64.b64encode(urlencode({"": CLIENT})[1:].encode() + b":" + SECRET.encode()).decode()
        )
        granted = self.codes.pop(str(form.get("code")), None)
        challenge = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        if (
            granted is None
            or request.headers.get("Authorization") != expected
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != granted["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != granted["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if self.lies.raw_answer is not None:
            return web.Response(body=self.lies.raw_answer, content_type="application/json")
        answer = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 60,
            "id_token": self.id_token(granted["nonce"]),
        }
        if self.lies.answer:
            self.lies.answer(answer)
        return web.json_response(answer)

    def id_token(self, nonce: str) -> str:
        if self.lies.raw_token is not None:
            return self.lies.raw_token
        now_s = int(self.now_s())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": CLIENT,
            "exp": now_s + 300,
            "iat": now_s,
            "auth_time": now_s - 5,
            "nonce": nonce,
            "acr": "urn:example:high",
        }
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.lies.claims:
            self.lies.claims(claims)
        if self.lies.header:
            self.lies.header(header)
        key = self.lies.sign_with or self.key
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


@asynccontextmanager
async def provider() -> AsyncIterator[OidcProvider]:
    """A provider at a free port of this machine."""
    made = OidcProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.description)
    app.router.add_get("/keys", made.keys)
    app.router.add_post("/token", made.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def headed(header: bytes) -> str:
    """A token with these bytes for its header, and a signature of nobody's."""
    return f"{_part(header)}.{_part(b'{}')}.{_part(bytes(256))}"


def unsigned(claims: dict[str, Any]) -> str:
    """A token of algorithm "none"."""
    header = json.dumps({"alg": "none"}).encode()
    return f"{_part(header)}.{_part(json.dumps(claims).encode())}."


def confused(public_key: Any) -> str:
    """A token whose HMAC has the public key's own text for its secret: the old confusion of algorithms."""
    header = json.dumps({"alg": "HS256", "kid": public_key.kid}).encode()
    signed = f"{_part(header)}.{_part(b'{}')}"
    secret = public_key.as_pem(private=False)
    return f"{signed}.{_part(hmac.digest(secret, signed.encode(), 'sha256'))}"
