"""The application side of consensus: builds, verifies and finalizes blocks by executing them.

Rule: unfinalized blocks live as overlays in memory over the store; nothing unfinalized is ever written to state. A
finalized block is visible to readers at once and goes into the store in durable groups, behind the journal that has it
already. A certified root that differs from what execution gives here stops the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.application import ProposalContext
from contracts.admission import Inadmissible
from contracts.methods import BlockContext
from contracts.runtime import AccountQuotaUsed, BlockExecution, BlockFull
from ledger import codec, state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import InvariantViolation, invariant
from ledger.hashing import (
    PROTOCOL_VERSION,
    block_digest,
    results_root,
    transaction_id,
    transactions_root,
    validators_hash,
)
from ledger.state_tree import TreeUpdate
from ledger.store import Store
from ledger.store_records import CommittedBlock
from ledger.types import Block, FinalizedBlock, Header, Result
from node.mempool import Mempool, Pending, SignatureCache

HEADER_SIZE_BYTES_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A block and everything that executing it gave."""

    block: Block
    digest: bytes
    transaction_ids: tuple[bytes, ...]
    results: tuple[Result, ...]
    writes: Mapping[bytes, bytes | None]
    update: TreeUpdate

    @property
    def header(self) -> Header:
        return self.block.header


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedExecution:
    """What subscribers get, in height order."""

    finalized: FinalizedBlock
    executed: Executed


class LayeredState:
    """State as of one block: the overlays from the store up to it, newest first, then the store."""

    __slots__ = ("_store", "layers")

    def __init__(self, store: Store, layers: Sequence[Executed]) -> None:
        self._store = store
        self.layers = layers

    def get(self, key: bytes) -> bytes | None:
        for layer in self.layers:
            if key in layer.writes:
                return layer.writes[key]
        return self._store.get(key)

    def tree_node(self, key: bytes) -> bytes | None:
        for layer in self.layers:
            node = layer.update.nodes.get(key)
            if node is not None:
                return node
        return self._store.tree_node(key)


