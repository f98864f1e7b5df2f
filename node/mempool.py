"""Transactions on their way into a block: checked once, held in order of arrival, bounded.

Rule: a transaction leaves the pool only when it is in a finalized block, or when a finalized block's time has passed its
`valid_until_ms`; until then it counts as work, so that “expired” is always decided.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from contracts.passkeys import SCHEME, verify_transaction
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.errors import Busy
from ledger.hashing import transaction_id
from ledger.types import Transaction, WebAuthn

VERIFIED_MAX: Final = 50_000
RETRY_AFTER_S: Final = 2
# Expiries kept of what is here no more, beyond as many as what is here.
EXPIRIES_SPARE: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How much may wait: in all, and for one account, so that one account cannot fill the pool."""

    transactions_max: int = 20_000
    bytes_max: int = 64 * 1024 * 1024
    per_account_max: int = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A pooled transaction with its id and its canonical bytes."""

    transaction_id: bytes
    transaction: Transaction
    encoded: bytes


class SignatureCache:
    """Verifies each transaction's signature once per node, whether it came by HTTP, by gossip or in a block."""

    def __init__(self, suite: CryptoSuite) -> None:
        self._suite = suite
        self._verified: OrderedDict[tuple[str, bytes, bytes, bytes, WebAuthn | None], None] = OrderedDict()

    def __call__(self, scheme: str, public_key: bytes, transaction: Transaction, webauthn: WebAuthn) -> bool:
        # Everything that the verdict hangs on; a plain signature does not hang on the settings of passkeys.
        settings = webauthn if scheme == SCHEME else None
        name = (
            scheme,
            public_key,
            transaction_id(self._suite, transaction.body),
            transaction.signature,
            settings,
        )
        if name in self._verified:
            return True
        if not verify_transaction(self._suite, scheme, public_key, transaction, webauthn):
            return False
        self._verified[name] = None
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return True


class Mempool:
    """The pool itself; pure bookkeeping."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._pending: OrderedDict[bytes, Pending] = OrderedDict()
        self._per_account: dict[bytes, int] = {}
        self._bytes = 0
        # Earliest expiry first; entries of what was removed since fall out when their time comes.
        self._expiries: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, transaction_id: bytes) -> bool:
        return transaction_id in self._pending

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._pending.values())

    @property
    def full(self) -> bool:
        """Whether there is no room for any transaction, whoever sent it."""
        return len(self._pending) >= self._limits.transactions_max or self._bytes >= self._limits.bytes_max

    @property
    def next_expiry_ms(self) -> int | None:
        """The earliest `valid_until_ms` of what is here; None when nothing is."""
        while self._expiries and self._expiries[0][1] not in self._pending:
            heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def get(self, transaction_id: bytes) -> Pending | None:
        return self._pending.get(transaction_id)

    def require_room(self, account: bytes, size_bytes: int) -> None:
        """See that a transaction fits before anything is spent on it.

        Raises:
            Busy: the pool, or the account's share of it, is full.
        """
        if (
            len(self._pending) >= self._limits.transactions_max
            or self._bytes + size_bytes > self._limits.bytes_max
            or self._per_account.get(account, 0) >= self._limits.per_account_max
        ):
            raise Busy(what="mempool", retry_after_s=RETRY_AFTER_S)

    def add(
        self, transaction_id: bytes, transaction: Transaction, *, promised: bool = False
    ) -> Pending | None:
        """Take in an admitted transaction.

        Args:
            transaction_id: its id.
            transaction: what is taken in.
            promised: it was accepted before a restart, so that no bound keeps it out.

        Returns:
            What was added, or None if it was here already.

        Raises:
            Busy: the pool, or the account's share of it, is full.
        """
        if transaction_id in self._pending:
            return None
        encoded = codec.encode(transaction)
        account = transaction.body.account
        if not promised:
            self.require_room(account, len(encoded))
        entry = Pending(transaction_id=transaction_id, transaction=transaction, encoded=encoded)
        self._pending[transaction_id] = entry
        heappush(self._expiries, (transaction.body.valid_until_ms, transaction_id))
        self._per_account[account] = self._per_account.get(account, 0) + 1
        self._bytes += len(encoded)
        return entry

    def remove(self, transaction_id: bytes) -> Pending | None:
        """Forget a transaction that a finalized block holds."""
        entry = self._pending.pop(transaction_id, None)
        if entry is None:
            return None
        if len(self._expiries) > 2 * len(self._pending) + EXPIRIES_SPARE:
            self._expiries = [expiry for expiry in self._expiries if expiry[1] in self._pending]
            heapify(self._expiries)
        account = entry.transaction.body.account
        self._bytes -= len(entry.encoded)
        remaining = self._per_account[account] - 1
        if remaining:
            self._per_account[account] = remaining
        else:
            del self._per_account[account]
        return entry

    def remove_expired(self, finalized_time_ms: int) -> list[Pending]:
        """Take out what no later block can hold. Costs nothing while nothing expires."""
        expired: list[Pending] = []
        while self._expiries and self._expiries[0][0] < finalized_time_ms:
            entry = self.remove(heappop(self._expiries)[1])
            if entry is not None:
                expired.append(entry)
        return expired
