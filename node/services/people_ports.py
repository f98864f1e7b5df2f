"""What the HTTP routes about people ask of the node; a room of `ports.py`.

Rule: as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from contracts.people_records import LookupLimits, PersonTag, Recovery, Ticket
from contracts.shared_key_records import SharedKey
from ledger.crypto.threshold.shares import Share

if TYPE_CHECKING:
    from node.services.ports import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryFacts:
    """The person directory.

    Attributes:
        version: for what is new; None before a key was made.
        keys: those in force, by version.
        tags: how many tags there are under each of them.
        limits: quotas of lookups.
    """

    version: int | None
    keys: tuple[SharedKey, ...]
    tags: tuple[int, ...]
    limits: LookupLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Proven shares of a ticket's elements under one version of the key at one renewal, by holder."""

    version: int
    renewal: int
    shares: Mapping[int, Sequence[Share]]


class People(Protocol):
    """Lookups and recoveries."""

    def directory(self) -> DirectoryFacts: ...

    def ticket(self, ticket_id: bytes) -> Ticket | None: ...

    def recovery(self, account: bytes) -> Recovery | None:
        """The latest of that account."""
        ...

    async def evaluate(
        self, ticket_id: bytes, elements: Sequence[bytes], caller: Caller
    ) -> tuple[Evaluation, ...]:
        """Proven shares of the ticket's elements, one evaluation for each version in force.

        Raises:
            NotFound: no such ticket of the caller's.
            Denied, KeyRefused: it has expired, is not approved, or does not cover these elements.
            LedgerError: it names another node.
            Unavailable: too few holders answered.
        """
        ...

    def accounts(
        self, ticket_id: bytes, tags: Sequence[PersonTag], caller: Caller
    ) -> tuple[bytes | None, ...]:
        """The account under each tag; for a person only its own.

        Raises:
            NotFound: no such ticket of the caller's.
            Denied: it has expired, or is not approved.
            LimitExceeded: more tags than the ticket has elements, under every version.
        """
        ...
