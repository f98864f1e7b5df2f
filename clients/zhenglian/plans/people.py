"""Plans about people: identify, enrol, keys, recovery, rotation of tags.

Rule: who identifies a person and who brings the identification to the ledger are two keys. An identity number stays in the process
that looks it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.calls import NewKey, PeopleAddKey, PeopleRevokeKey
from contracts.people_calls import (
    MovedTag,
    PeopleEnroll,
    PeopleMoveTags,
    PeopleRetag,
    PeopleSetReachable,
    RecoveriesConfirm,
    RecoveriesOpen,
    RecoveriesVeto,
)
from contracts.people_records import (
    HOUR_MS,
    AssertionMethod,
    AssertionUse,
    IdentityAssertion,
    SignedAssertion,
)
from ledger import codec, domains
from ledger.crypto.suite import key_id
from ledger.crypto.threshold.groups import group_of
from ledger.errors import Category, LedgerError
from zhenglian import exchange
from zhenglian.api import TransactionView
from zhenglian.api_people import RecoveryView
from zhenglian.exchange import Core, Plan, get
from zhenglian.own_numbers import IdentityRequest, OwnSecret, check_request
from zhenglian.own_numbers import identity_request as make_request
from zhenglian.plans import lookups, transactions

# Block time may be behind the clock of whoever signs.
CLOCK_MARGIN_MS: Final = 5 * 60 * 1000
ASSERTION_LIFE_MS: Final = HOUR_MS - CLOCK_MARGIN_MS
NO_EVIDENCE: Final = bytes(32)


class AlreadyEnrolled(LedgerError):
    """The identity number has an account. Fields: account."""

    code = "already_enrolled"
    category = Category.CONFLICT
    zh = "此人已开户：{account}"
    en = "This person is already enrolled: {account}"


class NotEnrolled(LedgerError):
    """The identity number has no account."""

    code = "not_enrolled"
    category = Category.MISSING
    zh = "此人尚未开户"
    en = "This person is not enrolled"


def identity_request(core: Core, number: str, key: NewKey) -> Plan[tuple[IdentityRequest, OwnSecret]]:
    """What a person hands to whoever identifies it, and the secret that it keeps.

    Args:
        number: the person's own; stays in this process.
        key: the public half of the key to be bound (for a retag: one that the account has).
    """
    suite = yield from exchange.suite(core)
    return make_request(suite, group_of(suite), number, key)


def assert_identity(
    core: Core,
    number: str,
    request: IdentityRequest,
    *,
    use: AssertionUse = AssertionUse.ENROLL,
    method: AssertionMethod = AssertionMethod.CLERK,
    reachable: bool = True,
    evidence: bytes = NO_EVIDENCE,
) -> Plan[SignedAssertion]:
    """Say, as a registrar's officer, that the owner of a key is the person of a number. Takes a ticket.

    Args:
        number: stays in this process.
        request: what the person handed over; its element is proven to be of this number.
        use: what the assertion is for.
        method: how the person was identified.
        reachable: whether the person has a channel on which notices arrive.
        evidence: 32-byte hash of what is kept off the chain.

    Raises:
        DecodeError: the request is not of this number.
        AlreadyEnrolled: to enrol, and the number has an account.
        NotEnrolled: to recover, and the number has none.
    """
    suite = yield from exchange.suite(core)
    element = check_request(suite, group_of(suite), number, request)
    lookup = yield from lookups.open_lookup(core, (number,), basis=use.value)
    (found,) = yield from lookups.finish_lookup(core, lookup)
    if use is AssertionUse.ENROLL and found.account is not None:
        raise AlreadyEnrolled(account=found.account)
    if use is AssertionUse.RECOVER and found.account is None:
        raise NotEnrolled
    network = yield from exchange.network(core)
    signer = core.signer()
    key = request.key()
    issued_ms = core.clock_ms() - CLOCK_MARGIN_MS
    assertion = IdentityAssertion(
        chain_id=bytes.fromhex(network.chain_id),
        issuer=bytes.fromhex(signer.account),
        use=use,
        method=method,
        key_id=key_id(suite, key.scheme, key.public_key),
        tags=found.tags,
        own_element=element,
        reachable=reachable,
        evidence=evidence,
        issued_ms=issued_ms,
        expires_ms=issued_ms + ASSERTION_LIFE_MS,
    )
    signature = signer.signer().sign(domains.IDENTITY_ASSERTION, codec.encode(assertion))
    return SignedAssertion(assertion=assertion, key_id=bytes.fromhex(signer.key_id), signature=signature)


def enroll(core: Core, key: NewKey, assertion: SignedAssertion) -> Plan[str]:
    """Open a person's account, as another officer than the one who signed the assertion.

    Returns:
        The account id, hex.
    """
    view = yield from transactions.settled(core, PeopleEnroll(assertion=assertion, key=key))
    return transactions.output(view).hex()


def add_person_key(core: Core, key: NewKey) -> Plan[TransactionView]:
    """Add a key (another device) to the own account."""
    return (yield from transactions.settled(core, PeopleAddKey(key=key)))


def revoke_person_key(core: Core, key_id: str) -> Plan[TransactionView]:
    """Revoke a key of the own account."""
    return (yield from transactions.settled(core, PeopleRevokeKey(key_id=bytes.fromhex(key_id))))


def set_reachable(core: Core, reachable: bool) -> Plan[TransactionView]:
    """Say whether notices arrive; without a channel, a recovery takes two identifications in person."""
    return (yield from transactions.settled(core, PeopleSetReachable(reachable=reachable)))


def recover(core: Core, key: NewKey, assertion: SignedAssertion) -> Plan[str]:
    """Open a recovery, as the officer of a registrar that has identified the person.

    Returns:
        The account id, hex.
    """
    view = yield from transactions.settled(core, RecoveriesOpen(assertion=assertion, key=key))
    return transactions.output(view).hex()


def confirm_recovery(core: Core, account: str, assertion: SignedAssertion) -> Plan[TransactionView]:
    """Confirm a recovery, as the officer of another registrar that has identified the person too."""
    args = RecoveriesConfirm(account=bytes.fromhex(account), assertion=assertion)
    return (yield from transactions.settled(core, args))


def veto_recovery(core: Core) -> Plan[TransactionView]:
    """End a recovery of the own account: that was not me."""
    return (yield from transactions.settled(core, RecoveriesVeto()))


def recovery(core: Core, account: str) -> Plan[RecoveryView]:
    """The latest recovery of an account."""
    return (yield from get(core, f"/v1/people/{account}/recovery", RecoveryView, session=True))


def retag(core: Core, assertion: SignedAssertion) -> Plan[TransactionView]:
    """Take the own tags under every version of the directory key in force, on a registrar's word."""
    return (yield from transactions.settled(core, PeopleRetag(assertion=assertion)))


def move_tags(core: Core, lookup: lookups.Lookup, found: Sequence[lookups.Found]) -> Plan[int]:
    """Write the tags of known people under versions where they have none yet, under an approved ticket.

    Returns:
        How many were written.
    """
    moves = tuple(
        MovedTag(known=one.known[0], new=new)
        for one in found
        if one.known
        for new in one.tags
        if new not in one.known
    )
    for start in range(0, len(moves), lookup.count):
        args = PeopleMoveTags(
            ticket_id=bytes.fromhex(lookup.ticket_id), moves=moves[start : start + lookup.count]
        )
        yield from transactions.settled(core, args)
    return len(moves)
