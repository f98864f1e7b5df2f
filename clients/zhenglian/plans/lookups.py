"""Plans that find people by identity number: blind, take a ticket, have it evaluated, combine, ask what stands under the tags.

Rule: a number stays in this process. The ticket is final before anything is evaluated, names the node that evaluates it, and the
keys under which shares are checked are proven by the trusted validators, never taken from that node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from contracts.directory import elements_hash, share_context
from contracts.people_calls import LookupsApprove, LookupsRequest
from contracts.people_records import BATCH_MAX, PersonTag
from contracts.shared_key_records import KeyPurpose
from contracts.state import SHARED_KEYS
from ledger.crypto.threshold.equality import EqualityProof
from ledger.crypto.threshold.group import Group
from ledger.crypto.threshold.groups import group_named, group_of
from ledger.crypto.threshold.prf import Blinded
from ledger.crypto.threshold.shares import Holders, Share
from ledger.errors import Category, DecodeError, LedgerError, LimitExceeded, Unavailable
from ledger.receipts import state_receipt_from_json, trust_from_json
from zhenglian import exchange
from zhenglian.api import AccountView, TransactionView
from zhenglian.api_people import (
    AccountsRequest,
    AccountsView,
    DirectoryView,
    EvaluationView,
    SharesRequest,
    SharesView,
    TagValue,
    TicketView,
)
from zhenglian.exchange import Core, Pause, Plan, Request, decode, get
from zhenglian.identifiers import check_organization_code
from zhenglian.own_numbers import OwnSecret, blind_number, combined_elements, own_blinding, tag
from zhenglian.plans import chain, proofs, releases, transactions

T = TypeVar("T")

BASIS_DEFAULT: Final = "service"
OWN_BASIS: Final = "own"
APPROVAL_POLL_S: Final = 1.0
APPROVAL_PATIENCE_S: Final = 14 * 60
# A renewal of the key may come between the shares and the proof of their keys.
_EVALUATIONS_MAX: Final = 3


class NotApproved(LedgerError):
    """No second officer approved the ticket in time. Fields: ticket."""

    code = "not_approved"
    category = Category.CONFLICT
    zh = "查询票据 {ticket} 未获本机构另一名经办人批准，请重新申请"
    en = "No other officer of the organisation approved lookup ticket {ticket}; ask for another"


class TagsDisagree(LedgerError):
    """A number's tags under two versions of the key stand for two accounts. Fields: none."""

    code = "tags_disagree"
    category = Category.CONFLICT
    zh = "同一号码在不同索引版本下对应不同账户，请联系运营方核查"
    en = "The number stands for different accounts under different versions of the directory; have operators look into it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A lookup under way, with what must not leave this process.

    Attributes:
        ticket_id: hex.
        base: URL of the node that the ticket names.
        count: how many people.
    """

    ticket_id: str
    base: str
    count: int
    numbers: tuple[str, ...] = field(repr=False)
    blinded: tuple[Blinded, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a lookup came to for one number.

    Attributes:
        account: hex; None where nobody is enrolled under the number.
        tags: under each version in force, ascending.
        known: those of them that stand for the account.
    """

    account: str | None
    tags: tuple[PersonTag, ...] = field(repr=False)
    known: tuple[PersonTag, ...] = field(repr=False)


def directory(core: Core) -> Plan[DirectoryView]:
    """Versions of the directory key in force, how many people are found under each, and quotas."""
    return (yield from get(core, "/v1/directory", DirectoryView))


def find_person(core: Core, number: str, *, basis: str = BASIS_DEFAULT) -> Plan[str | None]:
    """A person's account by identity number (GB 11643). It costs one of the quotas and leaves a ticket on the ledger.

    Args:
        number: stays in this process.
        basis: on what ground, a code.

    Returns:
        The account id, hex; None if nobody is enrolled under the number.

    Raises:
        IdentityNumberInvalid: it is none.
        Denied: the quota is used up, or the key may not look anybody up.
        ShareInvalid: the node brought shares that do not hold.
    """
    lookup = yield from open_lookup(core, (number,), basis=basis)
    (found,) = yield from finish_lookup(core, lookup)
    return found.account


