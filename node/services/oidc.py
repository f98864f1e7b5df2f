"""A client of one OpenID Connect provider: where to send a person, and who came back.

Rule: nothing that a provider sends is believed before it is checked: its own name in its description, the signature of the token by
a key that it publishes and an algorithm that is allowed here, and issuer, audience, nonce and times of the token. The code is asked
for with PKCE, the redirect address is the configured one to the letter, and what is read of an answer is bounded. Authlib builds
and checks what OAuth and OpenID Connect define; aiohttp carries it.

Source: OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207; RFC 9700.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet
from msgspec import Struct

from ledger.decoders import decode_json
from ledger.errors import Category, LedgerError, Unavailable

ANSWER_BYTES_MAX: Final = 256 * 1024
TIMEOUT_S: Final = 10.0
KEPT_S: Final = 3600.0
# A key that is not known is asked for again, but no more often than that.
KEYS_ASKED_AGAIN_S: Final = 60.0
LEEWAY_S: Final = 60
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
SUBJECT_LENGTH_MAX: Final = 255
# What reading JSON from outside raises; msgspec gives up on a deep one as Python does.
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class LoginRejected(LedgerError):
    """A provider's answer does not hold. Fields: provider, reason."""

    code = "login_rejected"
    category = Category.UNAUTHENTICATED
    zh = "身份提供方 {provider} 的登录结果未通过核验（{reason}），请重新登录"
    en = "The login at {provider} is refused ({reason}); start it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """A provider as the operator configured it.

    Attributes:
        name: what it is called in addresses of the API.
        label_zh, label_en: what people see.
        issuer: its name to the letter; where its description is, too.
        client_id, client_secret: as what this node is known to it; an empty secret for a public client.
        redirect_uri: where it sends people back to: a page of the portal.
        scopes, algorithms: what is asked for; how its tokens may be signed.
    """

    name: str
    label_zh: str
    label_en: str
    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    scopes: tuple[str, ...] = ("openid",)
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")


class _Description(Struct, frozen=True, kw_only=True):
    """Of `/.well-known/openid-configuration`, what is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(Struct, frozen=True, kw_only=True):
    """The answer of the token endpoint, as far as it is used: the access token is only compared with its hash."""

    id_token: str
    token_type: str = "Bearer"  # noqa: S105 - a kind
    access_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who came back, in the provider's words."""

    issuer: str
    subject: str
    level: str
    signed_in_s: int