class Execution:
    """Implements `consensus.application.Application` over a store, a mempool and the contracts.

    Args:
        suite: crypto suite.
        store: the durable ledger.
        mempool: where proposals come from.
        verify: checks transaction signatures, once each.
        on_finalized: called for each block in height order, after it is final and executed.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        store: Store,
        mempool: Mempool,
        verify: SignatureCache,
        on_finalized: Callable[[FinalizedExecution], None],
    ) -> None:
        self._suite = suite
        self._store = store
        self._mempool = mempool
        self._verify = verify
        self._on_finalized = on_finalized
        self._genesis = store.genesis
        self._validators_hash = validators_hash(suite, store.genesis.validators)
        self._head_digest = block_digest(suite, store.head)
        self._head = store.head
        self._unfinalized: dict[bytes, Executed] = {}
        self._undurable: dict[int, FinalizedExecution] = {}
        self._undurable_by_digest: dict[bytes, Executed] = {}
        self._undurable_locations: dict[bytes, tuple[int, int]] = {}

    # --- what consensus asks (consensus.application.Application) ---

    def has_work(self) -> bool:
        return len(self._mempool) > 0

    def head(self) -> tuple[bytes, Header]:
        return self._head_digest, self._head

    def finalized_height(self) -> int:
        return self._head.height

    def durable_height(self) -> int:
        return self._store.height

    def block(self, height: int) -> FinalizedBlock | None:
        waiting = self._undurable.get(height)
        return waiting.finalized if waiting is not None else self._store.block(height)

    def propose(self, parent: bytes, context: ProposalContext) -> Block | None:
        """Build a block on `parent` from the pool; None when `parent` is not executed here."""
        parent_header = self._header_of(parent)
        if parent_header is None:
            return None
        state = LayeredState(self._store, self._layers(parent))
        execution = BlockExecution(state, self._block_context(parent_header, context), self._verify)
        entries = self._fill(execution)
        chosen = tuple(entry.transaction for entry in entries)
        outcome = execution.finish()
        update = state_tree.update(
            self._suite, state, parent_header.height, outcome.writes, parent_header.height + 1
        )
        header = Header(
            version=PROTOCOL_VERSION,
            chain_id=self._store.chain_id,
            epoch=context.epoch,
            view=context.view,
            height=parent_header.height + 1,
            parent=parent,
            time_ms=context.time_ms,
            proposer=context.proposer,
            transactions_root=transactions_root(self._suite, chosen),
            results_root=results_root(self._suite, outcome.results),
            state_root=update.root,
            validators_hash=self._validators_hash,
            next_validators_hash=self._validators_hash,
        )
        block = Block(header=header, transactions=chosen)
        digest = block_digest(self._suite, header)
        self._unfinalized[digest] = Executed(
            block=block,
            digest=digest,
            transaction_ids=tuple(entry.transaction_id for entry in entries),
            results=outcome.results,
            writes=outcome.writes,
            update=update,
        )
        return block

    def verify(self, block: Block, digest: bytes) -> bool:
        """Whether `block` is what executing its transactions on its parent gives."""
        known = self._unfinalized.get(digest)
        if known is not None:
            return known.block == block  # one header, and perhaps another body
        executed = self._execute(block, digest)
        if executed is None or not self._roots_match(executed):
            return False
        self._unfinalized[digest] = executed
        return True

    def finalize(self, finalized: FinalizedBlock, digest: bytes) -> None:
        """Make the next block final. Its body and certificate are durable in the journal."""
        header = finalized.block.header
        if header.height <= self._head.height:
            invariant(self._is_final(digest), f"two blocks of height {header.height} are final")
            return
        invariant(header.height == self._head.height + 1, "finalized blocks come in height order")
        invariant(header.parent == self._head_digest, "a finalized block is the child of the one before")
        executed = self._unfinalized.get(digest)
        if executed is None or executed.block != finalized.block:
            executed = self._execute(finalized.block, digest)
        if executed is None or not self._roots_match(executed):
            raise InvariantViolation(f"a quorum certified block {header.height}, which is not valid here")
        final = FinalizedExecution(finalized=finalized, executed=executed)
        # What readers need is there before the head names it, and goes only afterwards.
        self._undurable[header.height] = final
        self._undurable_by_digest[digest] = executed
        for index, name in enumerate(executed.transaction_ids):
            self._undurable_locations[name] = (header.height, index)
        self._head, self._head_digest = header, digest
        self._drop_losers()
        for done in executed.transaction_ids:
            self._mempool.remove(done)
        self._on_finalized(final)

    # --- what the rest of the node asks ---

    def state(self) -> LayeredState:
        """State at the finalized head. A short-lived view: take a new one for each use."""
        return LayeredState(self._store, self._layers(self._head_digest))

    def results(self, height: int) -> tuple[Result, ...] | None:
        waiting = self._undurable.get(height)
        return waiting.executed.results if waiting is not None else self._store.results(height)

    def locate(self, wanted: bytes) -> tuple[int, int] | None:
        """(height, index) of a finalized transaction."""
        return self._undurable_locations.get(wanted) or self._store.transaction_location(wanted)

    def next_group(self, blocks_max: int) -> list[CommittedBlock]:
        """The oldest finalized blocks that are not durable yet, ready for `Store.commit`."""
        heights = sorted(self._undurable)[:blocks_max]
        return [
            CommittedBlock(
                finalized=self._undurable[height].finalized,
                results=self._undurable[height].executed.results,
                writes=self._undurable[height].executed.writes,
                nodes=self._undurable[height].executed.update.nodes,
                stale=self._undurable[height].executed.update.stale,
            )
            for height in heights
        ]

    def group_committed(self) -> None:
        """Forget what the store now has."""
        for height in [height for height in self._undurable if height <= self._store.height]:
            done = self._undurable.pop(height).executed
            del self._undurable_by_digest[done.digest]
            for name in done.transaction_ids:
                del self._undurable_locations[name]

    # --- inside ---

    def _fill(self, execution: BlockExecution) -> list[Pending]:
        """Execute what the pool holds, oldest first, until the block is full; what was taken."""
        taken: list[Pending] = []
        served: set[bytes] = set()
        size_bytes = HEADER_SIZE_BYTES_MAX
        for entry in self._mempool:
            account = entry.transaction.body.account
            if account in served:
                continue
            if size_bytes + len(entry.encoded) > self._genesis.limits.block_bytes_max:
                if taken:
                    break
                continue  # too large for any block: it must not keep out what is not
            try:
                execution.add(entry.transaction, entry.transaction_id)
            except AccountQuotaUsed:
                served.add(account)
                continue
            except Inadmissible:
                continue
            except BlockFull:
                break
            taken.append(entry)
            size_bytes += len(entry.encoded)
        return taken

    def _header_of(self, digest: bytes) -> Header | None:
        if digest == self._head_digest:
            return self._head
        overlay = self._unfinalized.get(digest)
        return overlay.header if overlay is not None else None

    def _layers(self, digest: bytes) -> list[Executed]:
        layers: list[Executed] = []
        while True:
            overlay = self._unfinalized.get(digest) or self._undurable_by_digest.get(digest)
            if overlay is None:
                return layers
            layers.append(overlay)
            digest = overlay.header.parent

    def _block_context(self, parent: Header, proposal: ProposalContext) -> BlockContext:
        return BlockContext(
            chain_id=self._store.chain_id,
            suite=self._suite,
            height=parent.height + 1,
            time_ms=proposal.time_ms,
            proposer=proposal.proposer,
            limits=self._genesis.limits,
        )

    def _execute(self, block: Block, digest: bytes) -> Executed | None:
        """Execute on the parent's state; None when the parent is unknown or the block breaks a rule of its header."""
        header = block.header
        parent = self._header_of(header.parent)
        if parent is None or not self._header_fits(header, parent, block):
            return None
        state = LayeredState(self._store, self._layers(header.parent))
        context = BlockContext(
            chain_id=header.chain_id,
            suite=self._suite,
            height=header.height,
            time_ms=header.time_ms,
            proposer=header.proposer,
            limits=self._genesis.limits,
        )
        execution = BlockExecution(state, context, self._verify)
        ids = tuple(transaction_id(self._suite, transaction.body) for transaction in block.transactions)
        try:
            for name, transaction in zip(ids, block.transactions, strict=True):
                execution.add(transaction, name)
        except (Inadmissible, BlockFull):
            return None
        outcome = execution.finish()
        update = state_tree.update(self._suite, state, parent.height, outcome.writes, header.height)
        return Executed(
            block=block,
            digest=digest,
            transaction_ids=ids,
            results=outcome.results,
            writes=outcome.writes,
            update=update,
        )

    def _header_fits(self, header: Header, parent: Header, block: Block) -> bool:
        limits = self._genesis.limits
        return (
            header.version == PROTOCOL_VERSION
            and header.chain_id == self._store.chain_id
            and header.height == parent.height + 1
            and header.time_ms > parent.time_ms
            and header.validators_hash == self._validators_hash
            and header.next_validators_hash == self._validators_hash
            and any(header.proposer == validator.account for validator in self._genesis.validators.validators)
            and len(block.transactions) <= limits.block_transactions_max
            and len(codec.encode(block)) <= limits.block_bytes_max
        )

    def _roots_match(self, executed: Executed) -> bool:
        header = executed.header
        return (
            header.transactions_root == transactions_root(self._suite, executed.block.transactions)
            and header.results_root == results_root(self._suite, executed.results)
            and header.state_root == executed.update.root
        )

    def _is_final(self, digest: bytes) -> bool:
        return digest in self._undurable_by_digest or self._store.height_of(digest) is not None

    def _drop_losers(self) -> None:
        """Forget overlays that can no longer become final: those that do not descend from the head."""
        alive = {self._head_digest}
        overlays = sorted(self._unfinalized.values(), key=lambda overlay: overlay.header.height)
        for overlay in overlays:
            if overlay.header.height > self._head.height and overlay.header.parent in alive:
                alive.add(overlay.digest)
            else:
                del self._unfinalized[overlay.digest]
