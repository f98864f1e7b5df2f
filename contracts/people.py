"""People: opening an account, the person's keys, and the tags under which the account is found.

Rule: nothing here says who a person is. An account is opened on the word of a registrar, brought by a second officer; its id
commits to its first key; there is one account for each tag, and one tag of an account for each version; events never carry a tag.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.directory import person_of, versions_in_force
from contracts.keys import find_key, make_key, same_officer, usable, with_key, without_key
from contracts.lookups import check_usable
from contracts.methods import GRANTEE_OFFICER, PERSON, CallContext, method
from contracts.people_calls import (
    PeopleAddKey,
    PeopleEnroll,
    PeopleMoveTags,
    PeopleRetag,
    PeopleRevokeKey,
    PeopleSetReachable,
)
from contracts.people_records import (
    VERSIONS_IN_FORCE_MAX,
    AssertionUse,
    Person,
    PersonTag,
    PersonTags,
    SignedAssertion,
    Ticket,
    person_account_id,
)
from contracts.records import Account, AccountKind, AccountStatus, KeyRole
from contracts.registrars import ASSERTION_COST, check_assertion, check_registrar
from contracts.state import (
    ACCOUNTS,
    PERSON_TAG_COUNTS,
    PERSON_TAGS,
    PERSONS,
    TICKETS,
    Draft,
    StateReader,
    present,
)

_MOVE_COST: Final = 10


def _enrolled_already(state: StateReader, args: PeopleEnroll) -> tuple[bytes, ...]:
    """Whoever stands under the tags: that somebody tried to open a second account is that person's business."""
    account = person_of(state, args.assertion.assertion.tags)
    return () if account is None else (account,)


@method(PeopleEnroll, callers=GRANTEE_OFFICER, cost=40 + ASSERTION_COST, concerns=_enrolled_already)
def enroll(context: CallContext, args: PeopleEnroll) -> bytes:
    """Open a person's account with its first key."""
    check_registrar(context.state, context.account.account_id, AssertionUse.ENROLL)
    _check_second_officer(context, args.assertion)
    key = make_key(context, args.key, (KeyRole.HOLDER,))
    assertion = check_assertion(context, args.assertion, AssertionUse.ENROLL, key.key_id)
    known = next((one for one in assertion.tags if person_of(context.state, (one,)) is not None), None)
    if known is not None:
        raise Denied("already_enrolled", version=known.version)
    account_id = person_account_id(context.block.suite, key.key_id)
    if ACCOUNTS.get(context.state, account_id) is not None:
        raise Denied("account_exists", account=account_id.hex())
    account = Account(
        account_id=account_id,
        kind=AccountKind.PERSON,
        status=AccountStatus.ACTIVE,
        name="",
        credit_code="",
        issues=(),
        created_ms=context.time_ms,
        keys=(key,),
    )
    ACCOUNTS.put(context.state, account_id, account)
    person = Person(own_element=assertion.own_element, reachable=assertion.reachable, tagged=())
    PERSONS.put(context.state, account_id, person)
    _tag(context.state, account_id, assertion.tags)
    context.emit(
        "people.enrolled",
        account_id,
        (assertion.issuer,),
        method=assertion.method.value,
        issuer=assertion.issuer,
        asserted_by=args.assertion.key_id,
        evidence=assertion.evidence,
    )
    return account_id


@method(PeopleAddKey, callers=PERSON, cost=20)
def add_key(context: CallContext, args: PeopleAddKey) -> bytes:
    """Add a key to the own account."""
    key = make_key(context, args.key, (KeyRole.HOLDER,))
    ACCOUNTS.put(context.state, context.account.account_id, with_key(context.account, key, context.time_ms))
    context.emit("people.key_added", key.key_id, (), label=key.label)
    return key.key_id


@method(PeopleRevokeKey, callers=PERSON, cost=20)
def revoke_key(context: CallContext, args: PeopleRevokeKey) -> None:
    """Revoke a key of the own account."""
    account = without_key(context.account, args.key_id, KeyRole.HOLDER, context.time_ms)
    ACCOUNTS.put(context.state, account.account_id, account)
    context.emit("people.key_revoked", args.key_id, ())


@method(PeopleSetReachable, callers=PERSON, cost=15)
def set_reachable(context: CallContext, args: PeopleSetReachable) -> None:
    """Say whether notices arrive."""
    account_id = context.account.account_id
    person = present(PERSONS.get(context.state, account_id), "the record of a person")
    PERSONS.put(context.state, account_id, replace(person, reachable=args.reachable))
    context.emit("people.reachable_set", account_id, (), reachable=int(args.reachable))


