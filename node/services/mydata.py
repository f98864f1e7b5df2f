"""Everything that is held about an account, everything it gave, everyone who looked, and what waits for it.

Rule: the index finds, the finalized state says; an entry whose record says that the account is not to know of it yet is left out
here too, whatever the index has. Whoever acts for another sees that other's data as far as his mandate goes: one for certain
purposes shows those purposes' grants, accesses and requests, and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from contracts.denials import denial_message
from contracts.grant_records import shown_from_ms
from contracts.grant_states import standing
from contracts.people_records import Recovery
from contracts.records import Certificate, Grant, GrantState, Release
from contracts.representation_records import Mandate, MandateState
from ledger.errors import Category, LedgerError
from node.index.dossiers import FoundEntry, Section
from node.index.ports import Index, IndexedEvent, place_of
from node.services.ports import Chain

R = TypeVar("R")

SCAN_BATCH: Final = 200
# Entries looked at for one page; more are on the next.
SCAN_MAX: Final = 2_000
# Where the mandate is for certain purposes, so many entries are counted and no more.
COUNTED_MAX: Final = 100_000
LIMITED_SECTIONS: Final = frozenset({Section.GRANTS, Section.ACCESSES, Section.REQUESTS})


class NotRepresented(LedgerError):
    """The caller does not act for that account. Fields: principal."""

    code = "not_represented"
    category = Category.FORBIDDEN
    zh = "您没有代理账户 {principal} 的有效授权；请先取得代理（representation.appoint）并接受"
    en = "You have no mandate in force for account {principal}; it has to appoint you and you have to accept"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data is shown, and for which purposes; None for all of it."""

    account: bytes
    purposes: frozenset[str] | None = None

    def covers(self, purpose: str) -> bool:
        """Whether what happened for this purpose is in it."""
        return self.purposes is None or purpose in self.purposes

    def has(self, section: Section) -> bool:
        """Whether the section is in it at all."""
        return self.purposes is None or section in LIMITED_SECTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry with the record behind it; of the records at most one is there. A refused attempt, trace or count has none."""

    entry: FoundEntry
    certificate: Certificate | None = None
    grant: Grant | None = None
    release: Release | None = None
    mandate: Mandate | None = None
    recovery: Recovery | None = None

    @property
    def event(self) -> IndexedEvent:
        return self.entry.event


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some items, newest first, and the cursor behind which there is more; None at the end."""

    items: tuple[R, ...]
    next: int | None


