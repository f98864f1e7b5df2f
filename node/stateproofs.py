"""Receipts of the state at this node: at the finalized head, and at every height that the store still keeps.

Rule: what leaves here was checked against the state root of a finalized header; a proof that does not hold is
damage of this node's store, and is told as such, never handed out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ledger import state_tree
from ledger.crypto.suite import CryptoSuite
from ledger.errors import NotFound, StorageDamaged, VerificationFailed
from ledger.state_receipts import StateReceipt, build_state_receipt, check_state_proof
from ledger.store import Store
from ledger.store_records import NotHeld, ProvenValue, check_state_key
from ledger.types import FinalizedBlock
from node.overlays import LayeredState
from node.services.facts import HeightNotFinal, HeightNotProvable

# The committer may store a block while it is being read; the second look then finds it there.
_LOOKS: Final = 2


class StateProofs:
    """Makes state receipts.

    Args:
        suite: crypto suite.
        store: the durable ledger.
        state: the state at the finalized head.
        block: a finalized block of a height, None where it is not held.
    """

    def __init__(
        self,
        suite: CryptoSuite,
        store: Store,
        *,
        state: Callable[[], LayeredState],
        block: Callable[[int], FinalizedBlock | None],
    ) -> None:
        self._suite = suite
        self._store = store
        self._state = state
        self._block = block

    def receipt(self, key: bytes, height: int) -> StateReceipt:
        """The receipt of what a finalized block left under a key; `height` is at most the finalized head's.

        Raises:
            HeightNotProvable, HeightNotFinal: no proof can be made for that height.
            StorageDamaged: what is stored does not prove it.
        """
        check_state_key(key)
        finalized = self._block(height)
        if finalized is None or height < 1:
            raise self._not_provable(height)
        for _ in range(_LOOKS - 1):
            with suppress(StorageDamaged):
                return self._checked(finalized, key)
        return self._checked(finalized, key)

    def value(self, key: bytes, height: int) -> bytes | None:
        """What a finalized block left under a key, unproven; see `receipt`.

        Raises:
            HeightNotProvable, HeightNotFinal: it is not kept for that height.
        """
        state = self._state()
        newest = state.layers[0].header.height if state.layers else self._store.height
        if height <= self._store.height and height < newest:
            try:
                return self._store.value_at(key, height)
            except (NotFound, NotHeld):
                raise self._not_provable(height) from None
        layers = [layer for layer in state.layers if layer.header.height <= height]
        return LayeredState(self._store, layers).get(key)

    def _checked(self, finalized: FinalizedBlock, key: bytes) -> StateReceipt:
        proven = self._prove(key, finalized.block.header.height)
        network = self._store.genesis.network
        receipt = build_state_receipt(network, finalized, key, proven.value, proven.proof)
        try:
            check_state_proof(self._suite, receipt)
        except VerificationFailed as error:
            raise StorageDamaged(what="state tree", reason=str(error.fields["reason"])) from None
        return receipt

    def _prove(self, key: bytes, height: int) -> ProvenValue:
        state = self._state()
        newest = state.layers[0].header.height if state.layers else self._store.height
        if height <= self._store.height and height < newest:
            try:
                return self._store.prove_value(key, height)
            except (NotFound, NotHeld):
                raise self._not_provable(height) from None
        layers = [layer for layer in state.layers if layer.header.height <= height]
        below = LayeredState(self._store, layers)
        proof = state_tree.prove(self._suite, below, height, key)
        return ProvenValue(height=height, value=below.get(key), proof=proof)

    def _not_provable(self, height: int) -> HeightNotProvable | HeightNotFinal:
        layers = self._state().layers
        last = layers[0].header.height if layers else self._store.height
        if height > last:
            return HeightNotFinal(height=height, last_height=last)
        first = max(self._store.first_provable_height, self._store.first_height, 1)
        return HeightNotProvable(height=height, first_height=first, last_height=last)
