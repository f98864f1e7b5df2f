"""Logging in with an identity provider: for a registrar's statement, for a link, or for a session to read with.

Rule: a provider says who somebody is, and never signs for anybody: no grant, no key and no transaction comes of a login. Each login
is begun here, for one purpose, by a page that keeps a handle; it is finished once, by that page, within ten minutes.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiohttp

from contracts.records import AccountKind
from ledger.crypto.suite import CryptoSuite, Signer
from ledger.errors import Busy, Category, LedgerError, NotFound
from node.services.login_links import Link, LoginLinks
from node.services.login_statements import (
    STATEMENT_LIFETIME_MS,
    LoginStatement,
    SignedStatement,
    sign_statement,
)
from node.services.oidc import Login, Provider, ProviderSettings
from node.services.ports import Caller, SignIn

LOGIN_LIFETIME_MS: Final = 10 * 60 * 1000
LOGINS_MAX: Final = 10_000
SECRET_SIZE_BYTES: Final = 32


class Intent(StrEnum):
    """What a login is for."""

    IDENTIFY = "identify"
    LINK = "link"
    SIGN_IN = "sign_in"


class LoginUnknown(LedgerError):
    """No such login was begun by this page, or it is over."""

    code = "login_unknown"
    category = Category.UNAUTHENTICATED
    zh = "此登录不是由本页面发起，或已完成、已过期，请重新登录"
    en = "This login was not begun by this page, is finished or over; start again"


class IntentRefused(LedgerError):
    """The login cannot be begun so. Fields: reason_zh, reason."""

    code = "intent_refused"
    zh = "无法发起登录：{reason_zh}"
    en = "The login cannot be begun: {reason}"


class NotLinked(LedgerError):
    """The identity may sign in to no account here."""

    code = "not_linked"
    category = Category.UNAUTHENTICATED
    zh = "该身份未在本节点关联账户，请先用通行密钥登录并关联"
    en = "That identity is linked to no account at this node; log in with a passkey and link it first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A login that a page has begun: where the person goes, and what comes back."""

    url: str
    state: str
    handle: str
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What came of a login: one of a statement, a link made, or the link that was found."""

    intent: Intent
    statement: SignedStatement | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    provider: str
    intent: Intent
    handle: str
    nonce: str
    verifier: str
    key_id: bytes
    link: Link | None
    expires_ms: int


class Logins:
    """The logins of one node.

    Args:
        suite, chain_id, account, signer: whose word a statement is, and for which network.
        providers: as configured.
        links: which identity signs in to which account.
        clock_ms: wall clock.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain_id: bytes,
        account: bytes,
        signer: Signer,
        providers: Iterable[ProviderSettings],
        links: LoginLinks,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain_id = chain_id
        self._account = account
        self._signer = signer
        self._clock_ms = clock_ms
        self._client: aiohttp.ClientSession | None = None
        self._providers = {
            settings.name: Provider(settings, self._session, clock_s=lambda: clock_ms() / 1000)
            for settings in providers
        }
        self._links = links
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def providers(self) -> tuple[ProviderSettings, ...]:
        """The providers that this node accepts."""
        return tuple(provider.settings for provider in self._providers.values())

    async def begin(self, name: str, intent: Intent, *, key_id: bytes, caller: Caller | None) -> Begun:
        """Begin a login.

        Args:
            name: of the provider.
            intent: what it is for.
            key_id: for a statement, the key that is to be bound; else empty.
            caller: for a link, whose session it is.

        Raises:
            NotFound: no such provider.
            IntentRefused: a key or a session is missing, or not of use.
            Busy: too many logins wait.
            Unavailable: the provider does not answer.
        """
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound(what="identity provider", id=name)
        link = _link_of(intent, key_id, caller)
        self._forget_ended()
        if len(self._waiting) >= LOGINS_MAX:
            raise Busy(what="logins", retry_after_s=60)
        state, handle, nonce, verifier = (secrets.token_urlsafe(SECRET_SIZE_BYTES) for _ in range(4))
        url = await provider.authorization_url(state=state, nonce=nonce, verifier=verifier)
        expires_ms = self._clock_ms() + LOGIN_LIFETIME_MS
        self._waiting[state] = _Waiting(
            provider=name,
            intent=intent,
            handle=handle,
            nonce=nonce,
            verifier=verifier,
            key_id=key_id,
            link=link,
            expires_ms=expires_ms,
        )
        return Begun(url=url, state=state, handle=handle, expires_ms=expires_ms)

    async def finish(self, *, state: str, handle: str, code: str, issuer: str) -> Finished:
        """Finish a login with what the provider sent the person back with.

        Raises:
            LoginUnknown: it was not begun by this page, is finished or over.
            LoginRejected: what the provider says does not hold.
            NotLinked, LinkedElsewhere, TooManyLinks: the identity is of no use here.
            Unavailable: the provider does not answer.
        """
        self._forget_ended()
        waiting = self._waiting.get(state)
        if waiting is None or not hmac.compare_digest(waiting.handle.encode(), handle.encode()):
            raise LoginUnknown
        del self._waiting[state]
        login = await self._providers[waiting.provider].finish(
            code=code, issuer=issuer, nonce=waiting.nonce, verifier=waiting.verifier
        )
        match waiting.intent:
            case Intent.IDENTIFY:
                return Finished(intent=waiting.intent, statement=self._state(login, waiting))
            case Intent.LINK:
                if waiting.link is not None:
                    self._links.link(login.issuer, login.subject, waiting.link, self._clock_ms())
                return Finished(intent=waiting.intent, link=waiting.link)
            case Intent.SIGN_IN:
                link = self._links.find(login.issuer, login.subject)
                if link is None:
                    raise NotLinked
                return Finished(intent=waiting.intent, link=link)

    def unlink(self, account: bytes) -> int:
        """Undo every link of an account at this node; how many there were."""
        return self._links.unlink(account)

    async def stop(self) -> None:
        """Let go of connections and of the file."""
        if self._client is not None:
            await self._client.close()
        self._links.close()

    def _state(self, login: Login, waiting: _Waiting) -> SignedStatement:
        now_ms = self._clock_ms()
        statement = LoginStatement(
            chain_id=self._chain_id,
            node=self._account,
            issuer=login.issuer,
            client_id=self._providers[waiting.provider].settings.client_id,
            subject=login.subject,
            level=login.level,
            key_id=waiting.key_id,
            signed_in_ms=login.signed_in_s * 1000,
            issued_ms=now_ms,
            expires_ms=now_ms + STATEMENT_LIFETIME_MS,
        )
        return sign_statement(self._suite, self._signer, statement)

    def _forget_ended(self) -> None:
        """All logins live equally long, so that the oldest stand first."""
        now_ms = self._clock_ms()
        while self._waiting and next(iter(self._waiting.values())).expires_ms <= now_ms:
            self._waiting.popitem(last=False)

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self._client


def _link_of(intent: Intent, key_id: bytes, caller: Caller | None) -> Link | None:
    """Whom a login is to be linked to. Raises IntentRefused."""
    if (intent is Intent.IDENTIFY) != bool(key_id):
        reason = "identify needs key_id, the new key, and nothing else does"
        raise IntentRefused(reason_zh="identify 须给出新密钥 key_id，其他用途不得给出", reason=reason)
    if intent is not Intent.LINK:
        return None
    if caller is None or caller.by is SignIn.OIDC or caller.kind is not AccountKind.PERSON:
        raise IntentRefused(
            reason_zh="关联须由本人先用通行密钥或账户密钥登录",
            reason="to link, the person logs in by passkey or key first",
        )
    return Link(account=caller.account, key_id=caller.key_id)
