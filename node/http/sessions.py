"""Logging in with an account key, and what a session token is worth.

Rule: a token is 32 random bytes, held here only as a keyed hash; whether its key may still act is read from
the finalized state at every request, so revoking a key or suspending an account ends its sessions at once.

The challenge needs no memory: it carries network, node, account, key and end of life under a MAC of this
process, so asking for many costs nothing. Only used challenges are remembered, until they end. It names the
node, so that a client can refuse to sign for one node the challenge of another. Layout, in bytes:

    chain id 32 ‖ node account 16 ‖ account 16 ‖ key id 16 ‖ expires, ms, big-endian 8 ‖ nonce 16 ‖ MAC 32
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from contracts import passkeys
from contracts.records import Account, AccountKind, AccountStatus, Key
from ledger import domains
from ledger.errors import Busy
from node.http.config import HttpConfig
from node.http.errors import ChallengeInvalid, LoginRefused, SessionRequired
from node.services.ports import Caller, Chain, SignIn

TOKEN_SIZE_BYTES: Final = 32
TOKEN_LENGTH_MAX: Final = 128
CHALLENGE_SIZE_BYTES: Final = 32 + 16 + 16 + 16 + 8 + 16 + 32
_MAC_SIZE_BYTES: Final = 32
# Stands where a challenge names an account and a key, when the device will choose them.
_ANYBODY: Final = bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """What is remembered of a session."""

    account: bytes
    key_id: bytes
    expires_ms: int
    by: SignIn = SignIn.KEY


def usable_key(account: Account, key_id: bytes, now_ms: int) -> Key | None:
    """The key of an active account, if it may act at `now_ms`."""
    if account.status is not AccountStatus.ACTIVE:
        return None
    for key in account.keys:
        if key.key_id == key_id:
            ended = key.revoked_ms != 0 or (key.valid_until_ms != 0 and now_ms >= key.valid_until_ms)
            return None if ended or now_ms < key.valid_from_ms else key
    return None


def _caller(holder: Account, key: Key, by: SignIn) -> Caller:
    return Caller(account=holder.account_id, key_id=key.key_id, kind=holder.kind, role=key.role, by=by)


class Sessions:
    """The sessions of one node; they end with the process.

    Args:
        chain: whose finalized state says which keys may act.
        node_account: this node's operator.
        config: lifetimes and bounds.
        clock_ms: wall clock.
    """

    def __init__(
        self, chain: Chain, node_account: bytes, config: HttpConfig, clock_ms: Callable[[], int]
    ) -> None:
        self._chain = chain
        self._node_account = node_account
        self._config = config
        self._clock_ms = clock_ms
        self._secret = secrets.token_bytes(32)
        self._open: OrderedDict[bytes, OpenSession] = OrderedDict()
        self._of_key: dict[tuple[bytes, bytes], list[bytes]] = {}
        self._used: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def challenge(self, account: bytes, key_id: bytes) -> tuple[bytes, int]:
        """A challenge for that key, whether it exists or not, and when it ends in ms."""
        expires_ms = self._clock_ms() + self._config.challenge_lifetime_ms
        body = (
            self._chain.chain_id
            + self._node_account
            + account
            + key_id
            + expires_ms.to_bytes(8, "big")
            + secrets.token_bytes(16)
        )
        return body + self._mac(b"challenge", body), expires_ms

    def log_in(
        self, account: bytes, key_id: bytes, challenge: bytes, signature: bytes
    ) -> tuple[str, int, Caller]:
        """Open a session.

        Returns:
            The token, when it ends in ms, and who it is for.

        Raises:
            ChallengeInvalid: not ours, for another key, expired or used.
            LoginRefused: account or key cannot act, or the signature is wrong.
            Busy: too many sessions.
        """
        self._check_challenge(account, key_id, challenge, self._clock_ms())
        holder, key = self._acting(account, key_id)
        if not self._signed(key, challenge, signature):
            raise LoginRefused
        by = SignIn.PASSKEY if key.scheme == passkeys.SCHEME else SignIn.KEY
        return self._begin(holder, key, by, challenge)

    def passkey_challenge(self) -> tuple[bytes, int]:
        """A challenge for whichever passkey the device will choose, and when it ends in ms."""
        return self.challenge(_ANYBODY, _ANYBODY)

    def log_in_by_passkey(
        self, account: bytes, challenge: bytes, assertion: bytes
    ) -> tuple[str, int, Caller]:
        """Open a session for whichever passkey of the account made the assertion; as `log_in` otherwise."""
        now_ms = self._clock_ms()
        self._check_challenge(_ANYBODY, _ANYBODY, challenge, now_ms)
        holder = self._chain.records.account(account)
        if holder is None:
            raise LoginRefused
        for held in holder.keys:
            key = usable_key(holder, held.key_id, self._acting_time_ms(now_ms))
            if key is not None and key.scheme == passkeys.SCHEME and self._signed(key, challenge, assertion):
                return self._begin(holder, key, SignIn.PASSKEY, challenge)
        raise LoginRefused

    def begin_linked(self, account: bytes, key_id: bytes) -> tuple[str, int, Caller]:
        """Open a session to read with, for an identity that was linked by that key (`node/services/logins.py`).

        Raises:
            LoginRefused: account or key can no longer act, or the account is no person's.
            Busy: too many sessions.
        """
        holder, key = self._acting(account, key_id)
        if holder.kind is not AccountKind.PERSON:
            raise LoginRefused
        return self._begin(holder, key, SignIn.OIDC)

    def caller(self, token: str) -> Caller:
        """Who a token stands for, now.

        Raises:
            SessionRequired: unknown or ended token, or a key that may no longer act.
        """
        hashed, session = self._find(token)
        now_ms = self._clock_ms()
        holder = self._chain.records.account(session.account)
        key = usable_key(holder, session.key_id, self._acting_time_ms(now_ms)) if holder else None
        if now_ms >= session.expires_ms or holder is None or key is None:
            self._end(hashed)
            raise SessionRequired
        return _caller(holder, key, session.by)

    def log_out(self, token: str) -> None:
        """End a session. Raises SessionRequired when there is none."""
        self._end(self._find(token)[0])

    def _acting(self, account: bytes, key_id: bytes) -> tuple[Account, Key]:
        """Account and key, if they may act now; raises LoginRefused."""
        holder = self._chain.records.account(account)
        key = usable_key(holder, key_id, self._acting_time_ms(self._clock_ms())) if holder else None
        if holder is None or key is None:
            raise LoginRefused
        return holder, key

    def _signed(self, key: Key, challenge: bytes, signature: bytes) -> bool:
        """Whether the key signed the challenge; a passkey signs over its hash, as strictly as on the ledger."""
        suite = self._chain.suite
        if key.scheme != passkeys.SCHEME:
            return suite.verify(key.scheme, key.public_key, domains.SESSION, challenge, signature)
        hashed = passkeys.challenge_of(suite, domains.SESSION, challenge)
        return passkeys.why_not(key.public_key, hashed, signature, self._chain.webauthn) is None

    def _begin(
        self, holder: Account, key: Key, by: SignIn, challenge: bytes = b""
    ) -> tuple[str, int, Caller]:
        """Open a session for who has shown who it is; the challenge serves no other."""
        now_ms = self._clock_ms()
        self._forget_ended(now_ms)
        self._make_room(holder.account_id, key.key_id)
        if challenge:
            self._used[challenge[-_MAC_SIZE_BYTES:]] = now_ms + self._config.challenge_lifetime_ms
        token = secrets.token_urlsafe(TOKEN_SIZE_BYTES)
        session = OpenSession(
            account=holder.account_id,
            key_id=key.key_id,
            expires_ms=now_ms + self._config.session_lifetime_ms,
            by=by,
        )
        hashed = self._mac(b"token", token.encode())
        self._open[hashed] = session
        self._of_key.setdefault((holder.account_id, key.key_id), []).append(hashed)
        return token, session.expires_ms, _caller(holder, key, by)

    def _find(self, token: str) -> tuple[bytes, OpenSession]:
        # The table is keyed by a MAC under a secret of this process: how long the lookup takes says nothing
        # of tokens.
        if 0 < len(token) <= TOKEN_LENGTH_MAX and token.isascii():
            hashed = self._mac(b"token", token.encode())
            session = self._open.get(hashed)
            if session is not None:
                return hashed, session
        raise SessionRequired

    def _acting_time_ms(self, now_ms: int) -> int:
        # A key that the chain just admitted is valid from block time, which may lead this node's clock a
        # little.
        return max(now_ms, self._chain.head_time_ms)

    def _check_challenge(self, account: bytes, key_id: bytes, challenge: bytes, now_ms: int) -> None:
        if len(challenge) != CHALLENGE_SIZE_BYTES:
            raise ChallengeInvalid
        body, mac = challenge[:-_MAC_SIZE_BYTES], challenge[-_MAC_SIZE_BYTES:]
        named = self._chain.chain_id + self._node_account + account + key_id
        if not hmac.compare_digest(mac, self._mac(b"challenge", body)) or body[: len(named)] != named:
            raise ChallengeInvalid
        expires_ms = int.from_bytes(body[len(named) : len(named) + 8], "big")
        if now_ms >= expires_ms or mac in self._used:
            raise ChallengeInvalid

    def _make_room(self, account: bytes, key_id: bytes) -> None:
        own = self._of_key.get((account, key_id), [])
        if len(own) >= self._config.sessions_per_key_max:
            self._end(own[0])
        if max(len(self._open), len(self._used)) >= self._config.sessions_max:
            raise Busy(what="session table", retry_after_s=60)

    def _forget_ended(self, now_ms: int) -> None:
        """All sessions live equally long, so the oldest stand first; likewise used challenges."""
        while self._open and next(iter(self._open.values())).expires_ms <= now_ms:
            self._end(next(iter(self._open)))
        while self._used and next(iter(self._used.values())) <= now_ms:
            self._used.popitem(last=False)

    def _end(self, hashed: bytes) -> None:
        session = self._open.pop(hashed)
        owner = (session.account, session.key_id)
        left = [other for other in self._of_key[owner] if other != hashed]
        if left:
            self._of_key[owner] = left
        else:
            del self._of_key[owner]

    def _mac(self, purpose: bytes, data: bytes) -> bytes:
        return self._chain.suite.mac(self._secret, domains.SESSION, purpose + b"\0" + data)