@method(PeopleRetag, callers=PERSON, cost=30 + ASSERTION_COST)
def retag(context: CallContext, args: PeopleRetag) -> None:
    """Take one's tags under every version in force, on a registrar's word."""
    account_id = context.account.account_id
    signed = args.assertion.assertion
    key = find_key(context.account, signed.key_id)
    if key is None or not usable(key, context.time_ms):
        raise Denied("assertion_for_another", what="key")
    assertion = check_assertion(context, args.assertion, AssertionUse.RETAG, signed.key_id)
    _tag(context.state, account_id, assertion.tags)
    person = present(PERSONS.get(context.state, account_id), "the record of a person")
    PERSONS.put(context.state, account_id, replace(person, own_element=assertion.own_element))
    context.emit("people.tags_moved", account_id, (assertion.issuer,), tags=len(assertion.tags))


@method(
    PeopleMoveTags,
    callers=GRANTEE_OFFICER,
    cost=30,
    extra_cost=lambda args: _MOVE_COST * len(args.moves),
    concerns=lambda _state, args: (args.ticket_id,),
)
def move_tags(context: CallContext, args: PeopleMoveTags) -> int:
    """Write the tags of known people under another version in force. Output: how many."""
    check_registrar(context.state, context.account.account_id, AssertionUse.RETAG)
    ticket = _ticket_for_moves(context, args)
    versions = versions_in_force(context.state)
    written = 0
    for move in args.moves:
        if move.new.version not in versions or move.known.version not in versions:
            given = f"{move.known.version}, {move.new.version}"
            raise Denied("tag_version", version=given, current=", ".join(map(str, versions)))
        account_id = person_of(context.state, (move.known,))
        if account_id is None:
            raise Denied("unknown_tag", version=move.known.version)
        written += _tag(context.state, account_id, (move.new,))
    # Each element has one value under each version; one of them was known.
    if ticket.moved + written > ticket.count * (len(versions) - 1):
        raise Denied(
            "moves_exceed_ticket",
            ticket=args.ticket_id.hex(),
            count=ticket.count,
            moves=ticket.moved + written,
        )
    TICKETS.put(context.state, args.ticket_id, replace(ticket, moved=ticket.moved + written))
    context.emit("people.tags_moved", args.ticket_id, (), tags=len(args.moves), count=ticket.count)
    return len(args.moves)


def restricted(account: Account, time_ms: int) -> bool:
    """Whether a person's account was recovered so lately that it consents to, exports and opens nothing."""
    return time_ms < account.restricted_until_ms


def check_unrestricted(context: CallContext, account_id: bytes) -> None:
    """Check that an account may give something away.

    Raises:
        Denied: account_restricted.
    """
    account = ACCOUNTS.get(context.state, account_id)
    if account is not None and restricted(account, context.time_ms):
        raise Denied("account_restricted", until_ms=account.restricted_until_ms)


def _ticket_for_moves(context: CallContext, args: PeopleMoveTags) -> Ticket:
    """The ticket under which the tags were computed; two officers stand behind it however few they are."""
    name = args.ticket_id.hex()
    ticket = TICKETS.get(context.state, args.ticket_id)
    if ticket is None:
        raise Denied("unknown_ticket", ticket=name)
    if ticket.account != context.account.account_id:
        raise Denied("ticket_of_another", ticket=name)
    check_usable(context.state, ticket, context.time_ms)
    if not ticket.approver:
        raise Denied("ticket_not_approved", ticket=name)
    if len(args.moves) > ticket.count:
        raise Denied("moves_exceed_ticket", ticket=name, count=ticket.count, moves=len(args.moves))
    return ticket


def _check_second_officer(context: CallContext, signed: SignedAssertion) -> None:
    """One officer identifies the person and another brings it; a staff number says whose a key is within one organisation."""
    own = context.account.account_id
    key = find_key(context.account, signed.key_id) if signed.assertion.issuer == own else None
    if signed.key_id == context.key.key_id or (key is not None and same_officer(key, context.key)):
        raise Denied("second_officer")


def _tag(state: Draft, account_id: bytes, tags: PersonTags | tuple[PersonTag, ...]) -> int:
    """Have an account found under these tags, one for each version; how many of them are new.

    Raises:
        Denied: tag_of_another, tagged_otherwise.
    """
    person = present(PERSONS.get(state, account_id), "the record of a person")
    tagged = set(person.tagged)
    written = 0
    for one in tags:
        held = person_of(state, (one,))
        if held is None:
            if one.version in tagged:
                raise Denied("tagged_otherwise", version=one.version)
            PERSON_TAGS.put(state, (one.version, one.tag), account_id)
            PERSON_TAG_COUNTS.put(state, one.version, (PERSON_TAG_COUNTS.get(state, one.version) or 0) + 1)
            tagged.add(one.version)
            written += 1
        elif held != account_id:
            raise Denied("tag_of_another", version=one.version)
    if written:
        latest = tuple(sorted(tagged)[-VERSIONS_IN_FORCE_MAX:])
        PERSONS.put(state, account_id, replace(person, tagged=latest))
    return written


METHODS: Final = (enroll, add_key, revoke_key, set_reachable, retag, move_tags)