def find_organization(core: Core, code: str) -> Plan[AccountView | None]:
    """An organisation by its unified social credit code (GB 32100), which is public. Raises OrganizationCodeInvalid."""
    check_organization_code(code)
    listed = yield from chain.organizations(core)
    return next((one for one in listed if one.credit_code == code), None)


def own_account(core: Core, number: str, secret: OwnSecret) -> Plan[str | None]:
    """A person's own account by its own number; None if the number leads nowhere, or to another account.

    Raises:
        Denied: own_number_only: number and secret are not those that the account was opened with.
    """
    lookup = yield from open_lookup(core, (number,), basis=OWN_BASIS, secret=secret)
    (found,) = yield from finish_lookup(core, lookup)
    return found.account


def open_lookup(
    core: Core, numbers: Sequence[str], *, basis: str = BASIS_DEFAULT, secret: OwnSecret | None = None
) -> Plan[Lookup]:
    """Take a ticket for several people at once; more than one need another officer's `approve_lookup`.

    Args:
        numbers: 1 to `BATCH_MAX`; they stay in this process.
        basis: on what ground, a code.
        secret: a person's, for its own number.
    """
    if not 1 <= len(numbers) <= BATCH_MAX:
        raise LimitExceeded(limit="people of a lookup", maximum=BATCH_MAX, actual=len(numbers))
    suite = yield from exchange.suite(core)
    group = group_of(suite)
    blinded = tuple(
        blind_number(group, number) if secret is None else own_blinding(group, number, secret)
        for number in numbers
    )
    base, entry = yield from releases.any_node(core)
    args = LookupsRequest(
        entry=bytes.fromhex(entry),
        count=len(blinded),
        elements_hash=elements_hash(suite, [one.element.encode() for one in blinded]),
        basis=basis,
    )
    view = yield from transactions.settled(core, args)
    ticket_id = transactions.output(view).hex()
    return Lookup(ticket_id=ticket_id, base=base, count=len(blinded), numbers=tuple(numbers), blinded=blinded)


def approve_lookup(core: Core, ticket_id: str) -> Plan[TransactionView]:
    """Approve another officer's ticket of the own organisation."""
    return (yield from transactions.settled(core, LookupsApprove(ticket_id=bytes.fromhex(ticket_id))))


def lookup_ticket(core: Core, ticket_id: str) -> Plan[TicketView]:
    """A ticket, for its organisation, operators and auditors."""
    return (yield from get(core, f"/v1/lookups/{ticket_id}", TicketView, session=True))


def await_approval(core: Core, lookup: Lookup, *, patience_s: int = APPROVAL_PATIENCE_S) -> Plan[None]:
    """Wait until a second officer has approved. Raises NotApproved."""
    deadline_ms = core.clock_ms() + patience_s * 1000
    while True:
        path = f"/v1/lookups/{lookup.ticket_id}"
        view = yield from get(core, path, TicketView, session=True, base=lookup.base)
        if view.state == "open":
            return
        if view.state == "expired" or core.clock_ms() >= deadline_ms:
            raise NotApproved(ticket=lookup.ticket_id)
        yield Pause(seconds=APPROVAL_POLL_S)


def finish_lookup(core: Core, lookup: Lookup) -> Plan[list[Found]]:
    """Have a ticket evaluated, and look what stands under the tags.

    Returns:
        One for each number, in their order.

    Raises:
        ApiError: the ticket has expired or is not approved.
        ShareInvalid: the node brought shares that do not hold; take another ticket at another node.
        TagsDisagree: the directory contradicts itself.
    """
    tags = yield from _evaluate(core, lookup)
    flat = [one for tags_of_one in tags for one in tags_of_one]
    asked = AccountsRequest(tags=[TagValue(version=one.version, tag=one.tag.hex()) for one in flat])
    path = f"/v1/lookups/{lookup.ticket_id}/accounts"
    view = yield from _post(core, lookup.base, path, asked, AccountsView)
    if len(view.accounts) != len(flat):
        raise DecodeError(what="accounts", reason="not one for each tag")
    answers = iter(view.accounts)
    return [_found(one, [next(answers) for _ in one]) for one in tags]


