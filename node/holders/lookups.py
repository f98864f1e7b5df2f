"""A holder's permission to evaluate the elements of a lookup ticket.

Rule: a finalized ticket on this node's own replica, that has not expired, that a second officer has approved where it takes one,
from the node that it names, and exactly the elements that it covers. Whom they are of nobody here can know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final

from msgspec import Meta

from contracts.denials import Denied
from contracts.directory import elements_hash, share_context, versions_in_force
from contracts.lookups import check_usable
from contracts.people_records import BATCH_MAX, Ticket
from contracts.shared_key_records import KeyPurpose
from contracts.state import SHARED_KEYS, TICKETS, StateReader
from ledger import codec
from ledger.crypto.suite import CryptoSuite
from ledger.crypto.threshold.group import Element, Group
from ledger.crypto.threshold.groups import group_named
from ledger.crypto.threshold.shares import EncodedElement
from ledger.types import Count, Wire
from node.holders.errors import KeyRefused
from node.holders.ports import ASK_PAYLOAD_BYTES_MAX, Permitted, ShareAsk
from node.holders.waiting import Heights, wait_final

KIND: Final = "lookup"


class LookupAsk(Wire):
    """What a holder needs beside the ticket's id.

    Attributes:
        height: at which the asking node has the ticket; the holder waits until it has come so far.
        elements: the blinded elements, in the ticket's order.
    """

    height: Count
    elements: Annotated[tuple[EncodedElement, ...], Meta(min_length=1, max_length=BATCH_MAX)]


class LookupPermit:
    """Implements `node.holders.ports.Permit` for asks of kind `KIND`.

    Args:
        suite: the network's.
        chain_id: its identity, to which proofs are bound.
        state: this replica's finalized state.
        chain: its heights.
        time_ms: the later of the head's block time and this node's clock, so that a ticket expires on an idle chain too.
    """

    def __init__(
        self,
        *,
        suite: CryptoSuite,
        chain_id: bytes,
        state: StateReader,
        chain: Heights,
        time_ms: Callable[[], int],
    ) -> None:
        self._suite = suite
        self._chain_id = chain_id
        self._state = state
        self._chain = chain
        self._time_ms = time_ms

    async def permit(self, sender: bytes, ask: ShareAsk) -> Permitted:
        """Implements the port."""
        wanted = codec.decode(ask.payload, LookupAsk, size_bytes_max=ASK_PAYLOAD_BYTES_MAX, what="lookup ask")
        await wait_final(self._chain, wanted.height)

        def again() -> None:
            self._check(sender, ask, wanted)

        again()
        bases = self._decode(self._group(ask), wanted.elements)
        context = share_context(self._chain_id, ask.record_id, ask.version)
        return Permitted(bases=bases, context=context, again=again)

    def _check(self, sender: bytes, ask: ShareAsk, wanted: LookupAsk) -> None:
        if ask.purpose is not KeyPurpose.DIRECTORY:
            raise KeyRefused(reason="wrong_purpose")
        ticket = TICKETS.get(self._state, ask.record_id)
        if ticket is None:
            raise KeyRefused(reason="unknown_ticket")
        if ticket.entry != sender:
            raise KeyRefused(reason="not_entrusted")
        try:
            check_usable(self._state, ticket, self._time_ms())
        except Denied as denied:
            raise KeyRefused(reason=denied.code) from None
        if not self._covers(ticket, wanted.elements):
            raise KeyRefused(reason="elements_of_another")

    def _covers(self, ticket: Ticket, elements: Sequence[bytes]) -> bool:
        return len(elements) == ticket.count and elements_hash(self._suite, elements) == ticket.elements_hash

    def _group(self, ask: ShareAsk) -> Group:
        key = SHARED_KEYS.get(self._state, (KeyPurpose.DIRECTORY, ask.version))
        group = None if key is None else group_named(key.group)
        if group is None or ask.version not in versions_in_force(self._state):
            raise KeyRefused(reason="unknown_key")
        return group

    def _decode(self, group: Group, encoded: Sequence[bytes]) -> tuple[Element, ...]:
        elements = tuple(element for data in encoded if (element := group.decode(data)) is not None)
        if len(elements) != len(encoded):
            raise KeyRefused(reason="element_invalid")
        return elements
