"""The shared keys that the ledger says are in force, decoded once a renewal.

Rule: this node's own finalized replica says what is in force; nobody else is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contracts import shared_keys
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.state import StateReader, present
from ledger.crypto.threshold.groups import group_named
from ledger.crypto.threshold.shares import Holders
from ledger.errors import DecodeError, InvariantViolation, Unavailable
from node.holders.ports import HeldKey

KEPT_MAX: Final = 16


class LedgerSharedKeys:
    """Implements `ports.SharedKeys`.

    Args:
        state: gives the finalized state as it is now.
    """

    def __init__(self, state: Callable[[], StateReader]) -> None:
        self._state = state
        self._decoded: dict[tuple[KeyPurpose, int, int], HeldKey] = {}

    def in_use(self, purpose: KeyPurpose) -> HeldKey:
        key = shared_keys.in_use(self._state(), purpose)
        if key is None:
            raise Unavailable(
                what=f"shared key {purpose.value}",
                reason="the operators have not finished making it; try again",
            )
        return self._held(key)

    def version(self, purpose: KeyPurpose, version: int) -> HeldKey | None:
        key = shared_keys.shared_key(self._state(), purpose, version)
        return None if key is None else self._held(key)

    def _held(self, key: SharedKey) -> HeldKey:
        name = (key.purpose, key.version, key.renewal)
        held = self._decoded.get(name)
        if held is None:
            held = self._decoded[name] = decode_key(key)
            while len(self._decoded) > KEPT_MAX:
                del self._decoded[next(iter(self._decoded))]
        return held


def decode_key(key: SharedKey) -> HeldKey:
    """A key of the own state, ready to use.

    Raises:
        InvariantViolation: the contract has put keys in force that do not belong together.
    """
    group = present(group_named(key.group), f"the group {key.group}")
    try:
        holders = Holders.load(group, key.keys)
    except DecodeError as error:
        raise InvariantViolation(f"the shared key {key.purpose.value} does not hold: {error}") from None
    return HeldKey(
        purpose=key.purpose,
        version=key.version,
        renewal=key.renewal,
        accounts=key.holders,
        holders=holders,
    )
