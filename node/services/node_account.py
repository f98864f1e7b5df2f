"""The node acting in its own name: transactions signed with the operator's node key."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from contracts.calls import Args, call
from ledger.crypto.suite import CryptoSuite, Signer, key_id
from ledger.domains import Domain
from ledger.errors import Unavailable
from ledger.hashing import sign_transaction
from ledger.types import NONCE_SIZE_BYTES, RESULT_OK, TransactionBody
from node.chain import Chain
from node.services.ports import Denied, Standing, TransactionStatus
from node.services.submission import Submission

LIFETIME_MS: Final = 300_000
WAIT_S: Final = 300.0


class NodeAccount:
    """Signs and submits what the node itself has to say: prepared, failed, concluded, tick."""

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        account: bytes,
        signer: Signer,
        chain: Chain,
        submission: Submission,
        clock_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self.account = account
        self._signer = signer
        self._key_id = key_id(suite, signer.scheme, signer.public_key)
        self._chain = chain
        self._submission = submission
        self._clock_ms = clock_ms

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """The node's signature, with the key that its transactions are signed with."""
        return self._signer.sign(domain, message)

    async def submit(self, args: Args) -> TransactionStatus:
        """Submit `args` and wait until they are decided.

        Raises:
            Denied: the contract refused.
            Unavailable: neither finalized nor expired within WAIT_S.
        """
        lifetime_ms = min(LIFETIME_MS, self._chain.genesis.limits.transaction_lifetime_ms_max // 2)
        body = TransactionBody(
            chain_id=self._chain.chain_id,
            account=self.account,
            key_id=self._key_id,
            nonce=os.urandom(NONCE_SIZE_BYTES),
            valid_until_ms=max(self._clock_ms(), self._chain.head_time_ms) + lifetime_ms,
            call=call(args),
        )
        transaction = sign_transaction(self._suite, self._signer, body)
        status = await self._submission.submit(transaction, wait_s=WAIT_S)
        if status.standing is not Standing.FINALIZED or status.result is None:
            raise Unavailable(what="finality", reason=f"the node's own transaction is {status.standing}")
        if status.result.code != RESULT_OK:
            raise Denied(status.result)
        return status
