"""An application in memory: a chain of transaction ids whose store commits in groups, behind the journal.

Rule: `Store` is what survives a crash; everything else in `SimApplication` is lost with its node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.application import ProposalContext
from consensus.core.settings import PROTOCOL_VERSION
from ledger import codec
from ledger.errors import invariant
from ledger.types import Block, Call, FinalizedBlock, Header, Transaction, TransactionBody
from tests.simulation.harness.scheme import SimHashing

GROUP_BLOCKS = 16
BLOCK_TRANSACTIONS_MAX = 32


@dataclass(slots=True)
class Store:
    """Durable: committed blocks and pending transactions."""

    genesis_digest: bytes
    genesis: Header
    blocks: list[FinalizedBlock] = field(default_factory=list)
    pending: dict[bytes, Transaction] = field(default_factory=dict)
    included: set[bytes] = field(default_factory=set)

    @property
    def height(self) -> int:
        return len(self.blocks)


def make_transaction(chain_id: bytes, number: int) -> Transaction:
    body = TransactionBody(
        chain_id=chain_id,
        account=bytes(16),
        key_id=bytes(16),
        nonce=number.to_bytes(16, "big"),
        valid_until_ms=2**52,
        call=Call(contract="simulation", method="count", args=b""),
    )
    return Transaction(body=body, signature=b"\x01")


def next_state_root(parent: Header, transactions: tuple[Transaction, ...]) -> bytes:
    """Chains parent state and transactions; the block's time has no part in it."""
    return hashlib.blake2b(parent.state_root + codec.encode(transactions), digest_size=32).digest()


class SimApplication:
    """Implements `Application`.

    Attributes:
        on_final: told of each block that is final here.
    """

    def __init__(
        self, store: Store, hashing: SimHashing, on_final: Callable[[FinalizedBlock, bytes], None]
    ) -> None:
        self.store = store
        self._hashing = hashing
        self._on_final = on_final
        self._volatile: list[FinalizedBlock] = []
        self._overlays: dict[bytes, Block] = {}
        if store.blocks:
            header = store.blocks[-1].block.header
            self._head = (hashing.block_digest(header), header)
        else:
            self._head = (store.genesis_digest, store.genesis)
        self.included = set(store.included)
        self.fillable = True

    def has_work(self) -> bool:
        return bool(self.store.pending)

    def submit(self, transaction: Transaction) -> None:
        """Accept a transaction durably, unless it is in the chain."""
        if transaction.body.nonce not in self.included:
            self.store.pending[transaction.body.nonce] = transaction

    def propose(self, parent: bytes, context: ProposalContext) -> Block | None:
        header = self.header(parent)
        if header is None or not self.fillable:
            return None
        taken = self._nonces_above(parent)
        chosen = [one for nonce, one in self.store.pending.items() if nonce not in taken]
        transactions = tuple(chosen[:BLOCK_TRANSACTIONS_MAX])
        block = Block(
            header=Header(
                version=PROTOCOL_VERSION,
                chain_id=header.chain_id,
                epoch=context.epoch,
                view=context.view,
                height=context.height,
                parent=parent,
                time_ms=context.time_ms,
                proposer=context.proposer,
                transactions_root=self._hashing.transactions_root(transactions),
                results_root=bytes(32),
                state_root=next_state_root(header, transactions),
                validators_hash=header.validators_hash,
                next_validators_hash=header.validators_hash,
            ),
            transactions=transactions,
        )
        self._overlays[self._hashing.block_digest(block.header)] = block
        return block

    def verify(self, block: Block, digest: bytes) -> bool:
        header = self.header(block.header.parent)
        invariant(header is not None, "asked to execute a block whose parent was not executed")
        if header is None:
            return False
        nonces = [transaction.body.nonce for transaction in block.transactions]
        taken = self._nonces_above(block.header.parent) | self.included
        if len(set(nonces)) != len(nonces) or taken & set(nonces):
            return False
        if block.header.state_root != next_state_root(header, block.transactions):
            return False
        self._overlays[digest] = block
        return True

    def finalize(self, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        invariant(header.parent == self._head[0], "a block was finalized out of order")
        invariant(digest in self._overlays, "a block was finalized that was not executed")
        self._head = (digest, header)
        self._volatile.append(finalized)
        for transaction in finalized.block.transactions:
            self.included.add(transaction.body.nonce)
            self.store.pending.pop(transaction.body.nonce, None)
        for other in [d for d, block in self._overlays.items() if block.header.height <= header.height]:
            del self._overlays[other]
        self._on_final(finalized, digest)
        if len(self._volatile) >= GROUP_BLOCKS:
            self.commit_group()

    def commit_group(self) -> None:
        """Make whole blocks durable; the node also calls it at a steady pace."""
        for finalized in self._volatile:
            self.store.blocks.append(finalized)
            self.store.included.update(one.body.nonce for one in finalized.block.transactions)
        self._volatile.clear()

    def finalized_height(self) -> int:
        return self._head[1].height

    def durable_height(self) -> int:
        return self.store.height

    def head(self) -> tuple[bytes, Header]:
        return self._head

    def block(self, height: int) -> FinalizedBlock | None:
        if height <= self.store.height:
            return self.store.blocks[height - 1] if height > 0 else None
        above = height - self.store.height - 1
        return self._volatile[above] if above < len(self._volatile) else None

    def overlay_digests(self) -> list[bytes]:
        """Blocks executed and not final; actors ask."""
        return list(self._overlays)

    def header(self, digest: bytes) -> Header | None:
        """Of the finalized head or of an executed block."""
        if digest == self._head[0]:
            return self._head[1]
        block = self._overlays.get(digest)
        return block.header if block is not None else None

    def _nonces_above(self, digest: bytes) -> set[bytes]:
        found: set[bytes] = set()
        while digest in self._overlays:
            block = self._overlays[digest]
            found.update(transaction.body.nonce for transaction in block.transactions)
            digest = block.header.parent
        return found
