"""Lookups of people by identity number, as far as a node takes part: it carries blinded elements out, and shares back.

Rule: this node never sees a number, nor an element that is not blinded, nor what an evaluation came to; the client combines. What
stands under a tag is told to whoever holds a live ticket, and a person is told of nobody but itself. Tags are in no log line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from contracts import lookups
from contracts.directory import version_in_use, versions_in_force
from contracts.people_records import VERSIONS_IN_FORCE_MAX, PersonTag, Recovery, Ticket
from contracts.records import AccountKind
from contracts.shared_key_records import KeyPurpose, SharedKey
from contracts.state import (
    PERSON_TAG_COUNTS,
    PERSON_TAGS,
    RECOVERIES,
    SHARED_KEYS,
    TICKETS,
    StateReader,
    present,
)
from ledger import codec
from ledger.crypto.threshold.shares import Share
from ledger.errors import Category, LedgerError, LimitExceeded, NotFound
from node.holders.lookups import KIND, LookupAsk
from node.holders.ports import HeldKey, Permitted, ShareAsk
from node.services.people_ports import DirectoryFacts, Evaluation
from node.services.ports import Caller

log = structlog.get_logger()

# The server fills in the renewal that its own replica has.
_RENEWAL_LATEST: Final = 0


class OtherEntry(LedgerError):
    """The ticket names another node. Fields: entry."""

    code = "other_entry"
    category = Category.CONFLICT
    zh = "查询票据指定的节点是 {entry}，请向该节点提交"
    en = "The lookup ticket names node {entry}; ask there"


class Permits(Protocol):
    """What this node's own replica says of an ask (`node.holders.server.ShareServer`)."""

    async def permitted(self, ask: ShareAsk) -> Permitted: ...


class ProvenShares(Protocol):
    """Collects the threshold of checked shares with their proofs (`node.holders.collector.Collector`)."""

    async def collect_shares(
        self, ask: ShareAsk, permitted: Permitted
    ) -> tuple[HeldKey, Mapping[int, tuple[Share, ...]]]:
        """The key, and the shares by holder."""
        ...


class People:
    """Implements the port `People`.

    Args:
        account: this node's.
        state: this replica's finalized state.
        height: of the finalized head.
        time_ms: as for `LookupPermit`.
        permits, shares: this node as a holder, and as one who asks the others.
    """

    def __init__(
        self,
        *,
        account: bytes,
        state: StateReader,
        height: Callable[[], int],
        time_ms: Callable[[], int],
        permits: Permits,
        shares: ProvenShares,
    ) -> None:
        self._account = account
        self._state = state
        self._height = height
        self._time_ms = time_ms
        self._permits = permits
        self._shares = shares

    def directory(self) -> DirectoryFacts:
        versions = versions_in_force(self._state)
        keys = tuple(self._key(version) for version in versions)
        return DirectoryFacts(
            version=version_in_use(self._state),
            keys=keys,
            tags=tuple(PERSON_TAG_COUNTS.get(self._state, version) or 0 for version in versions),
            limits=lookups.limits(self._state),
        )

    def ticket(self, ticket_id: bytes) -> Ticket | None:
        return TICKETS.get(self._state, ticket_id)

    def recovery(self, account: bytes) -> Recovery | None:
        return RECOVERIES.get(self._state, account)

    async def evaluate(
        self, ticket_id: bytes, elements: Sequence[bytes], caller: Caller
    ) -> tuple[Evaluation, ...]:
        ticket = self._live(ticket_id, caller)
        if ticket.entry != self._account:
            raise OtherEntry(entry=ticket.entry.hex())
        payload = codec.encode(LookupAsk(height=self._height(), elements=tuple(elements)))
        made = []
        for version in versions_in_force(self._state):
            ask = ShareAsk(
                kind=KIND,
                record_id=ticket_id,
                purpose=KeyPurpose.DIRECTORY,
                version=version,
                renewal=_RENEWAL_LATEST,
                payload=payload,
            )
            permitted = await self._permits.permitted(ask)
            key, shares = await self._shares.collect_shares(ask, permitted)
            made.append(Evaluation(version=version, renewal=key.renewal, shares=shares))
        log.info(
            "lookup evaluated",
            ticket=ticket_id.hex(),
            account=caller.account.hex(),
            key_id=caller.key_id.hex(),
            count=ticket.count,
        )
        return tuple(made)

    def accounts(
        self, ticket_id: bytes, tags: Sequence[PersonTag], caller: Caller
    ) -> tuple[bytes | None, ...]:
        ticket = self._live(ticket_id, caller)
        maximum = ticket.count * VERSIONS_IN_FORCE_MAX
        if len(tags) > maximum:
            raise LimitExceeded(limit="tags of a ticket", maximum=maximum, actual=len(tags))
        found = tuple(PERSON_TAGS.get(self._state, (one.version, one.tag)) for one in tags)
        if caller.kind is AccountKind.PERSON:
            return tuple(account if account == caller.account else None for account in found)
        return found

    def _live(self, ticket_id: bytes, caller: Caller) -> Ticket:
        """The caller's ticket, still worth something; another's is as if it did not exist."""
        ticket = TICKETS.get(self._state, ticket_id)
        if ticket is None or ticket.account != caller.account:
            raise NotFound(what="ticket", id=ticket_id.hex())
        lookups.check_usable(self._state, ticket, self._time_ms())
        return ticket

    def _key(self, version: int) -> SharedKey:
        return present(SHARED_KEYS.get(self._state, (KeyPurpose.DIRECTORY, version)), "a key in force")