class MyData:
    """Reads an account's own data."""

    def __init__(self, chain: Chain, index: Index) -> None:
        self._chain = chain
        self._index = index
        self._load: Mapping[Section, Callable[[Scope, FoundEntry], Found | None]] = {
            Section.CERTIFICATES: self._certificate,
            Section.GRANTS: self._grant,
            Section.ACCESSES: self._access,
            Section.REQUESTS: self._request,
            Section.REPRESENTATIONS: self._representation,
        }

    async def scope(self, caller: bytes, principal: bytes) -> Scope:
        """What `caller` may see of `principal`: all of the own, and of another what the mandates in force cover.

        Raises:
            NotRepresented: there is none.
        """
        if principal == caller:
            return Scope(caller)
        mandates = await mandates_in_force(self._chain, self._index, caller, principal)
        if not mandates:
            raise NotRepresented(principal=principal.hex())
        if any(not mandate.purposes for mandate in mandates):
            return Scope(principal)
        return Scope(principal, frozenset(purpose for mandate in mandates for purpose in mandate.purposes))

    async def page(self, scope: Scope, section: Section, *, after: int | None, limit: int) -> Page[Found]:
        """A page of a section; there is a next page only where something is on it, within the bound of a scan."""
        items: list[Found] = []
        if not scope.has(section):
            return Page((), None)
        last = after
        for _ in range(SCAN_MAX // SCAN_BATCH):
            batch = await self._entries(scope, section, after)
            for entry in batch:
                after = entry.cursor
                found = self._load[section](scope, entry)
                if found is None:
                    continue
                if len(items) == limit:
                    return Page(tuple(items), last)
                items.append(found)
                last = after
            if len(batch) < SCAN_BATCH:
                return Page(tuple(items), None)
        return Page(tuple(items), after)

    async def counts(self, scope: Scope) -> Mapping[Section, int]:
        """How many entries there are in each section."""
        if scope.purposes is None:
            counts = await self._index.entry_counts(scope.account, at_ms=self._chain.head_time_ms)
            # What waits may be over by time alone, which nobody has written down yet.
            return {**counts, Section.REQUESTS: await self._counted(scope, Section.REQUESTS)}
        return {section: await self._counted(scope, section) for section in Section}

    async def _counted(self, scope: Scope, section: Section) -> int:
        number, after = 0, None
        if not scope.has(section):
            return 0
        for _ in range(COUNTED_MAX // SCAN_BATCH):
            batch = await self._entries(scope, section, after)
            number += sum(self._load[section](scope, entry) is not None for entry in batch)
            if len(batch) < SCAN_BATCH:
                break
            after = batch[-1].cursor
        return number

    def _entries(
        self, scope: Scope, section: Section, after: int | None
    ) -> Awaitable[tuple[FoundEntry, ...]]:
        return self._index.entries(
            scope.account, section, at_ms=self._chain.head_time_ms, after=after, limit=SCAN_BATCH
        )

    def _hidden(self, grant: Grant, account: bytes) -> bool:
        """Whether the account is not to know of the grant yet; the grantee of course knows."""
        return account != grant.grantee and self._chain.head_time_ms < shown_from_ms(grant)

    def _certificate(self, _scope: Scope, entry: FoundEntry) -> Found | None:
        certificate = self._chain.records.certificate(entry.key)
        return None if certificate is None else Found(entry=entry, certificate=certificate)

    def _grant(self, scope: Scope, entry: FoundEntry) -> Found | None:
        grant = self._chain.records.grant(entry.key)
        if grant is None or self._hidden(grant, scope.account) or not scope.covers(grant.purpose):
            return None
        return Found(entry=entry, grant=grant)

    def _access(self, scope: Scope, entry: FoundEntry) -> Found | None:
        records = self._chain.records
        release = records.release(entry.key)
        grant_id = entry.grant_id if release is None else release.grant_id
        grant = records.grant(grant_id) if grant_id else None
        if grant is not None and self._hidden(grant, scope.account):
            return None
        if scope.purposes is not None and (grant is None or not scope.covers(grant.purpose)):
            return None
        return Found(entry=entry, grant=grant, release=release)

    def _request(self, scope: Scope, entry: FoundEntry) -> Found | None:
        records = self._chain.records
        kind = entry.event.kind.partition(".")[0]
        if kind == "grants":
            found = self._grant(scope, entry)
            waits = found is not None and found.grant is not None and self._waits(found.grant)
            return found if waits else None
        if scope.purposes is not None:
            return None
        if kind == "recoveries":
            recovery = records.recovery(entry.key)
            return None if recovery is None else Found(entry=entry, recovery=recovery)
        mandate = records.mandate(entry.key)
        offered = (
            mandate is not None
            and mandate.state is MandateState.OFFERED
            and self._chain.head_time_ms < mandate.until_ms
        )
        return Found(entry=entry, mandate=mandate) if offered else None

    def _waits(self, grant: Grant) -> bool:
        return standing(grant, self._chain.head_time_ms) is GrantState.REQUESTED

    def _representation(self, _scope: Scope, entry: FoundEntry) -> Found | None:
        mandate = self._chain.records.mandate(entry.key)
        return None if mandate is None else Found(entry=entry, mandate=mandate)


def refusal(chain: Chain, event: IndexedEvent) -> tuple[str, str]:
    """Why an attempt was refused, in zh and en; only the code where its block is no longer held."""
    height, number, _ = place_of(event.cursor)
    results = chain.results(height)
    if number >= len(results):
        return event.code, event.code
    fields = dict(results[number].fields)
    return denial_message(event.code, fields, "zh"), denial_message(event.code, fields, "en")


def in_force(mandate: Mandate, now_ms: int) -> bool:
    """Whether a mandate counts at that block time."""
    return mandate.state is MandateState.ACTIVE and now_ms < mandate.until_ms


async def mandates_in_force(
    chain: Chain, index: Index, representative: bytes, principal: bytes
) -> list[Mandate]:
    """Mandates by which one account acts for another at the finalized head, among its newest `SCAN_MAX`."""
    mandates: list[Mandate] = []
    after: int | None = None
    for _ in range(SCAN_MAX // SCAN_BATCH):
        found = await index.entries(
            representative, Section.REPRESENTATIONS, at_ms=chain.head_time_ms, after=after, limit=SCAN_BATCH
        )
        for entry in found:
            after = entry.cursor
            mandate = chain.records.mandate(entry.key)
            if (
                mandate is not None
                and (mandate.representative, mandate.principal) == (representative, principal)
                and in_force(mandate, chain.head_time_ms)
            ):
                mandates.append(mandate)
        if len(found) < SCAN_BATCH:
            break
    return mandates
