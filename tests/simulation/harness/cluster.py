"""A whole network in one process: genesis, machines, clients.

Rule: everything random comes from the cluster's seed, in a fixed order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from random import Random

from consensus.core.effects import Effect
from consensus.core.settings import PROTOCOL_VERSION, Committee, Timing
from ledger.crypto.intl import IntlSuite
from ledger.crypto.suite import QuorumScheme, VoteSigner
from ledger.types import Header, Validator, ValidatorSet
from network.simulated import SimulatedNetwork, VirtualTime
from tests.simulation.harness.application import Store, make_transaction
from tests.simulation.harness.checkers import Checkers
from tests.simulation.harness.disk import SimDisk
from tests.simulation.harness.node import EPOCH_START_MS, SimNode, World
from tests.simulation.harness.scheme import SimHashing, SimScheme, SimSigner, VerifiedOnce

CHAIN_ID = hashlib.blake2b(b"simulated network", digest_size=32).digest()


class Cluster:
    """`size` machines with one validator key each.

    Attributes:
        nodes: by validator index; machines that share a key with one of them are in `twins`.
        submitted: numbers of the transactions given to clients so far.
    """

    def __init__(
        self, size: int, seed: int, *, timing: Timing | None = None, real_signatures: bool = False
    ) -> None:
        self.random = Random(f"cluster/{seed}")
        self.size = size
        self.time = VirtualTime()
        self.network = SimulatedNetwork(time=self.time, random=Random(f"network/{seed}"))
        self._digest = hashlib.blake2b(digest_size=16)
        secrets = [self.random.randbytes(32) for _ in range(size)]
        signers: list[VoteSigner] = [SimSigner(secret) for secret in secrets]
        scheme: QuorumScheme = SimScheme(secrets)
        if real_signatures:
            suite = IntlSuite()
            signers = [suite.load_vote_signer(b"\0" + secret[1:]) for secret in secrets]
            scheme = VerifiedOnce(suite.quorum)
        self.validators = ValidatorSet(
            epoch=1,
            validators=tuple(
                Validator(
                    account=index.to_bytes(16, "big"),
                    name=f"node{index}",
                    vote_key=signer.public_key,
                    possession=b"\x01",
                )
                for index, signer in enumerate(signers)
            ),
        )
        self.scheme = scheme
        self.hashing = SimHashing()
        validators_hash = hashlib.blake2b(b"validators", digest_size=32).digest()
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
        self.checkers = Checkers(self.genesis_digest)
        self.world = World(
            time=self.time,
            network=self.network,
            random=Random(f"disks/{seed}"),
            scheme=self.scheme,
            hashing=self.hashing,
            checkers=self.checkers,
            timing=timing or Timing(),
        )
        self._validators_hash = validators_hash
        self._signers = signers
        self.nodes = [self.make_node(index) for index in range(size)]
        self.twins: list[SimNode] = []
        self.submitted = 0
        for node in self.nodes:
            self.network.attach(node.index, self._witness(node))

    def make_node(self, index: int) -> SimNode:
        return SimNode(
            index=index,
            world=self.world,
            committee=Committee(
                chain_id=CHAIN_ID,
                validators=self.validators,
                validators_hash=self._validators_hash,
                me=index,
            ),
            signer=self._signers[index],
            store=Store(self.genesis_digest, self.genesis),
            disk=SimDisk(Random(self.random.getrandbits(64))),
        )

    def add_twin(self, index: int) -> SimNode:
        """A second machine with the key of validator `index`."""
        twin = self.make_node(index)
        twin.honest = False
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
        self.submitted += 1
        transaction = make_transaction(CHAIN_ID, self.submitted)
        for index in range(self.size) if to is None else to:
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
