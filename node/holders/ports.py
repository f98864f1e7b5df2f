"""What the rooms of shared keys ask of each other: keys in force, own shares, and the permission to use one.

Rule: whoever combines shares knows the public half only; whoever has a share asks a `Permit` before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

from msgspec import Meta

from contracts.records import Code
from contracts.shared_key_records import KeyPurpose
from ledger.crypto.threshold.group import Element
from ledger.crypto.threshold.shares import EncodedElement, Holders, Share
from ledger.types import Count, Name, Wire

# A release opens at most so many parts in one ask, and a ticket has at most so many people.
BASES_PER_ASK_MAX: Final = 128
ASK_PAYLOAD_BYTES_MAX: Final = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldKey:
    """The public half of a shared key in force, decoded and checked.

    Attributes:
        purpose, version, renewal: as in `contracts.shared_key_records.SharedKey`.
        accounts: holder i (from 1) is at i − 1.
        holders: threshold and keys.
    """

    purpose: KeyPurpose
    version: int
    renewal: int
    accounts: tuple[bytes, ...]
    holders: Holders


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnShare:
    """This node's share: holder from 1, and the secret scalar."""

    holder: int
    secret: int

    def __repr__(self) -> str:
        return f"OwnShare(holder={self.holder})"


class SharedKeys(Protocol):
    """The keys that the ledger says are in force, by this node's replica."""

    def in_use(self, purpose: KeyPurpose) -> HeldKey:
        """The version to use for what is new. Raises Unavailable while none was made yet."""
        ...

    def version(self, purpose: KeyPurpose, version: int) -> HeldKey | None:
        """That version at its latest renewal, None if there is none (never made, or destroyed)."""
        ...


class OwnShares(Protocol):
    """This node's shares."""

    def share(self, purpose: KeyPurpose, version: int, renewal: int) -> OwnShare | None:
        """None where this node is no holder, or has lost it."""
        ...


class ShareAsk(Wire):
    """A request to use a share.

    Attributes:
        kind: whose `Permit` decides: "release", "trace", "lookup", …
        record_id: the ledger record in whose name it is asked.
        purpose, version, renewal: of which key.
        payload: what that permit needs beside, e.g. key headers; canonical bytes of its own struct.
        bare: whether the answer is `BareShares`: for an asker who can tell a wrong result by other means, and asks for many.
    """

    kind: Name
    record_id: Annotated[bytes, Meta(min_length=1, max_length=32)]
    purpose: KeyPurpose
    version: Count
    renewal: Count
    payload: Annotated[bytes, Meta(max_length=ASK_PAYLOAD_BYTES_MAX)]
    bare: bool = False


class ShareAnswer(Wire, tag="shares"):
    """One share for each base of the ask, in its order."""

    shares: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=BASES_PER_ASK_MAX)]


class BareShares(Wire, tag="bare"):
    """One share for each base of the ask, in its order, without proofs."""

    elements: Annotated[tuple[EncodedElement, ...], Meta(min_length=1, max_length=BASES_PER_ASK_MAX)]


class ShareRefusal(Wire, tag="refused"):
    """The holder's replica does not allow it. `reason` is a stable code."""

    reason: Code


class ShareRenewed(Wire, tag="renewed"):
    """The key's shares are of this renewal at the holder: ask again under it, or wait until it has come there."""

    renewal: Count


def _still_allowed() -> None:
    """Of what can never be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """What a holder will multiply by its share, and the context that its proofs are bound to.

    The context says in whose name and for what, but not under which renewal: the proofs are under that renewal's share keys.
    `again` looks once more whether this replica still allows it, for before a share leaves; it raises KeyRefused.
    """

    bases: tuple[Element, ...]
    context: bytes
    again: Callable[[], None] = field(default=_still_allowed, compare=False, repr=False)


class Permit(Protocol):
    """Decides, on this node's own finalized replica alone, whether its share may be used."""

    async def permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        """`sender` is the account of the peer that asks, or this node's own.

        Raises:
            LedgerError: no; KeyRefused with the reason when the ledger does not allow it, Unavailable when this replica
                has not come so far yet and it is worth asking again.
        """
        ...


class ShareCollector(Protocol):
    """Asks the holders, checks every share, and puts the threshold of them together."""

    async def collect(self, ask: ShareAsk, permitted: Permitted) -> Sequence[Element]:
        """Each base times the shared secret.

        Of a bare ask no share is checked: whoever asked checks the result. Else a share that does not hold names its node (log,
        metric, `Unavailable.reason`) and spoils nothing. A key that is renewed
        midway is asked for again under the new renewal.

        Args:
            ask: its renewal is filled in here.
            permitted: what this node's own permit said of the same ask (`ShareServer.permitted`).

        Raises:
            Unavailable: fewer than the threshold of good shares before the deadline; says who did not give one and why.
            KeyRefused: so many holders refuse that the threshold cannot be reached.
        """
        ...
