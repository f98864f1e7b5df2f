"""Admission: which transactions may stand in a block at all.

Rule: whoever cannot be authenticated leaves no trace on the ledger, and whoever can be, and is not
authorised, always does. A transaction for another network, out of its time, seen before, of an unknown
account or key, by a key that is revoked or has ended, or with a wrong signature is never included: from its
revocation on a key says nothing about who acted, so its use must neither accuse the account nor spend its
share of a block. A suspended organisation is authenticated; what it tries is recorded as denied.

The mempool calls `admit` against the newest state and its own clock, a block against its own state and time.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from contracts import passkeys
from contracts.keys import find_key, usable
from contracts.methods import BlockContext
from contracts.records import Account, Key
from contracts.state import ACCOUNTS, INCLUDED, StateReader, network
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Category, LedgerError, SignatureInvalid
from ledger.types import TRANSACTION_SIZE_BYTES_MAX, Transaction, WebAuthn


class SignatureVerifier(Protocol):
    """Whether a transaction's signature holds under that key, as `passkeys.verify_transaction` says; may answer from a cache.

    Passkeys hang on the network's settings, so that they are part of the question.
    """

    def __call__(
        self, scheme: str, public_key: bytes, transaction: Transaction, webauthn: WebAuthn
    ) -> bool: ...


class Inadmissible(LedgerError):
    """A transaction that no block may include."""


class WrongNetwork(Inadmissible):
    """Signed for another chain."""

    code = "wrong_network"
    zh = "交易属于另一网络，请用本网络的标识重新签名"
    en = "The transaction is for another network; sign it for this one"


class Expired(Inadmissible):
    """Block time has passed `valid_until_ms`. Fields: valid_until_ms, time_ms."""

    code = "expired"
    category = Category.GONE
    zh = "交易已于 {valid_until_ms} 过期（当前 {time_ms}），请重新签名提交"
    en = "The transaction expired at {valid_until_ms} (now {time_ms}); sign it again"


class LifetimeTooLong(Inadmissible):
    """`valid_until_ms` is further ahead than genesis allows. Fields: maximum_ms, actual_ms."""

    code = "lifetime_too_long"
    zh = "交易有效期过长：最多 {maximum_ms} 毫秒，实际 {actual_ms}"
    en = "The transaction's lifetime is at most {maximum_ms} ms, not {actual_ms}"


class TooLarge(Inadmissible):
    """More bytes than a transaction may have. Fields: maximum, actual."""

    code = "too_large"
    category = Category.TOO_LARGE
    zh = "交易过大：最多 {maximum} 字节，实际 {actual}"
    en = "A transaction has at most {maximum} bytes, not {actual}"


class Duplicate(Inadmissible):
    """Included before. Fields: height."""

    code = "duplicate"
    category = Category.CONFLICT
    zh = "交易已在区块 {height} 中"
    en = "The transaction is in block {height} already"


class UnknownAccount(Inadmissible):
    """No such account. Fields: account."""

    code = "unknown_account"
    category = Category.UNAUTHENTICATED
    zh = "没有账户 {account}"
    en = "There is no account {account}"


class UnknownKey(Inadmissible):
    """Not a key of that account. Fields: account, key_id."""

    code = "unknown_key"
    category = Category.UNAUTHENTICATED
    zh = "密钥 {key_id} 不是账户 {account} 的密钥"
    en = "Key {key_id} is not a key of account {account}"


class KeyRevoked(Inadmissible):
    """The key was revoked. Fields: key_id."""

    code = "key_revoked"
    category = Category.UNAUTHENTICATED
    zh = "密钥 {key_id} 已吊销，请换用有效密钥"
    en = "Key {key_id} is revoked; use another"


class KeyNotValid(Inadmissible):
    """Outside the key's time. Fields: key_id, from_ms, until_ms, time_ms."""

    code = "key_not_valid"
    category = Category.UNAUTHENTICATED
    zh = "密钥 {key_id} 不在有效期内（{from_ms} 至 {until_ms}，当前 {time_ms}）"
    en = "Key {key_id} is outside its time ({from_ms} to {until_ms}, now {time_ms})"


