"""A whole network in one process: genesis, machines, clients.

Rule: everything random comes from the cluster's seed, in a fixed order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from random import Random

from consensus.core.effects import Effect
from consensus.core.settings import Committee, Timing
from ledger.crypto.suite import CryptoSuite, QuorumScheme, VoteSigner
from ledger.hashing import PROTOCOL_VERSION
from ledger.types import Header, Validator, ValidatorSet
from network.simulated import SimulatedNetwork, VirtualTime
from tests.simulation.harness.application import Store, make_transaction
from tests.simulation.harness.checkers import Checkers
from tests.simulation.harness.disk import SimDisk
from tests.simulation.harness.node import EPOCH_START_MS, SimNode, World, account_of, index_of
from tests.simulation.harness.scheme import SimHashing, SimScheme, VerifiedOnce
from tests.suites import suite_under_test

CHAIN_ID = hashlib.blake2b(b"simulated network", digest_size=32).digest()


def validator(index: int, vote_key: bytes) -> Validator:
    """A machine as a member of a validator set."""
    return Validator(account=account_of(index), name=f"node{index}", vote_key=vote_key, possession=b"\x01")


class Cluster:
    """`size` machines that are validators in the first epoch, and others that follow and may become validators.

    Attributes:
        nodes: the machines, validators of the first epoch first; further machines of one's account are in `twins`.
        submitted: numbers of the transactions given to clients so far.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        readers: int = 0,
        timing: Timing | None = None,
        real_signatures: bool = False,
    ) -> None:
        self.random = Random(f"cluster/{seed}")
        self.size = size
        self.time = VirtualTime()
        self.network = SimulatedNetwork(time=self.time, random=Random(f"network/{seed}"))
        self._digest = hashlib.blake2b(digest_size=16)
        self._suite: CryptoSuite | None = suite_under_test() if real_signatures else None
        self._simulated = SimScheme()
        self.scheme: QuorumScheme = (
            VerifiedOnce(self._suite.quorum) if self._suite is not None else self._simulated
        )
        signers = [self._make_signer() for _ in range(size)]
        self.validators = ValidatorSet(
            epoch=1, validators=tuple(validator(index, one.public_key) for index, one in enumerate(signers))
        )
        self.hashing = SimHashing()
        validators_hash = self.hashing.validators_hash(self.validators)
        self.genesis = Header(
            version=PROTOCOL_VERSION,
            chain_id=CHAIN_ID,
            epoch=1,
            view=0,
            height=0,
            parent=bytes(32),
            time_ms=EPOCH_START_MS - 1000,
            proposer=bytes(16),
            transactions_root=self.hashing.transactions_root(()),
            results_root=bytes(32),
            state_root=bytes(32),
            validators_hash=validators_hash,
            next_validators_hash=validators_hash,
        )
        self.genesis_digest = self.hashing.block_digest(self.genesis)
        self.checkers = Checkers(self.genesis_digest, self.validators)
        self.world = World(
            chain_id=CHAIN_ID,
            size=size + readers,
            time=self.time,
            network=self.network,
            random=Random(f"disks/{seed}"),
            scheme=self.scheme,
            hashing=self.hashing,
            checkers=self.checkers,
            timing=timing or Timing(),
        )
        self.nodes = [
            self._make_node(index, signers[index] if index < size else None)
            for index in range(size + readers)
        ]
        self.twins: list[SimNode] = []
        self.submitted = 0
        for node in self.nodes:
            self.network.attach(node.index, self._witness(node))

    def committee(self, me: int | None) -> Committee:
        """Of the first epoch."""
        validators_hash = self.hashing.validators_hash(self.validators)
        return Committee(
            chain_id=CHAIN_ID, validators=self.validators, validators_hash=validators_hash, me=me
        )

    def signer(self, index: int) -> VoteSigner:
        """The first key of a machine."""
        return next(iter(self.nodes[index].signers.values()))

    def new_key(self, index: int) -> bytes:
        """Give a machine another vote key; returns the public one."""
        signer = self._make_signer()
        self.nodes[index].signers[signer.public_key] = signer
        return signer.public_key

    def _make_signer(self) -> VoteSigner:
        secret = self.random.randbytes(32)
        if self._suite is not None:
            return self._suite.load_vote_signer(b"\0" + secret[1:])
        return self._simulated.signer(secret)

    def _make_node(self, index: int, signer: VoteSigner | None) -> SimNode:
        return SimNode(
            index=index,
            world=self.world,
            signers={signer.public_key: signer} if signer is not None else {},
            store=Store(self.genesis_digest, self.genesis, self.validators),
            disk=SimDisk(Random(self.random.getrandbits(64))),
        )

    def add_twin(self, index: int) -> SimNode:
        """A second machine with the key of validator `index`."""
        twin = self._make_node(index, self.signer(index))
        twin.honest = False
        twin.shameless = self.nodes[index].shameless = True
        self.twins.append(twin)
        self.network.attach(index, self._witness(twin))
        return twin

    def start(self) -> None:
        for node in [*self.nodes, *self.twins]:
            node.start()

    def run(self, duration_ms: int, *, stop: Callable[[], bool] | None = None) -> None:
        """Let virtual time pass."""
        self.time.run_until(self.time.now_ms + duration_ms, stop=stop)

    def submit(self, to: Sequence[int] | None = None) -> int:
        """Give a new transaction to some nodes (all by default); returns its number."""
        return self._submit(None, range(len(self.nodes)) if to is None else to)

    def newest_validators(self) -> ValidatorSet:
        """The newest set that an honest machine has as final."""
        known = [
            node.application.validators() if node.application is not None else node.store.validators
            for node in self.nodes
            if node.honest
        ]
        return max(known, key=lambda one: one.epoch)

    def change(self, keys: dict[int, bytes | None], to: Sequence[int] | None = None) -> int:
        """Ask for a change of the newest validator set; returns the transaction's number.

        Args:
            keys: for each machine concerned its vote key from the next epoch on; None for one that is to leave.
            to: the nodes that the transaction is given to; all by default.
        """
        before = self.newest_validators()
        members = {index_of(one.account): one for one in before.validators}
        for index, key in keys.items():
            if key is None:
                del members[index]
            else:
                members[index] = validator(index, key)
        after = ValidatorSet(epoch=before.epoch + 1, validators=tuple(members.values()))
        return self._submit(after, range(len(self.nodes)) if to is None else to)

    def _submit(self, change: ValidatorSet | None, to: Sequence[int]) -> int:
        self.submitted += 1
        transaction = make_transaction(CHAIN_ID, self.submitted, change)
        for index in to:
            node = self.nodes[index]
            if node.up and node.application is not None:
                node.application.submit(transaction)
                node.notify_work()
        return self.submitted

    def observe(self, see: Callable[[int, Effect], None]) -> None:
        """Have every effect of every machine shown to `see` just before it happens."""
        self.world.effects_seen = see

    def heights(self, indexes: Sequence[int] | None = None) -> list[int]:
        chosen = self.nodes if indexes is None else [self.nodes[index] for index in indexes]
        return [
            node.application.finalized_height() if node.application is not None else -1 for node in chosen
        ]

    def views(self) -> list[int]:
        return [node.engine.status().view if node.engine is not None else -1 for node in self.nodes]

    def epochs(self, indexes: Sequence[int] | None = None) -> list[int]:
        chosen = self.nodes if indexes is None else [self.nodes[index] for index in indexes]
        return [node.engine.status().epoch if node.engine is not None else -1 for node in chosen]

    def has_final(self, number: int, index: int) -> bool:
        """Whether a node has finalized a transaction."""
        application = self.nodes[index].application
        return application is not None and number.to_bytes(16, "big") in application.included

    def all_final(self, numbers: Sequence[int], indexes: Sequence[int]) -> bool:
        return all(self.has_final(number, index) for index in indexes for number in numbers)

    @property
    def trace_hash(self) -> str:
        """Hash of every delivered message with its time, sender and receiver."""
        return self._digest.hexdigest()

    def _witness(self, node: SimNode) -> Callable[[int, bytes], None]:
        def deliver(sender: int, data: bytes) -> None:
            self._digest.update(b"%d %d %d " % (self.time.now_ms, sender, node.index))
            self._digest.update(data)
            node.deliver(sender, data)

        return deliver