class Provider:
    """One provider.

    Args:
        settings: the operator's.
        session: gives the HTTP client to ask with.
        clock_s: wall clock, in seconds.
        steady_s: clock that never goes back, in seconds.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        session: Callable[[], aiohttp.ClientSession],
        *,
        clock_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._session = session
        self._clock_s = clock_s
        self._steady_s = steady_s
        self._lock = asyncio.Lock()
        self._description: tuple[float, _Description] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send the person.

        Args:
            state: comes back with the person.
            nonce: comes back in the token.
            verifier: PKCE's secret, of which the address holds the hash.

        Raises:
            Unavailable: the provider does not answer, or describes another.
        """
        described = await self._describe()
        uri: str = prepare_grant_uri(
            described.authorization_endpoint,
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.settings.redirect_uri,
            scope=" ".join(self.settings.scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return uri

    async def finish(self, *, code: str, issuer: str, nonce: str, verifier: str) -> Login:
        """Exchange a code, and see who it is for.

        Args:
            code: from the provider.
            issuer: the parameter `iss` with which the person came back, empty if there was none.
            nonce, verifier: those of the address.

        Raises:
            LoginRejected: anything about it does not hold.
            Unavailable: the provider does not answer.
        """
        described = await self._describe()
        named = described.authorization_response_iss_parameter_supported or issuer
        if named and issuer != self.settings.issuer:
            raise self._rejected("iss")
        answer = await self._ask_token(described, code, verifier)
        try:
            tokens = decode_json(answer, _Tokens)
        except _UNREADABLE:
            raise self._rejected("token answer") from None
        return self._login(await self._read(described, tokens.id_token), tokens, nonce)

    # --- the token ---

    async def _read(self, described: _Description, token: str) -> jwt.Token:
        """The token, if a key of the provider's signed it; its keys are asked for once more where one is not known."""
        for again in (False, True):
            read = self._decode(token, await self._provider_keys(described, again=again))
            if read is not None:
                return read
        raise self._rejected("signature")

    def _decode(self, token: str, keys: KeySet) -> jwt.Token | None:
        """The token, if one of these keys signed it."""
        try:
            return jwt.decode(token, keys, algorithms=list(self.settings.algorithms))
        except Exception:  # noqa: BLE001 - what a hostile header makes the library raise is not all of one kind
            return None

    def _login(self, token: jwt.Token, tokens: _Tokens, nonce: str) -> Login:
        """Who the token names. Raises LoginRejected naming the claim."""
        wanted = self.settings
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": wanted.issuer},
                "aud": {"essential": True, "value": wanted.client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": wanted.client_id, "access_token": tokens.access_token},
        )
        for name in ("exp", "iat"):
            if type(claims.get(name)) is not int:
                raise self._rejected(name)
        try:
            claims.validate(now=int(self._clock_s()), leeway=LEEWAY_S)
        except Exception as error:  # noqa: BLE001 - what a hostile token makes the checks raise is not all of one kind
            raise self._rejected(str(getattr(error, "claim", "") or type(error).__name__)) from None
        subject, level = claims["sub"], claims.get("acr", "")
        if (
            not isinstance(subject, str)
            or not 1 <= len(subject) <= SUBJECT_LENGTH_MAX
            or not _is_text(subject)
        ):
            raise self._rejected("sub")
        signed_in_s = claims.get("auth_time", claims["iat"])
        if type(signed_in_s) is not int or not 0 <= signed_in_s <= self._clock_s() + LEEWAY_S:
            raise self._rejected("auth_time")
        return Login(
            issuer=wanted.issuer,
            subject=subject,
            level=level[:SUBJECT_LENGTH_MAX] if isinstance(level, str) and _is_text(level) else "",
            signed_in_s=signed_in_s,
        )

    # --- the provider's answers ---

    async def _describe(self) -> _Description:
        async with self._lock:
            now_s = self._steady_s()
            if self._description is not None and now_s - self._description[0] < KEPT_S:
                return self._description[1]
            url = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            status, answer = await self._exchange("GET", url)
            try:
                described = decode_json(answer, _Description) if status == 200 else None
            except _UNREADABLE:
                described = None
            if described is None or described.issuer != self.settings.issuer:
                raise self._unavailable("its description is not its own")
            for address in (described.authorization_endpoint, described.token_endpoint, described.jwks_uri):
                if not secure(address):
                    raise self._unavailable("it names an address that is not https")
            self._description = (now_s, described)
            return described

    async def _provider_keys(self, described: _Description, *, again: bool) -> KeySet:
        async with self._lock:
            now_s = self._steady_s()
            age_s = now_s - self._keys[0] if self._keys is not None else KEPT_S
            if self._keys is not None and age_s < (KEYS_ASKED_AGAIN_S if again else KEPT_S):
                return self._keys[1]
            status, answer = await self._exchange("GET", described.jwks_uri)
            try:
                keys = KeySet.import_key_set(json.loads(answer)) if status == 200 else None
            except Exception:  # noqa: BLE001 - what hostile keys make the library raise is not all of one kind
                keys = None
            if keys is None:
                raise self._unavailable("its keys cannot be read")
            self._keys = (now_s, keys)
            return keys

    async def _ask_token(self, described: _Description, code: str, verifier: str) -> bytes:
        wanted, url = self.settings, described.token_endpoint
        body: str = prepare_token_request(
            "authorization_code", code=code, redirect_uri=wanted.redirect_uri, code_verifier=verifier
        )
        method = "none"
        if wanted.client_secret:
            offered = described.token_endpoint_auth_methods_supported
            method = "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"
        headers: dict[str, Any] = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        auth = ClientAuth(wanted.client_id, wanted.client_secret, method)
        url, headers, body = auth.prepare("POST", url, headers, body)
        headers.pop("Content-Length", None)
        status, answer = await self._exchange("POST", url, headers=headers, body=body)
        if status != 200:
            raise self._rejected("code")
        return answer

    async def _exchange(
        self, method: str, url: str, *, headers: dict[str, Any] | None = None, body: str | None = None
    ) -> tuple[int, bytes]:
        """One request, no redirect followed, no more of the answer read than `ANSWER_BYTES_MAX`."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session().request(
                method,
                url,
                headers=headers,
                data=None if body is None else body.encode(),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > ANSWER_BYTES_MAX:
                        raise self._unavailable("its answer is too long")
                return response.status, bytes(data)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unavailable(type(error).__name__) from None

    def _rejected(self, reason: str) -> LoginRejected:
        return LoginRejected(provider=self.settings.name, reason=reason)

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(what=f"identity provider {self.settings.name}", reason=reason)


def _is_text(text: str) -> bool:
    """Whether it can be written down: JSON's escapes can leave half a surrogate pair."""
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def secure(url: str) -> bool:
    """Whether an address is https, or plain http on this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username is not None or parts.fragment:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))
