"""From a finalized block to what it means for the accounts that it concerns.

Rule: a function of the block and of the records behind its events, and nothing else. Who is concerned is whom an event names; whose
own data something is, and since when its owner may know of it, the records say.

An attempt that was refused concerns the person whose data it was about: it is an access like any other, with another outcome. A
refused request for access without consent has left no grant that could say how long it was to be kept from the person; it is
shown when the longest such time is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from contracts.grant_records import shown_from_ms
from contracts.people_records import Recovery, RecoveryState
from contracts.records import Account, Certificate, Grant, GrantState, Release
from contracts.representation_records import Mandate, MandateState
from ledger.types import ACCOUNT_ID_SIZE_BYTES, RELEASE_ID_SIZE_BYTES, Event, Transaction
from node.index.dossiers import ENDS_SOON, BlockConcerns, Entry, GrantTimes, Section, Told
from node.index.ports import BlockFacts, cursor_of

_DAY_MS: Final = 24 * 60 * 60 * 1000
ENDS_SOON_MS: Final = 7 * _DAY_MS
NOTICE_DELAY_MS_MAX: Final = 90 * _DAY_MS
ACCESS_ATTEMPTS: Final = frozenset(
    {("grants", name) for name in ("request_access", "decide_access", "extend_notice", "end_access")}
)
_REFUSED: Final = ".refused"
# Contracts that know no grants; a lookup less for each id that their events name.
_NEVER_UNDER_GRANTS: Final = frozenset(
    {"certificates", "lookups", "organizations", "people", "recoveries", "shared_keys"}
)
# Whoever opens originals or the body of a grant, or counts, has looked, too; such an event names the holders.
_LOOKS: Final = frozenset({"traces.requested", "counts.contributed", "bodies.opened"})


class ConcernRecords(Protocol):
    """The records that say whose something is."""

    def account(self, account_id: bytes) -> Account | None: ...

    def certificate(self, certificate_id: bytes) -> Certificate | None: ...

    def grant(self, grant_id: bytes) -> Grant | None: ...

    def release(self, release_id: bytes) -> Release | None: ...

    def mandate(self, mandate_id: bytes) -> Mandate | None: ...

    def recovery(self, account_id: bytes) -> Recovery | None: ...


def grants_of(
    records: ConcernRecords, kind: str, object_id: bytes, subjects: tuple[bytes, ...]
) -> tuple[Grant, ...]:
    """The grants that an event is under: those it names, and those of the releases it names."""
    found: dict[bytes, Grant] = {}
    if kind.partition(".")[0] in _NEVER_UNDER_GRANTS:
        return ()
    for named in dict.fromkeys((object_id, *subjects)):
        match len(named):
            case length if length == ACCOUNT_ID_SIZE_BYTES:
                grant = records.grant(named)
            case length if length == RELEASE_ID_SIZE_BYTES:
                release = records.release(named)
                grant = None if release is None else records.grant(release.grant_id)
            case _:
                grant = None
        if grant is not None:
            found[grant.grant_id] = grant
    return tuple(found.values())


def refused_access_shown_ms(
    kind: str, data: tuple[tuple[str, str | int], ...], grants: tuple[Grant, ...], time_ms: int
) -> int:
    """From when on a refused request for access without consent is shown; 0 for whatever else an event is."""
    facts = dict(data)
    if grants or not kind.endswith(_REFUSED):
        return 0
    attempted = (facts.get("contract"), facts.get("method"))
    return time_ms + NOTICE_DELAY_MS_MAX if attempted in ACCESS_ATTEMPTS else 0


def shown_to_ms(account: bytes, actor: bytes, grants: tuple[Grant, ...], otherwise_ms: int) -> int:
    """From which block time on an account may know of an event under these grants; 0 for always."""
    own = [grant for grant in grants if grant.pii_principal_id == account]
    if own:
        return max(shown_from_ms(grant) for grant in own)
    if account == actor or any(account in knows(grant) for grant in grants):
        return 0
    return max((shown_from_ms(grant) for grant in grants), default=otherwise_ms)


def knows(grant: Grant) -> tuple[bytes, ...]:
    """Who knows of a grant from the first, however long it is kept from its holder."""
    return (grant.grantee, *(() if grant.access is None else grant.access.approvers))


def concerns(block: BlockFacts, records: ConcernRecords) -> BlockConcerns:
    """What a block means for whom."""
    entries: list[Entry] = []
    told: list[Told] = []
    touched: dict[bytes, int] = {}
    for transaction, event, cursor in _events(block):
        grants = grants_of(records, event.kind, event.object_id, event.subjects)
        touched |= dict.fromkeys((grant.grant_id for grant in grants), cursor)
        found = _Happened(block.header.time_ms, transaction.body.account, event, cursor, grants)
        entries += found.entries(records)
        told += found.told(records)
    times = []
    for grant_id, cursor in touched.items():
        grant = records.grant(grant_id)
        if grant is not None:
            times.append(_times(grant, cursor, block.header.time_ms))
    return BlockConcerns(entries=tuple(entries), told=tuple(told), grants=tuple(times))


def _events(block: BlockFacts) -> Iterator[tuple[Transaction, Event, int]]:
    pairs = zip(block.transactions, block.results, strict=True)
    for number, (transaction, result) in enumerate(pairs):
        for place, event in enumerate(result.events):
            yield transaction, event, cursor_of(block.header.height, number, place)


def _times(grant: Grant, cursor: int, now_ms: int) -> GrantTimes:
    soon_ms = grant.consent_expiry_ms - ENDS_SOON_MS
    # Whoever hears of the grant itself so late needs no second word.
    later = max(now_ms, shown_from_ms(grant)) < soon_ms
    ends = later and grant.state in {GrantState.ACTIVE, GrantState.PAUSED}
    ending = Told(
        account=grant.pii_principal_id,
        cursor=cursor,
        kind=ENDS_SOON,
        object_id=grant.grant_id,
        grant_id=grant.grant_id,
        from_ms=soon_ms,
    )
    return GrantTimes(
        grant_id=grant.grant_id,
        grantee=grant.grantee,
        shown_from_ms=shown_from_ms(grant),
        ending=ending if ends else None,
    )


class _Happened:
    """One event with what is known around it."""

    __slots__ = ("actor", "cursor", "event", "grants", "later_ms")

    def __init__(
        self, time_ms: int, actor: bytes, event: Event, cursor: int, grants: tuple[Grant, ...]
    ) -> None:
        self.actor, self.event, self.cursor, self.grants = actor, event, cursor, grants
        self.later_ms = refused_access_shown_ms(event.kind, event.data, grants, time_ms)

    def told(self, records: ConcernRecords) -> Iterator[Told]:
        """A notice for every account that the event names."""
        for account in dict.fromkeys((self.event.object_id, *self.event.subjects)):
            if len(account) != ACCOUNT_ID_SIZE_BYTES or records.account(account) is None:
                continue
            yield Told(
                account=account,
                cursor=self.cursor,
                kind=self.event.kind,
                object_id=self.event.object_id,
                grant_id=self._grant_of(account),
                from_ms=self._shown_ms(account),
            )

    def entries(self, records: ConcernRecords) -> Iterator[Entry]:
        """What it adds to somebody's own data."""
        kind, object_id = self.event.kind, self.event.object_id
        if kind.endswith(_REFUSED):
            yield from self._refused(records)
            return
        match kind.partition(".")[0]:
            case "certificates":
                certificate = records.certificate(object_id)
                if certificate is not None:
                    yield self._entry(certificate.holder, Section.CERTIFICATES, object_id)
            case "grants":
                yield from self._grant(records.grant(object_id))
            case "releases":
                release = records.release(object_id)
                if release is not None:
                    yield self._entry(release.pii_principal_id, Section.ACCESSES, object_id)
            case "representation":
                yield from self._mandate(records.mandate(object_id))
            case "recoveries":
                recovery = records.recovery(object_id)
                if recovery is not None:
                    waits = recovery.state in {RecoveryState.OPENED, RecoveryState.PENDING}
                    yield self._entry(object_id, Section.REQUESTS, object_id, is_open=waits)
            case _:
                if kind in _LOOKS:
                    yield from self._looked(records)

    def _refused(self, records: ConcernRecords) -> Iterator[Entry]:
        owners = {grant.pii_principal_id for grant in self.grants}
        owners |= {
            certificate.holder
            for named in self.event.subjects
            if len(named) == ACCOUNT_ID_SIZE_BYTES and (certificate := records.certificate(named)) is not None
        }
        if not owners:
            named_accounts = (named for named in self.event.subjects if len(named) == ACCOUNT_ID_SIZE_BYTES)
            owners = {named for named in named_accounts if records.account(named) is not None}
        for owner in sorted(owners - {self.actor}):
            yield self._entry(owner, Section.ACCESSES, self.cursor.to_bytes(8, "big"))

    def _grant(self, grant: Grant | None) -> Iterator[Entry]:
        if grant is None:
            return
        holder = grant.pii_principal_id
        yield self._entry(holder, Section.GRANTS, grant.grant_id)
        if grant.access is None:
            waits = grant.state is GrantState.REQUESTED
            yield self._entry(holder, Section.REQUESTS, grant.grant_id, is_open=waits)

    def _mandate(self, mandate: Mandate | None) -> Iterator[Entry]:
        if mandate is None:
            return
        for account in dict.fromkeys((mandate.principal, mandate.representative)):
            yield self._entry(account, Section.REPRESENTATIONS, mandate.mandate_id)
        waits = mandate.state is MandateState.OFFERED
        yield self._entry(mandate.representative, Section.REQUESTS, mandate.mandate_id, is_open=waits)

    def _looked(self, records: ConcernRecords) -> Iterator[Entry]:
        for named in self.event.subjects:
            if named == self.actor or len(named) != ACCOUNT_ID_SIZE_BYTES:
                continue
            account = records.account(named)
            if account is not None and account.kind.value in {"person", "enterprise"}:
                yield self._entry(named, Section.ACCESSES, self.event.object_id)

    def _entry(self, account: bytes, section: Section, key: bytes, *, is_open: bool = True) -> Entry:
        return Entry(
            account=account,
            section=section,
            key=key,
            cursor=self.cursor,
            kind=self.event.kind,
            grant_id=self._grant_of(account),
            shown_from_ms=self._shown_ms(account),
            open=is_open,
        )

    def _shown_ms(self, account: bytes) -> int:
        return shown_to_ms(account, self.actor, self.grants, self.later_ms)

    def _grant_of(self, account: bytes) -> bytes:
        own = [grant.grant_id for grant in self.grants if grant.pii_principal_id == account]
        return (own or [grant.grant_id for grant in self.grants] or [b""])[0]
