"""The proofs that every verifier must accept: receipts of both kinds, with the trust points and epoch changes they
need.

Rule: made of fixed keys by one world, under the suite that the environment names; a name here is a file's name
under `tests/vectors/proofs/<suite>/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ledger import state_tree
from ledger.hashing import transaction_id
from ledger.receipts import (
    StateReceipt,
    build_receipt,
    build_state_receipt,
    epochs_to_json,
    receipt_to_json,
    state_receipt_to_json,
    trust_to_json,
)
from ledger.types import EpochChange, FinalizedBlock, Receipt, Result, Transaction, Trust
from tests.unit.ledger_world import NETWORK, SUITE, World, fixed

KEY = b"certificates/" + fixed("certificate", size=16)
REVOKED_KEY = b"revocations/" + fixed("certificate", size=16)


class SmallWorld(World):
    """Results that say no more than they must."""

    def result(self, tx: Transaction) -> Result:
        return Result(transaction_id=transaction_id(SUITE, tx.body), code="ok")


@dataclass
class Proofs:
    """Everything that the cases start from.

    Attributes:
        world: four validators, three epochs.
        changes: how the first two epochs ended.
        receipts, states: by name.
        trusts: by name; `trust` is genesis.
        sets: lists of epoch changes by name.
        other: the state receipt of another key, of the height of `state_historic`.
    """

    world: World = field(default_factory=World)
    changes: list[EpochChange] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    states: dict[str, StateReceipt] = field(default_factory=dict)
    trusts: dict[str, Trust] = field(default_factory=dict)
    sets: dict[str, Sequence[EpochChange]] = field(default_factory=dict)
    other: StateReceipt = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        block, results, _ = world.next_block({KEY: b"issued", b"other": b"x"}, transactions=5)
        above = [world.next_block({})[0].header for _ in range(2)]
        first = FinalizedBlock(block=block, path=tuple(above), certificate=world.certify(above[-1]))
        self.receipts["receipt"] = receipt_of(first, results, 1)
        self.states["state_present"] = self.state_of(first, KEY, b"issued")
        self.states["state_absent"] = self.state_of(first, REVOKED_KEY, None)
        later = world.committed({KEY: b"mortgaged", **{b"key/%d" % i: b"%d" % i for i in range(100)}})
        self.states["state_historic"] = self.state_of(later.finalized, KEY, b"mortgaged")
        self.other = self.state_of(later.finalized, b"key/7", b"7")
        everybody = world.committed({}, transactions=1)
        certificate = world.certify(everybody.finalized.block.header, signers=(0, 1, 2, 3))
        self.receipts["receipt_by_all"] = receipt_of(
            replace(everybody.finalized, certificate=certificate), everybody.results, 0
        )
        self._later_epochs()
        self.trusts["trust"] = world.trust
        self.trusts["trust_epoch_2"] = replace(world.trust, validators=world.sets[2])
        self.trusts["trust_epoch_3"] = replace(world.trust, validators=world.sets[3])
        self.sets["epochs"] = tuple(self.changes)
        self.sets["epochs_first"] = tuple(self.changes[:1])
        self.sets["epochs_none"] = ()
        self._small()

    def _later_epochs(self) -> None:
        world = self.world
        for epoch in (2, 3):
            sealed = world.committed({}, next_validators=world.rotated(epoch), fillers=epoch - 1)
            assert sealed.epoch_change is not None
            self.changes.append(sealed.epoch_change)
            block = world.committed({KEY: b"epoch %d" % epoch})
            self.receipts[f"receipt_epoch_{epoch}"] = receipt_of(block.finalized, block.results, 0)
            self.states[f"state_epoch_{epoch}"] = self.state_of(block.finalized, KEY, b"epoch %d" % epoch)

    def _small(self) -> None:
        """One validator, one transaction, one key: small enough to try every bit."""
        world = SmallWorld(n=1)
        block = world.committed({b"k": b"v"}, transactions=1)
        self.trusts["small_trust"] = world.trust
        self.receipts["small_receipt"] = receipt_of(block.finalized, block.results, 0)
        self.states["small_state"] = self.state_of(block.finalized, b"k", b"v", world)

    def state_of(
        self, finalized: FinalizedBlock, key: bytes, value: bytes | None, world: World | None = None
    ) -> StateReceipt:
        """The state receipt of a key after a block."""
        height = finalized.block.header.height
        proof = state_tree.prove(SUITE, (world or self.world).reader, height, key)
        return build_state_receipt(NETWORK, finalized, key, value, proof)

    def files(self) -> dict[str, str]:
        """Text by file name."""
        return {
            **{f"{name}.json": receipt_to_json(receipt) for name, receipt in self.receipts.items()},
            **{f"{name}.json": state_receipt_to_json(state) for name, state in self.states.items()},
            **{f"{name}.json": trust_to_json(trust) for name, trust in self.trusts.items()},
            **{f"{name}.json": epochs_to_json(changes) for name, changes in self.sets.items()},
        }


def receipt_of(finalized: FinalizedBlock, results: Sequence[Result], index: int) -> Receipt:
    """The receipt of a transaction of a block."""
    return build_receipt(SUITE, NETWORK, finalized, results, index)