class TransactionSignatureInvalid(Inadmissible, SignatureInvalid):
    """The signature does not hold; code `signature_invalid`."""


class PasskeyInvalid(TransactionSignatureInvalid):
    """The assertion of a passkey breaks a rule. Fields: reason (`passkeys.Refusal`)."""

    code = "passkey_invalid"
    zh = "通行密钥签名无效（{reason}），请在门户页面重新确认"
    en = "The passkey signature does not hold ({reason}); confirm again on the portal's page"


class OriginNotListed(TransactionSignatureInvalid):
    """The assertion holds, but was made on a page that this network does not list (any more, or yet)."""

    code = "origin_not_listed"
    category = Category.UNAUTHENTICATED
    zh = "签署页面的来源不在本网络的名单中，请在列出的门户页面签署"
    en = "The page on which it was signed is not on this network's list; sign on a portal that is"

    def __init__(self) -> None:
        super().__init__(what="transaction")


class Sender(NamedTuple):
    """Who sent a transaction, authenticated."""

    account: Account
    key: Key


def admit(
    state: StateReader,
    transaction: Transaction,
    transaction_id: bytes,
    context: BlockContext,
    verify: SignatureVerifier,
) -> Sender:
    """Authenticate a transaction; the signature is checked last.

    Args:
        state: what it is checked against.
        transaction: decoded.
        transaction_id: its id.
        context: the block that would include it; `time_ms` is the time that counts.
        verify: checks signatures.

    Returns:
        The account and key that sent it.

    Raises:
        Inadmissible: one of its subclasses; no block may include the transaction.
    """
    size_bytes_max = min(TRANSACTION_SIZE_BYTES_MAX, context.limits.block_bytes_max)
    size_bytes = len(codec.encode(transaction))
    if size_bytes > size_bytes_max:
        raise TooLarge(maximum=size_bytes_max, actual=size_bytes)
    _check_window(transaction, context)
    height = INCLUDED.get(state, transaction_id)
    if height is not None:
        raise Duplicate(height=height)
    sender = _find_sender(state, transaction, context.time_ms)
    settings = network(state).webauthn
    if not verify(sender.key.scheme, sender.key.public_key, transaction, settings):
        raise refusal_of(sender.key, transaction, context.suite, settings)
    return sender


def refusal_of(
    key: Key, transaction: Transaction, suite: CryptoSuite, settings: WebAuthn
) -> TransactionSignatureInvalid:
    """What to say of a signature that does not hold, in words that help whoever made it."""
    if key.scheme != passkeys.SCHEME:
        return TransactionSignatureInvalid(what="transaction")
    reason = passkeys.why_not_signed(suite, key.public_key, transaction, settings)
    if reason is passkeys.Refusal.ORIGIN:
        return OriginNotListed()
    return PasskeyInvalid(what="transaction", reason="" if reason is None else reason.value)


def _check_window(transaction: Transaction, context: BlockContext) -> None:
    body = transaction.body
    if body.chain_id != context.chain_id:
        raise WrongNetwork()
    if context.time_ms > body.valid_until_ms:
        raise Expired(valid_until_ms=body.valid_until_ms, time_ms=context.time_ms)
    lifetime_ms = body.valid_until_ms - context.time_ms
    if lifetime_ms > context.limits.transaction_lifetime_ms_max:
        raise LifetimeTooLong(maximum_ms=context.limits.transaction_lifetime_ms_max, actual_ms=lifetime_ms)


def _find_sender(state: StateReader, transaction: Transaction, time_ms: int) -> Sender:
    body = transaction.body
    account = ACCOUNTS.get(state, body.account)
    if account is None:
        raise UnknownAccount(account=body.account.hex())
    key = find_key(account, body.key_id)
    if key is None:
        raise UnknownKey(account=body.account.hex(), key_id=body.key_id.hex())
    if key.revoked_ms != 0:
        raise KeyRevoked(key_id=body.key_id.hex())
    if not usable(key, time_ms):
        raise KeyNotValid(
            key_id=body.key_id.hex(), from_ms=key.valid_from_ms, until_ms=key.valid_until_ms, time_ms=time_ms
        )
    return Sender(account, key)
