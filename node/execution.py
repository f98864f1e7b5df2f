"""The application side of consensus: builds, verifies and finalizes blocks by executing them.

Rule: unfinalized blocks live as overlays in memory over the store; nothing unfinalized is ever written to state. A
finalized block is visible to readers at once and goes into the store in durable groups, behind the journal that has it
already. A certified root that differs from what execution gives here stops the node. Who votes on a block and which protocol
version it has is what its parent's state says; a block of a version that this release does not know is never judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from consensus.application import ProposalContext
from contracts import protocol_versions, upgrades
from contracts.admission import Inadmissible, TooLarge, admit
from contracts.membership import validators
from contracts.methods import BlockContext
from contracts.migrations import require_versions
from contracts.registry import REGISTRY
from contracts.runtime import AccountQuotaUsed, BlockExecution, BlockFull, BlockOutcome
from contracts.state import Draft, StateReader
from contracts.upgrades import PendingUpgrade
from contracts.versions import InForce, Registry
from ledger import codec, state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import InvariantViolation, invariant
from ledger.hashing import (
    PROTOCOL_VERSION_MAX,
    block_digest,
    results_root,
    transaction_id,
    transactions_root,
    validators_hash,
)
from ledger.state_tree import TreeUpdate
from ledger.store import Store
from ledger.store_records import CommittedBlock
from ledger.types import Block, FinalizedBlock, Header, Result, ValidatorSet
from node.mempool import Mempool, Pending, SignatureCache
from node.overlays import Executed, OrderedState
from node.prospects import Prospects
from node.upgrades import ReleaseTooOld

HEADER_SIZE_BYTES_MAX: Final = 1024
VALIDATOR_SETS_HASHED_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedExecution:
    """What subscribers get, in height order."""

    finalized: FinalizedBlock
    executed: Executed


class Execution:
    """Implements `consensus.application.Application` over a store, a mempool and the contracts.

    Args:
        suite: crypto suite.
        store: the durable ledger.
        mempool: where proposals come from.
        verify: checks transaction signatures, once each.
        on_finalized: called for each block in height order, after it is final and executed.
        clock_ms: wall clock; tells only whether there is work.
        protocol_version_max: the latest protocol version that this release knows.
        registry: the versions of contracts that this release has.

    Attributes:
        paused: no work and no proposals, because too much waits for the store (`node/committer.py`).
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        store: Store,
        mempool: Mempool,
        verify: SignatureCache,
        on_finalized: Callable[[FinalizedExecution], None],
        clock_ms: Callable[[], int],
        protocol_version_max: int = PROTOCOL_VERSION_MAX,
        registry: Registry = REGISTRY,
    ) -> None:
        self._suite = suite
        self._store = store
        self._mempool = mempool
        self._verify = verify
        self._on_finalized = on_finalized
        self._genesis = store.genesis
        self._clock_ms = clock_ms
        self._protocol_version_max = protocol_version_max
        self._registry = registry
        self._migrating = (b"", False)
        self._prospects = Prospects(mempool)
        self._validators_hash = lru_cache(maxsize=VALIDATOR_SETS_HASHED_MAX)(
            lambda voters: validators_hash(suite, voters)
        )
        self._head_digest = block_digest(suite, store.head)
        self._head = store.head
        self._unfinalized: dict[bytes, Executed] = {}
        self._undurable: dict[int, FinalizedExecution] = {}
        self._undurable_by_digest: dict[bytes, Executed] = {}
        self._undurable_locations: dict[bytes, tuple[int, int]] = {}
        self.paused = False

    # --- what consensus asks (consensus.application.Application) ---

    def has_work(self) -> bool:
        if self.paused:
            return False
        if self._migration_goes_on():
            return True
        now_ms = max(self._clock_ms(), self._head.time_ms + 1)
        return self._prospects.any(self._head_digest, now_ms, self._judge_at(now_ms))

    def validators(self) -> ValidatorSet:
        """The set that votes on the successor of the finalized head."""
        return validators(self.state())

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
        """Build a block on `parent` from the pool.

        Returns:
            The block; None when `parent` is not executed here, another epoch than the context's follows it, or this node
            is paused.

        Raises:
            ReleaseTooOld: a block on `parent` has a protocol version that this release does not know.
            ReleaseLacksContract: a block on `parent` needs a version of a contract that this release does not have.
        """
        parent_header = self._header_of(parent)
        if parent_header is None or self.paused:
            return None
        state = OrderedState(self._store, self._layers(parent))
        voters = validators(state)
        if context.epoch != voters.epoch:
            return None
        version = self._version(state, parent_header.height + 1)
        block_context = self._context(parent_header, context.epoch, context.time_ms, context.proposer)
        execution = BlockExecution(state, block_context, self._verify, self._registry)
        entries = self._fill(execution)
        chosen = tuple(entry.transaction for entry in entries)
        outcome = execution.finish()
        update = self._update(state, parent_header, outcome)
        following = _following(state, outcome)
        header = Header(
            version=version,
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
            validators_hash=self._validators_hash(voters),
            next_validators_hash=self._validators_hash(following),
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
            next_validators=following,
        )
        return block

    def verify(self, block: Block, digest: bytes) -> bool:
        """Whether `block` is what executing its transactions on its parent gives.

        Raises:
            ReleaseTooOld: a block on its parent has a protocol version that this release does not know.
            ReleaseLacksContract: it needs a version of a contract that this release does not have.
        """
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
            # What was before the snapshot that the store began with is not known by digest.
            known = header.height < self._store.first_height or self._is_final(digest)
            invariant(known, f"two blocks of height {header.height} are final")
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

    def state(self) -> OrderedState:
        """State at the finalized head. A short-lived view: take a new one for each use."""
        return OrderedState(self._store, self._layers(self._head_digest))

    def pending_protocol(self) -> tuple[int, int] | None:
        """(version, height) of a protocol version that operators have set and that is not in force at the finalized head."""
        return protocol_versions.pending_protocol(self.state(), self._head.height)

    def pending_upgrades(self) -> tuple[PendingUpgrade, ...]:
        """Versions of contracts that operators have set and that do not hold at the finalized head."""
        return upgrades.pending(self.state())

    def contracts(self, state: StateReader) -> InForce:
        """The versions of contracts that hold on a state."""
        return self._registry.in_force(state)

    @property
    def registry(self) -> Registry:
        """The versions of contracts that this release has."""
        return self._registry

    def check_release(self) -> None:
        """See at start that this release can judge the next block.

        Raises:
            ReleaseTooOld: its protocol version is not known.
            ReleaseLacksContract: a version of a contract is not there.
        """
        state, height = self.state(), self._head.height + 1
        self._version(state, height)
        require_versions(self._registry, state, height)

    def results(self, height: int) -> tuple[Result, ...] | None:
        waiting = self._undurable.get(height)
        return waiting.executed.results if waiting is not None else self._store.results(height)

    def locate(self, wanted: bytes) -> tuple[int, int] | None:
        """(height, index) of a finalized transaction."""
        return self._undurable_locations.get(wanted) or self._store.transaction_location(wanted)

    def next_group(self, blocks_max: int) -> list[CommittedBlock]:
        """The oldest finalized blocks that are not durable yet, ready for `Store.commit`."""
        waiting = [self._undurable[height] for height in sorted(self._undurable)[:blocks_max]]
        return [
            CommittedBlock(
                finalized=final.finalized,
                results=final.executed.results,
                writes=final.executed.writes,
                nodes=final.executed.update.nodes,
                stale=final.executed.update.stale,
                next_validators=final.executed.next_validators if final.executed.seals else None,
            )
            for final in waiting
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
            if account in served or self._prospects.hopeless(entry.transaction_id):
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

    def _migration_goes_on(self) -> bool:
        """Whether blocks are wanted for a migration's sake; asked often, and told by the head alone."""
        if self._migrating[0] != self._head_digest:
            self._migrating = (self._head_digest, upgrades.migrating(self.state()))
        return self._migrating[1]

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

    def _judge_at(self, now_ms: int) -> Callable[[Pending], None]:
        """What raises Inadmissible unless a block on the finalized head made at `now_ms` may hold a transaction."""

        @lru_cache(maxsize=1)
        def here() -> tuple[OrderedState, BlockContext]:
            state = self.state()
            return state, self._context(self._head, validators(state).epoch, now_ms, b"")

        def judge(entry: Pending) -> None:
            room_bytes = self._genesis.limits.block_bytes_max - HEADER_SIZE_BYTES_MAX
            if len(entry.encoded) > room_bytes:
                raise TooLarge(maximum=room_bytes, actual=len(entry.encoded))
            state, context = here()
            admit(state, entry.transaction, entry.transaction_id, context, self._verify)

        return judge

    def _context(self, parent: Header, epoch: int, time_ms: int, proposer: bytes) -> BlockContext:
        return BlockContext(
            chain_id=self._store.chain_id,
            suite=self._suite,
            height=parent.height + 1,
            time_ms=time_ms,
            epoch=epoch,
            proposer=proposer,
            limits=self._genesis.limits,
        )

    def _version(self, state: StateReader, height: int) -> int:
        """The protocol version of a block at `height` on `state`, which this release must know."""
        version = protocol_versions.protocol_version(state, height)
        if version > self._protocol_version_max:
            raise ReleaseTooOld(version=version, supported=self._protocol_version_max, height=height)
        return version

    def _update(self, state: OrderedState, parent: Header, outcome: BlockOutcome) -> TreeUpdate:
        return state_tree.update(self._suite, state, parent.height, outcome.writes, parent.height + 1)

    def _execute(self, block: Block, digest: bytes) -> Executed | None:
        """Execute on the parent's state; None when the parent is unknown or the block breaks a rule of its header."""
        header = block.header
        parent = self._header_of(header.parent)
        if parent is None or header.height != parent.height + 1:
            return None
        state = OrderedState(self._store, self._layers(header.parent))
        if not self._header_fits(header, parent, state) or not self._size_fits(block):
            return None
        context = self._context(parent, header.epoch, header.time_ms, header.proposer)
        execution = BlockExecution(state, context, self._verify, self._registry)
        ids = tuple(transaction_id(self._suite, transaction.body) for transaction in block.transactions)
        try:
            for name, transaction in zip(ids, block.transactions, strict=True):
                execution.add(transaction, name)
        except (Inadmissible, BlockFull):
            return None
        outcome = execution.finish()
        return Executed(
            block=block,
            digest=digest,
            transaction_ids=ids,
            results=outcome.results,
            writes=outcome.writes,
            update=self._update(state, parent, outcome),
            next_validators=_following(state, outcome),
        )

    def _header_fits(self, header: Header, parent: Header, state: StateReader) -> bool:
        version = self._version(state, header.height)
        voters = validators(state)
        return (
            header.version == version
            and header.chain_id == self._store.chain_id
            and header.time_ms > parent.time_ms
            and header.epoch == voters.epoch
            and header.validators_hash == self._validators_hash(voters)
            and any(header.proposer == validator.account for validator in voters.validators)
        )

    def _size_fits(self, block: Block) -> bool:
        limits = self._genesis.limits
        return (
            len(block.transactions) <= limits.block_transactions_max
            and len(codec.encode(block)) <= limits.block_bytes_max
        )

    def _roots_match(self, executed: Executed) -> bool:
        header = executed.header
        return (
            header.transactions_root == transactions_root(self._suite, executed.block.transactions)
            and header.results_root == results_root(self._suite, executed.results)
            and header.state_root == executed.update.root
            and header.next_validators_hash == self._validators_hash(executed.next_validators)
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


def _following(state: StateReader, outcome: BlockOutcome) -> ValidatorSet:
    """The set that votes on the block after."""
    after = Draft(state)
    after.writes.update(outcome.writes)
    return validators(after)
