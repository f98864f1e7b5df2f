"""What the state knows of erasing a certificate's data, without behaviour.

Rule: the ledger never held the data; what is kept of an erased certificate is the tombstone: ids, names of fields, dates, and who
destroyed the ciphertext when.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import Code
from ledger.types import VALIDATORS_MAX, AccountId, Id16, KeyId, TimeMs, Wire

# Every operator's node states it once, and so does every reader's.
DESTRUCTIONS_PER_ERASURE_MAX: Final = 2 * VALIDATORS_MAX


class ErasureState(StrEnum):
    """requested: the issuer has to answer; erased is final."""

    REQUESTED = "requested"
    DECLINED = "declined"
    ERASED = "erased"


class Destruction(Wire):
    """A node's signed statement that it holds no ciphertext and no key header of the certificate any more."""

    node: AccountId
    key_id: KeyId
    time_ms: TimeMs


class Erasure(Wire):
    """What became of the wish to erase a certificate's data.

    Attributes:
        requested_by: account of the holder, or of the issuer who erased unasked.
        reason: why it was asked for, or why the issuer erased.
        answer_by_ms: until then the issuer answers; 0 when nobody asked.
        answer: why it was declined; empty otherwise.
        decided_ms: when it was erased or declined; 0 before.
        destructions: in the order in which the nodes stated them.
    """

    certificate_id: Id16
    state: ErasureState
    requested_by: AccountId
    requested_ms: TimeMs
    reason: Code
    answer_by_ms: TimeMs
    answer: Annotated[str, Meta(max_length=64)]
    decided_ms: TimeMs
    destructions: Annotated[tuple[Destruction, ...], Meta(max_length=DESTRUCTIONS_PER_ERASURE_MAX)] = ()
