"""Tries exported shares out: whether those of enough operators still open what is sealed to the public key.

Rule: nothing real is opened. A data key drawn for the drill is sealed to the public half that the shares name, and has to come back
through shares with proofs, each checked, as in a release; the secret itself is never put together.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.shared_key_records import KeyPurpose
from contracts.state import present
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.encryption import DATA_KEY_SIZE_BYTES, check_sealed, open_sealed, seal_key
from ledger.crypto.threshold.group import Element
from ledger.crypto.threshold.groups import group_named
from ledger.crypto.threshold.shares import Holders, check_share, combine, make_share
from node.holders.share_file import HeldShare

_CONTEXT: Final = b"drill of exported key shares"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDrill:
    """What came of one key at one renewal.

    Attributes:
        purpose, version, renewal: which.
        threshold: how many shares it takes.
        holders: whose shares there are, by number.
        opened: whether the test ciphertext opened; None if there are too few to try.
    """

    purpose: KeyPurpose
    version: int
    renewal: int
    threshold: int
    holders: tuple[int, ...]
    opened: bool | None


def drill(suite: CryptoSuite, shares: Sequence[HeldShare]) -> tuple[KeyDrill, ...]:
    """Try every key of which there are shares; shares of one key that name different public halves are different keys."""
    keys: dict[tuple[object, ...], dict[int, HeldShare]] = {}
    for one in shares:
        name = (one.purpose, one.version, one.renewal, one.group, one.keys)
        keys.setdefault(name, {})[one.holder] = one
    return tuple(_drill_key(suite, of_key) for of_key in keys.values())


def _drill_key(suite: CryptoSuite, shares: Mapping[int, HeldShare]) -> KeyDrill:
    first = next(iter(shares.values()))
    enough = len(shares) >= first.keys.threshold
    return KeyDrill(
        purpose=first.purpose,
        version=first.version,
        renewal=first.renewal,
        threshold=first.keys.threshold,
        holders=tuple(sorted(shares)),
        opened=_opens(suite, shares) if enough else None,
    )


def _opens(suite: CryptoSuite, shares: Mapping[int, HeldShare]) -> bool:
    """Whether every choice of enough neighbours opens it, so that each share is used."""
    first = next(iter(shares.values()))
    group = present(group_named(first.group), f"the group {first.group}")
    holders = Holders.load(group, first.keys)
    label = secrets.token_bytes(DATA_KEY_SIZE_BYTES)
    data_key = secrets.token_bytes(DATA_KEY_SIZE_BYTES)
    sealed = seal_key(group, suite.hash, holders.public_key, data_key, label, group.random_scalar)
    base = check_sealed(group, suite.hash, sealed, label)
    if base is None:
        return False
    checked: dict[int, Element] = {}
    for number, one in shares.items():
        share = make_share(
            group,
            suite.hash,
            base,
            holder=number,
            secret=int.from_bytes(one.secret, "big"),
            context=_CONTEXT,
            draw=group.random_scalar,
        )
        element = check_share(group, suite.hash, holders, base, share, _CONTEXT)
        if element is None:
            return False
        checked[number] = element
    numbers, threshold = sorted(checked), first.keys.threshold
    return all(
        open_sealed(
            suite.hash,
            sealed,
            combine(group, holders, {number: checked[number] for number in numbers[at : at + threshold]}),
        )
        == data_key
        for at in range(len(numbers) - threshold + 1)
    )
