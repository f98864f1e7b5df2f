"""What a transaction can ask for about shared keys: see `calls.py`, whose `CALLS` names these.

Rule: everything names its round, so that nothing counts in another one. Numbers of dealers and holders are from 1.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.shared_key_records import KeyPurpose
from contracts.shared_key_round_records import Number, Numbers
from ledger.crypto.threshold.equality import Scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from ledger.crypto.threshold.shares import EncodedElement
from ledger.types import Count, Id16

# In the cost units of `methods.Method`; what the largest sets need takes several calls.
CONCLUDING_WORK_MAX: Final = 20_000

Commitments = Annotated[tuple[EncodedElement, ...], Meta(min_length=1, max_length=HOLDERS_MAX)]


class SharedKeysDeal(Args):
    """A dealer's node: its commitments. Its values wait for each holder, who asks for them."""

    round_id: Id16
    commitments: Commitments


class SharedKeysAbstain(Args):
    """A dealer's node, in a renewal: it has lost the share that it is to deal, so nobody need wait for it."""

    round_id: Id16


class SharedKeysCheck(Args):
    """A holder's node: it keeps what it was given for good, and complains about these dealers; once."""

    round_id: Id16
    complaints: Numbers


class SharedKeysAnswer(Args):
    """A dealer's node: what `holder`, who complained, was owed. `blinding` is empty in a renewal."""

    round_id: Id16
    holder: Number
    value: Scalar
    blinding: Annotated[bytes, Meta(max_length=32)] = b""


class SharedKeysReveal(Args):
    """A qualified dealer's node, when a key is made: A_k of the polynomial that it committed itself to."""

    round_id: Id16
    commitments: Commitments


class SharedKeysDispute(Args):
    """A holder's node: what the dealer revealed does not fit this pair of the holder's, which fits its commitments."""

    round_id: Id16
    dealer: Number
    value: Scalar
    blinding: Scalar


class SharedKeysConfirm(Args):
    """A holder's node: it has looked at all that was revealed and has no more to dispute."""

    round_id: Id16


class SharedKeysOpen(Args):
    """A holder's node: its pair of a dealer that is to be opened."""

    round_id: Id16
    dealer: Number
    value: Scalar
    blinding: Scalar


class SharedKeysConclude(Args):
    """Any operator's node: work out the keys, as far as `work` cost units go. Output: how many are left."""

    round_id: Id16
    work: Annotated[int, Meta(ge=1, le=CONCLUDING_WORK_MAX)]


class SharedKeysRenew(Args):
    """Any operator's node or admin: give every validator a fresh share, whoever has lost its own."""

    purpose: KeyPurpose
    version: Count
