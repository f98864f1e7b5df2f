"""A round of dealing as the state knows it: the making of a shared key, or the renewal of its shares.

Rule: what is in here is public. A value that a dealer owes one holder comes here only if that holder has complained, or
if a dealer that broke its word is opened.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from contracts.shared_key_records import KeyPurpose
from ledger.crypto.threshold.equality import Scalar
from ledger.crypto.threshold.polynomials import HOLDERS_MAX
from ledger.crypto.threshold.shares import EncodedElement
from ledger.types import AccountId, Count, Id16, Name, TimeMs, Wire

Number = Annotated[int, Meta(ge=1, le=HOLDERS_MAX)]
Numbers = Annotated[tuple[Number, ...], Meta(max_length=HOLDERS_MAX)]
Elements = Annotated[tuple[EncodedElement, ...], Meta(max_length=HOLDERS_MAX)]


class RoundPhase(StrEnum):
    """What a round waits for.

    A generation goes through all of them, passing over those in which nothing is to be done; a renewal knows neither
    revealing nor what follows from it. `DONE` is what the latest round of a key stays as.
    """

    DEALING = "dealing"
    CHECKING = "checking"
    ANSWERING = "answering"
    REVEALING = "revealing"
    CONFIRMING = "confirming"
    OPENING = "opening"
    CONCLUDING = "concluding"
    DONE = "done"


class KeyName(Wire):
    """Which shared key."""

    purpose: KeyPurpose
    version: Count


class SharedKeyIndex(Wire):
    """Every shared key there is.

    Attributes:
        keys: those that have been made and not destroyed.
        open: those with a round under way.
        latest: the highest version of each purpose that was ever begun.
    """

    keys: tuple[KeyName, ...] = ()
    open: tuple[KeyName, ...] = ()
    latest: tuple[KeyName, ...] = ()


class Complaint(Wire):
    """A holder says that a dealer owes it its values."""

    dealer: Number
    holder: Number
    answered: bool = False


class SharedKeyRound(Wire):
    """One round.

    Attributes:
        round_id: says which one; everything that is sent names it, so that nothing counts in another round.
        purpose, version: of which key.
        renewal: of the shares that this round makes; 0 when it makes the key itself.
        attempt: from 1; how often it began.
        group: name of the group.
        dealers: accounts; dealer i (from 1) is at i − 1. In a renewal the holders so far.
        expected: dealers that are waited for: whose accounts are validators now, and who have not said that they cannot deal.
        holders: accounts of those who will hold the shares, likewise.
        threshold: how many of them it will take.
        needed: how many dealers it takes.
        phase, until_ms: what it waits for, and the block time at which it waits no longer; 0 while nothing is waited for.
        dealt: dealers who have committed themselves, in this order.
        checked: holders who have what they need from every dealer, or have complained.
        complaints: what is still to be answered, or was.
        excluded: dealers that are out.
        qualified: dealers whose values count, once that is settled.
        revealed, confirmed: of a generation, dealers and holders who have.
        disputed: qualified dealers who revealed what does not fit, or nothing.
        opened: those of them that the holders have opened.
    """

    round_id: Id16
    purpose: KeyPurpose
    version: Count
    renewal: Count
    attempt: Count
    group: Name
    dealers: Annotated[tuple[AccountId, ...], Meta(min_length=1, max_length=HOLDERS_MAX)]
    expected: Numbers
    holders: Annotated[tuple[AccountId, ...], Meta(min_length=1, max_length=HOLDERS_MAX)]
    threshold: Number
    needed: Number
    phase: RoundPhase = RoundPhase.DEALING
    until_ms: TimeMs = 0
    dealt: Numbers = ()
    checked: Numbers = ()
    complaints: tuple[Complaint, ...] = ()
    excluded: Numbers = ()
    qualified: Numbers = ()
    revealed: Numbers = ()
    confirmed: Numbers = ()
    disputed: Numbers = ()
    opened: Numbers = ()


class PublicPair(Wire):
    """A pair that everybody may see: holder's number, f(j) and f′(j); in a renewal the second is empty."""

    holder: Number
    value: Scalar
    blinding: Annotated[bytes, Meta(max_length=32)] = b""


class Dealing(Wire):
    """What one dealer has published in a round.

    Attributes:
        commitments: C_k of a generation, A_k of a renewal.
        revealed: A_k of a generation, the dealer's own or those that the holders opened it to.
        answers: pairs that it answered complaints with.
        openings: pairs that holders gave to open it.
    """

    commitments: Elements
    revealed: Elements = ()
    answers: Annotated[tuple[PublicPair, ...], Meta(max_length=HOLDERS_MAX)] = ()
    openings: Annotated[tuple[PublicPair, ...], Meta(max_length=HOLDERS_MAX)] = ()


class RoundSums(Wire):
    """How far the keys of a round are worked out.

    Attributes:
        added: how many of the qualified dealers are in `sums`.
        sums: coefficient by coefficient.
        share_keys: of the first holders.
    """

    added: Count = 0
    sums: Elements = ()
    share_keys: Elements = ()
