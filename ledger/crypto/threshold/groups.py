"""Which group a network's shared keys are in.

Rule: a key names its group, so that a network whose suite chooses another one later still uses the keys that it has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.group import Bls12381G1, Group

BLS12_381_G1: Final = "bls12-381-g1"


@lru_cache(maxsize=1)
def _groups() -> dict[str, Group]:
    group = Bls12381G1()
    return {group.name: group}


def group_of(_suite: CryptoSuite) -> Group:
    """The group of the keys that a network of this suite makes."""
    return _groups()[BLS12_381_G1]


def group_named(name: str) -> Group | None:
    """The group of that name; None if this release does not have it."""
    return _groups().get(name)
