"""Views of the directory, lookup tickets, shares and recoveries.

Rule: one function a record, members in the order of the struct.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from contracts.people_records import LookupLimits, Recovery, Ticket
from contracts.records import Account
from contracts.shared_key_records import SharedKey
from ledger.crypto.threshold.shares import Share
from node.http.views.common import Names, hex_or_none, instant, instant_or_none
from node.services.people_ports import DirectoryFacts, Evaluation
from zhenglian import api_people as api


def directory(facts: DirectoryFacts) -> api.DirectoryView:
    """The directory as it is at the head."""
    return api.DirectoryView(
        version=facts.version,
        versions=[_version(key, tags) for key, tags in zip(facts.keys, facts.tags, strict=True)],
        quotas=_quotas(facts.limits),
    )


def _version(key: SharedKey, tags: int) -> api.DirectoryVersion:
    return api.DirectoryVersion(
        version=key.version,
        renewal=key.renewal,
        group=key.group,
        threshold=key.keys.threshold,
        holders=len(key.holders),
        tags=tags,
    )


def _quotas(limits: LookupLimits) -> api.QuotaView:
    return api.QuotaView(
        officer_max=limits.officer_max,
        organization_max=limits.organization_max,
        entry_max=limits.entry_max,
        person_max=limits.person_max,
    )


def ticket(record: Ticket, time_ms: int) -> api.TicketView:
    """A ticket as of block time `time_ms`."""
    return api.TicketView(
        ticket_id=record.ticket_id.hex(),
        account=record.account.hex(),
        officer=record.officer.hex(),
        entry=record.entry.hex(),
        count=record.count,
        elements_hash=record.elements_hash.hex(),
        basis=record.basis,
        state=_ticket_state(record, time_ms),
        requested=instant(record.requested_ms),
        expires=instant(record.expires_ms),
        approver=hex_or_none(record.approver),
    )


def _ticket_state(record: Ticket, time_ms: int) -> Literal["waiting", "open", "expired"]:
    if time_ms >= record.expires_ms:
        return "expired"
    return "waiting" if record.count > 1 and not record.approver else "open"


def shares(made: Sequence[Evaluation]) -> api.SharesView:
    """Evaluations, holders in their order."""
    return api.SharesView(
        evaluations=[
            api.EvaluationView(
                version=one.version,
                renewal=one.renewal,
                holders=[
                    api.HolderShares(holder=holder, shares=[_share(share) for share in one.shares[holder]])
                    for holder in sorted(one.shares)
                ],
            )
            for one in made
        ]
    )


def _share(share: Share) -> api.ProvenShare:
    return api.ProvenShare(
        element=share.element.hex(),
        challenge=share.proof.challenge.hex(),
        response=share.proof.response.hex(),
    )


def accounts(found: Sequence[bytes | None]) -> api.AccountsView:
    """Accounts in the order of the tags."""
    return api.AccountsView(accounts=[None if account is None else account.hex() for account in found])


def recovery(record: Recovery, account: Account | None, names: Names) -> api.RecoveryView:
    """A recovery, with the names of the two organisations."""
    return api.RecoveryView(
        account=record.account.hex(),
        new_key=record.key_id.hex(),
        opened_by=record.opened_by.hex(),
        opened_by_name=names.account(record.opened_by),
        confirmed_by=hex_or_none(record.confirmed_by),
        confirmed_by_name=names.account(record.confirmed_by) if record.confirmed_by else "",
        state=record.state.value,
        state_since=instant(record.state_since_ms),
        completes=instant(record.completes_ms),
        restricted_until=instant_or_none(0 if account is None else account.restricted_until_ms),
    )
