"""A ledger of a wanted size, and the blocks that update it.

The records have the kinds and sizes of the contracts' (an encoded certificate takes some 400 bytes, a grant some
450), random contents, and keys spread as ids are. A block is 300 updates: 255 overwrite records anywhere in
the state, 30 are new ones, 15 delete. Which they are depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.hashing import block_digest, results_root, transactions_root, validators_hash
from ledger.state_nodes import NodeReader
from ledger.state_tree import TreeUpdate, update
from ledger.store import Retention, Store
from ledger.store_build import build_large
from ledger.store_map import MapSize
from ledger.store_records import CommittedBlock
from ledger.types import (
    Block,
    FinalizedBlock,
    Genesis,
    GenesisOperator,
    Header,
    Limits,
    QuorumCertificate,
    Validator,
    ValidatorSet,
    VoteKind,
)

OVERWRITTEN, INSERTED, DELETED = 255, 30, 15
BATCH: Final = OVERWRITTEN + INSERTED + DELETED
# Few, so that a run reaches the point where as much is cleared up as comes.
RETENTION: Final = Retention(proof_blocks=20)
_ID_SIZE_BYTES: Final = 16

# Prefix, size of a value in bytes, share of the state in percent; in key order.
KINDS: Final = (
    (b"accounts/", 300, 5),
    (b"certificates/", 400, 40),
    (b"grants/", 450, 25),
    (b"included/", 8, 15),
    (b"releases/", 350, 15),
)
_SPARE: Final = 3

Writes = dict[bytes, bytes | None]


def make_genesis(suite: CryptoSuite) -> Genesis:
    """A document with one validator; nothing here is voted on."""
    validator = Validator(account=bytes(16), name="bench", vote_key=bytes(48), possession=bytes(96))
    operator = GenesisOperator(
        account=bytes(16),
        name="bench",
        keys=(),
        wrap_key=bytes(32),
        host="localhost",
        port=1,
        certificate=bytes(1),
    )
    return Genesis(
        network="bench",
        suite=suite.name,
        time_ms=1_790_000_000_000,
        validators=ValidatorSet(epoch=1, validators=(validator,)),
        operators=(operator,),
        limits=Limits(),
    )


@dataclass(slots=True)
class Population:
    """The records that a state of some size begins with.

    Attributes:
        size: how many there are.
        random: where contents come from.
    """

    size: int
    random: Random
    _counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = [self.size * share // 100 for _, _, share in KINDS]
        self._counts[1] += self.size - sum(self._counts)

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """All of them in key order."""
        for kind, (_, value_size_bytes, _) in enumerate(KINDS):
            for index in range(self._counts[kind]):
                yield self.key(kind, index), self.random.randbytes(value_size_bytes)

    def key(self, kind: int, index: int) -> bytes:
        """The key of a record, the ids of a kind being spread evenly."""
        spread = (1 << 8 * _ID_SIZE_BYTES) // max(self._counts[kind], 1)
        return KINDS[kind][0] + (index * spread).to_bytes(_ID_SIZE_BYTES, "big")

    def block(self) -> Writes:
        """The writes of one block."""
        writes: Writes = {}
        while len(writes) < OVERWRITTEN:
            kind = self._kind()
            if kind != _SPARE:
                index = self.random.randrange(self._counts[kind])
                writes[self.key(kind, index)] = self.random.randbytes(KINDS[kind][1])
        while len(writes) < OVERWRITTEN + INSERTED:
            prefix, value_size_bytes, _ = KINDS[self._kind()]
            writes[prefix + self.random.randbytes(_ID_SIZE_BYTES)] = self.random.randbytes(value_size_bytes)
        while len(writes) < BATCH:
            writes[self.key(_SPARE, self.random.randrange(self._counts[_SPARE]))] = None
        return writes

    def _kind(self) -> int:
        return self.random.choices(range(len(KINDS)), [share for _, _, share in KINDS])[0]


def build(path: Path, suite: CryptoSuite, size: int, seed: int) -> None:
    """Write a store at genesis with a state of `size` records, by the bulk loader."""
    entries = Population(size, Random(seed)).entries()
    build_large(path, suite, make_genesis(suite), entries, MapSize())


@dataclass(slots=True)
class Chain:
    """Blocks on top of a store's head, as execution and committer make them."""

    suite: CryptoSuite
    store: Store

    def update(self, suite: CryptoSuite, reader: NodeReader, writes: Writes) -> TreeUpdate:
        """The tree after the next block."""
        height = self.store.height
        return update(suite, reader, height, writes, height + 1)

    def committed(self, writes: Writes, tree: TreeUpdate) -> CommittedBlock:
        """The next block as the store takes it; without transactions, and with a certificate of nobody's."""
        suite, parent, genesis = self.suite, self.store.head, self.store.genesis
        validators = validators_hash(suite, genesis.validators)
        header = Header(
            version=1,
            chain_id=chain_id(suite, genesis),
            epoch=1,
            view=parent.view + 1,
            height=parent.height + 1,
            parent=block_digest(suite, parent),
            time_ms=parent.time_ms + 1000,
            proposer=bytes(16),
            transactions_root=transactions_root(suite, ()),
            results_root=results_root(suite, ()),
            state_root=tree.root,
            validators_hash=validators,
            next_validators_hash=validators,
        )
        certificate = QuorumCertificate(
            kind=VoteKind.FINALIZE,
            epoch=1,
            view=header.view,
            digest=block_digest(suite, header),
            signers=b"\x01",
            signature=bytes(96),
        )
        return CommittedBlock(
            finalized=FinalizedBlock(
                block=Block(header=header, transactions=()), path=(), certificate=certificate
            ),
            results=(),
            writes=writes,
            nodes=tree.nodes,
            stale=tree.stale,
        )
