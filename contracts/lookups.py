"""Lookup tickets (查询票据): who may have how many identity numbers evaluated, through which node, on what ground.

Rule: a ticket is counted against every quota when it is asked for, and never given back, so that no order of calls gives more
evaluations than the quotas say. The key holders answer exactly the elements that its hash covers, only while it has not expired and
whoever asked and approved still may, and more than one element only once a second officer has approved. A person has nothing
evaluated but its own element.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts import quotas
from contracts.denials import Denied
from contracts.directory import elements_hash, versions_in_force
from contracts.keys import find_key, same_officer, usable
from contracts.methods import GRANTEE_OFFICER, PERSON, CallContext, method
from contracts.people_calls import LookupsApprove, LookupsRequest
from contracts.people_records import TICKET_LIFE_MS, LookupLimits, Ticket
from contracts.records import AccountKind, AccountStatus
from contracts.state import ACCOUNTS, LOOKUP_COUNTS, LOOKUP_LIMITS, NODES, PERSONS, TICKETS, StateReader
from contracts.versions import Contract
from ledger import domains

# Kinds of quota; first part of the key under which a count is kept.
OFFICER: Final = "officer"
ORGANIZATION: Final = "organization"
ENTRY: Final = "entry"
PERSON_KIND: Final = "person"


@method(
    LookupsRequest,
    callers=(*GRANTEE_OFFICER, *PERSON),
    cost=40,
    concerns=lambda _state, args: (args.entry,),
)
def request(context: CallContext, args: LookupsRequest) -> bytes:
    """Ask for a ticket."""
    if not versions_in_force(context.state):
        raise Denied("directory_not_ready")
    if NODES.get(context.state, args.entry) is None:
        raise Denied("unknown_entry", account=args.entry.hex())
    if context.account.kind is AccountKind.PERSON:
        _check_own(context, args)
    for kind, name, maximum in _quotas(context, args):
        count = LOOKUP_COUNTS.get(context.state, (kind, name)) or quotas.NOTHING
        more = quotas.counted(count, context.time_ms, args.count, maximum, kind)
        LOOKUP_COUNTS.put(context.state, (kind, name), more)
    ticket = Ticket(
        ticket_id=context.new_id(TICKETS, domains.TICKET_ID, 16),
        account=context.account.account_id,
        officer=context.key.key_id,
        entry=args.entry,
        count=args.count,
        elements_hash=args.elements_hash,
        basis=args.basis,
        requested_ms=context.time_ms,
        expires_ms=context.time_ms + TICKET_LIFE_MS,
    )
    TICKETS.put(context.state, ticket.ticket_id, ticket)
    context.emit(
        "lookups.requested",
        ticket.ticket_id,
        (args.entry,),
        basis=args.basis,
        count=args.count,
        entry=args.entry,
    )
    return ticket.ticket_id


@method(LookupsApprove, callers=GRANTEE_OFFICER, cost=25, concerns=lambda _state, args: (args.ticket_id,))
def approve(context: CallContext, args: LookupsApprove) -> None:
    """Approve another officer's ticket."""
    ticket = TICKETS.get(context.state, args.ticket_id)
    name = args.ticket_id.hex()
    if ticket is None:
        raise Denied("unknown_ticket", ticket=name)
    if ticket.account != context.account.account_id:
        raise Denied("ticket_of_another", ticket=name)
    asked = find_key(context.account, ticket.officer)
    if asked is not None and same_officer(asked, context.key):
        raise Denied("own_approval")
    if ticket.approver:
        raise Denied("ticket_approved", ticket=name)
    if context.time_ms >= ticket.expires_ms:
        raise Denied("ticket_expired", ticket=name)
    TICKETS.put(context.state, args.ticket_id, replace(ticket, approver=context.key.key_id))
    context.emit("lookups.approved", args.ticket_id, (ticket.entry,), basis=ticket.basis, count=ticket.count)


def limits(state: StateReader) -> LookupLimits:
    """The quotas that hold."""
    return LOOKUP_LIMITS.get(state, None) or LookupLimits()


def check_usable(state: StateReader, ticket: Ticket, time_ms: int) -> None:
    """Check that a ticket is worth anything at that time.

    Raises:
        Denied: ticket_expired, ticket_not_approved; ticket_withdrawn where the account is suspended, or the key by which it was
            asked for or approved was revoked or has ended.
    """
    if time_ms >= ticket.expires_ms:
        raise Denied("ticket_expired", ticket=ticket.ticket_id.hex())
    if ticket.count > 1 and not ticket.approver:
        raise Denied("ticket_not_approved", ticket=ticket.ticket_id.hex())
    account = ACCOUNTS.get(state, ticket.account)
    signers = (ticket.officer, ticket.approver) if ticket.approver else (ticket.officer,)
    if (
        account is None
        or account.status is not AccountStatus.ACTIVE
        or any((key := find_key(account, one)) is None or not usable(key, time_ms) for one in signers)
    ):
        raise Denied("ticket_withdrawn", ticket=ticket.ticket_id.hex())


def _check_own(context: CallContext, args: LookupsRequest) -> None:
    """A person's ticket is for the element that was bound to its account when it was identified."""
    person = PERSONS.get(context.state, context.account.account_id)
    own = None if person is None else elements_hash(context.block.suite, (person.own_element,))
    if args.count != 1 or args.elements_hash != own:
        raise Denied("own_number_only")


def _quotas(context: CallContext, args: LookupsRequest) -> tuple[tuple[str, bytes, int], ...]:
    """Kind, whose, and how many: all of them count."""
    held = limits(context.state)
    account = context.account.account_id
    entry = (ENTRY, args.entry, held.entry_max)
    if context.account.kind is AccountKind.PERSON:
        return ((PERSON_KIND, account, held.person_max), entry)
    return (
        (OFFICER, context.key.key_id, held.officer_max),
        (ORGANIZATION, account, held.organization_max),
        entry,
    )


METHODS: Final = (request, approve)
CONTRACT: Final = Contract(name="lookups", methods=METHODS)
