"""An application in memory: a chain of transaction ids whose store commits in groups, behind the journal.

A transaction that names a validator set of the next epoch puts it in force; the first one in a block wins, and one for any other
epoch does nothing.

Rule: `Store` is what survives a crash; everything else in `SimApplication` is lost with its node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from consensus.application import ProposalContext
from ledger import codec
from ledger.errors import invariant
from ledger.hashing import PROTOCOL_VERSION
from ledger.types import Block, Call, FinalizedBlock, Header, Transaction, TransactionBody, ValidatorSet
from tests.simulation.harness.scheme import SimHashing

GROUP_BLOCKS = 16
BLOCK_TRANSACTIONS_MAX = 32


@dataclass(slots=True)
class Store:
    """Durable: committed blocks and pending transactions."""

    genesis_digest: bytes
    genesis: Header
    validators: ValidatorSet
    blocks: list[FinalizedBlock] = field(default_factory=list)
    pending: dict[bytes, Transaction] = field(default_factory=dict)
    included: set[bytes] = field(default_factory=set)

    @property
    def height(self) -> int:
        return len(self.blocks)

    def copy(self) -> Store:
        return replace(
            self, blocks=list(self.blocks), pending=dict(self.pending), included=set(self.included)
        )


def make_transaction(chain_id: bytes, number: int, change: ValidatorSet | None = None) -> Transaction:
    """A transaction of that number, which may ask for another validator set."""
    method, args = ("count", b"") if change is None else ("validators", codec.encode(change))
    body = TransactionBody(
        chain_id=chain_id,
        account=bytes(16),
        key_id=bytes(16),
        nonce=number.to_bytes(16, "big"),
        valid_until_ms=2**52,
        call=Call(contract="simulation", method=method, args=args),
    )
    return Transaction(body=body, signature=b"\x01")


def next_state_root(parent: Header, transactions: tuple[Transaction, ...]) -> bytes:
    """Chains parent state and transactions; the block's time has no part in it."""
    return hashlib.blake2b(parent.state_root + codec.encode(transactions), digest_size=32).digest()


def change_in(transactions: tuple[Transaction, ...], before: ValidatorSet) -> ValidatorSet:
    """The set that votes after a block with these transactions."""
    for transaction in transactions:
        if transaction.body.call.method == "validators":
            wanted = codec.decode(
                transaction.body.call.args, ValidatorSet, size_bytes_max=64 * 1024, what="validators"
            )
            if wanted.epoch == before.epoch + 1:
                return wanted
    return before


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
        self._overlays: dict[bytes, tuple[Block, ValidatorSet]] = {}
        self._validators = store.validators
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
        before = self._validators_after(parent)
        after = change_in(transactions, before)
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
                validators_hash=self._hashing.validators_hash(before),
                next_validators_hash=self._hashing.validators_hash(after),
            ),
            transactions=transactions,
        )
        self._overlays[self._hashing.block_digest(block.header)] = block, after
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
        before = self._validators_after(block.header.parent)
        after = change_in(block.transactions, before)
        named = (block.header.validators_hash, block.header.next_validators_hash)
        if named != (self._hashing.validators_hash(before), self._hashing.validators_hash(after)):
            return False
        if block.header.version != PROTOCOL_VERSION or block.header.results_root != bytes(32):
            return False
        if block.header.state_root != next_state_root(header, block.transactions):
            return False
        self._overlays[digest] = block, after
        return True

    def finalize(self, finalized: FinalizedBlock, digest: bytes) -> None:
        header = finalized.block.header
        invariant(header.parent == self._head[0], "a block was finalized out of order")
        invariant(digest in self._overlays, "a block was finalized that was not executed")
        self._head = (digest, header)
        self._validators = self._overlays[digest][1]
        self._volatile.append(finalized)
        for transaction in finalized.block.transactions:
            self.included.add(transaction.body.nonce)
            self.store.pending.pop(transaction.body.nonce, None)
        for other in [d for d, (block, _) in self._overlays.items() if block.header.height <= header.height]:
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
        self.store.validators = self._validators

    def validators(self) -> ValidatorSet:
        return self._validators

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
        found = self._overlays.get(digest)
        return found[0].header if found is not None else None

    def _validators_after(self, digest: bytes) -> ValidatorSet:
        return self._validators if digest == self._head[0] else self._overlays[digest][1]

    def _nonces_above(self, digest: bytes) -> set[bytes]:
        found: set[bytes] = set()
        while digest in self._overlays:
            block = self._overlays[digest][0]
            found.update(transaction.body.nonce for transaction in block.transactions)
            digest = block.header.parent
        return found