def _found(tags: tuple[PersonTag, ...], accounts: list[str | None]) -> Found:
    named = dict.fromkeys(account for account in accounts if account is not None)
    if len(named) > 1:
        raise TagsDisagree
    known = tuple(tag for tag, account in zip(tags, accounts, strict=True) if account is not None)
    return Found(account=next(iter(named), None), tags=tags, known=known)


def _evaluate(core: Core, lookup: Lookup) -> Plan[list[tuple[PersonTag, ...]]]:
    """The tags of every number under every version in force."""
    asked = SharesRequest(elements=[one.element.encode().hex() for one in lookup.blinded])
    path = f"/v1/lookups/{lookup.ticket_id}/shares"
    for _ in range(_EVALUATIONS_MAX):
        view = yield from _post(core, lookup.base, path, asked, SharesView)
        columns = []
        for evaluation in view.evaluations:
            column = yield from _tags(core, lookup, evaluation)
            if column is None:
                break
            columns.append(column)
        else:
            return [tuple(column[place] for column in columns) for place in range(lookup.count)]
    raise Unavailable(what="directory key", reason="it is being renewed; try again")


def _tags(core: Core, lookup: Lookup, evaluation: EvaluationView) -> Plan[list[PersonTag] | None]:
    """The tags of every number under one version; None where the key has been renewed meanwhile."""
    suite = yield from exchange.suite(core)
    held = yield from _holders(core, evaluation.version, evaluation.renewal)
    if held is None:
        return None
    group, holders = held
    shares = {
        one.holder: [
            Share(
                holder=one.holder,
                element=bytes.fromhex(share.element),
                proof=EqualityProof(
                    challenge=bytes.fromhex(share.challenge), response=bytes.fromhex(share.response)
                ),
            )
            for share in one.shares
        ]
        for one in evaluation.holders
    }
    network = yield from exchange.network(core)
    context = share_context(
        bytes.fromhex(network.chain_id), bytes.fromhex(lookup.ticket_id), evaluation.version
    )
    combined = combined_elements(suite, group, holders, lookup.blinded, shares, context)
    return [
        PersonTag(version=evaluation.version, tag=tag(suite, group, number, one, element))
        for number, one, element in zip(lookup.numbers, lookup.blinded, combined, strict=True)
    ]


def _holders(core: Core, version: int, renewal: int) -> Plan[tuple[Group, Holders] | None]:
    """The holders' public keys, proven by the trusted validators; None where the ledger is at another renewal."""
    known = core.directory_keys.get((version, renewal))
    if known is not None:
        return known
    answer = yield from exchange.exchange(
        core, Request(method="GET", path=f"/v1/directory/keys/{version}/proof")
    )
    text = chain.text(answer)
    if core.trust is None:
        core.trust = trust_from_json((yield from chain.trust(core)))
    epochs = None
    if state_receipt_from_json(text).header.epoch > core.trust.validators.epoch:
        epochs = yield from chain.epochs(core)
    proven = proofs.verify_state(text, core.trust, epochs)
    name = SHARED_KEYS.key((KeyPurpose.DIRECTORY, version))
    if proven.key != name or proven.value is None:
        raise DecodeError(what="directory key", reason=f"version {version} is not proven")
    key = SHARED_KEYS.decode(proven.value)
    group = group_named(key.group)
    if group is None:
        raise DecodeError(what="directory key", reason=f"this release does not have the group {key.group}")
    if key.renewal != renewal:
        return None
    held = (group, Holders.load(group, key.keys))
    core.directory_keys[version, renewal] = held
    return held


def _post(core: Core, base: str, path: str, body: msgspec.Struct, kind: type[T]) -> Plan[T]:
    request = Request(method="POST", path=path, body=msgspec.json.encode(body), session=True, base=base)
    return decode((yield from exchange.exchange(core, request)), kind)
