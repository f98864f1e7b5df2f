"""Recovery (找回): another key for a person who has lost every one.

    opened by one registrar's officer → pending, once an officer of another has confirmed → completed after 72 hours
    vetoed by any key that the person still has, at any moment before; lapsed where nobody has confirmed in time

Rule: two organisations that each have identified the person, and time for the person to object; never before that time, and never
against a veto. What completes it is the clock alone (`deadlines.tick`), if the word of both organisations still counts then; and no
word serves a second recovery. Completing revokes all earlier keys, and for seven days the account gives nothing away
(`people.check_unrestricted`). Nobody but the person's own key ever signs a grant.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.denials import Denied
from contracts.directory import person_of
from contracts.keys import find_key, make_key, usable, with_key
from contracts.methods import GRANTEE_OFFICER, PERSON, CallContext, method
from contracts.people_calls import RecoveriesConfirm, RecoveriesOpen, RecoveriesVeto
from contracts.people_records import (
    RECOVERY_CONFIRM_MS,
    RECOVERY_DELAY_MS,
    RESTRICTION_MS,
    AssertionMethod,
    AssertionUse,
    IdentityAssertion,
    PersonTags,
    Recovery,
    RecoveryState,
)
from contracts.records import Account, Key, KeyRole
from contracts.registrars import ASSERTION_COST, asserts, check_assertion
from contracts.schedule import schedule
from contracts.state import ACCOUNTS, PERSONS, RECOVERIES, DeadlineKind, StateReader, present
from contracts.versions import Contract
from ledger import codec

KEY_SIZE_BYTES_MAX: Final = 1024
UNDER_WAY: Final = (RecoveryState.OPENED, RecoveryState.PENDING)


def _whom(state: StateReader, args: RecoveriesOpen) -> tuple[bytes, ...]:
    account = person_of(state, args.assertion.assertion.tags)
    return () if account is None else (account,)


@method(RecoveriesOpen, callers=GRANTEE_OFFICER, cost=40 + ASSERTION_COST, concerns=_whom)
def open_recovery(context: CallContext, args: RecoveriesOpen) -> bytes:
    """Begin, on the word of the caller's own organisation."""
    key = make_key(context, args.key, (KeyRole.HOLDER,))
    latest_ms = context.time_ms + RECOVERY_CONFIRM_MS + RECOVERY_DELAY_MS
    if key.valid_until_ms != 0 and key.valid_until_ms <= latest_ms:
        raise Denied("ends_in_the_past", end_ms=key.valid_until_ms, time_ms=latest_ms)
    assertion = check_assertion(context, args.assertion, AssertionUse.RECOVER, key.key_id)
    account = _account_of(context, assertion)
    _check_issuer(context, assertion)
    _check_presence(context, account.account_id, assertion)
    before = RECOVERIES.get(context.state, account.account_id)
    if before is not None and before.state in UNDER_WAY:
        raise Denied("recovery_under_way", account=account.account_id.hex())
    fresh_from_ms = 0 if before is None else before.state_since_ms
    _check_fresh(assertion, fresh_from_ms)
    if find_key(account, key.key_id) is not None:
        raise Denied("key_exists", key_id=key.key_id.hex())
    recovery = Recovery(
        account=account.account_id,
        key_id=key.key_id,
        key=codec.encode(key),
        own_element=assertion.own_element,
        opened_by=context.account.account_id,
        opened_key=context.key.key_id,
        confirmed_by=b"",
        confirmed_key=b"",
        state=RecoveryState.OPENED,
        state_since_ms=context.time_ms,
        completes_ms=context.time_ms + RECOVERY_CONFIRM_MS,
        fresh_from_ms=fresh_from_ms,
    )
    _put(context, recovery, assertion)
    return account.account_id


@method(
    RecoveriesConfirm,
    callers=GRANTEE_OFFICER,
    cost=40 + ASSERTION_COST,
    concerns=lambda _state, args: (args.account,),
)
def confirm(context: CallContext, args: RecoveriesConfirm) -> None:
    """Confirm what another organisation has opened; the delay begins."""
    recovery = RECOVERIES.get(context.state, args.account)
    if (
        recovery is None
        or recovery.state is not RecoveryState.OPENED
        or context.time_ms >= recovery.completes_ms
    ):
        raise Denied("no_recovery", account=args.account.hex(), step="confirm")
    assertion = check_assertion(context, args.assertion, AssertionUse.RECOVER, recovery.key_id)
    if _account_of(context, assertion).account_id != args.account:
        raise Denied("assertion_for_another", what="person")
    _check_issuer(context, assertion)
    _check_presence(context, args.account, assertion)
    _check_fresh(assertion, recovery.fresh_from_ms)
    if context.account.account_id == recovery.opened_by:
        raise Denied("same_organization")
    # A key may be in the accounts of two organisations; its owner is one officer.
    if recovery.opened_key in {context.key.key_id, args.assertion.key_id}:
        raise Denied("own_approval")
    pending = replace(
        recovery,
        # Of the person's latest request: that one's secret it keeps.
        own_element=assertion.own_element,
        confirmed_by=context.account.account_id,
        confirmed_key=context.key.key_id,
        state=RecoveryState.PENDING,
        state_since_ms=context.time_ms,
        completes_ms=context.time_ms + RECOVERY_DELAY_MS,
    )
    _put(context, pending, assertion)


@method(RecoveriesVeto, callers=PERSON, cost=20)
def veto(context: CallContext, _args: RecoveriesVeto) -> None:
    """End a recovery of the own account."""
    account_id = context.account.account_id
    recovery = RECOVERIES.get(context.state, account_id)
    if recovery is None or recovery.state not in UNDER_WAY:
        raise Denied("no_recovery", account=account_id.hex(), step="veto")
    vetoed = replace(recovery, state=RecoveryState.VETOED, state_since_ms=context.time_ms)
    RECOVERIES.put(context.state, account_id, vetoed)
    context.emit("recoveries.vetoed", account_id, (recovery.opened_by, recovery.confirmed_by))


def carry_on(context: CallContext, account_id: bytes) -> None:
    """What a deadline does: complete what is pending and due, let lapse what nobody has confirmed."""
    recovery = present(RECOVERIES.get(context.state, account_id), "a recovery with a deadline")
    if recovery.state not in UNDER_WAY or context.time_ms < recovery.completes_ms:
        return
    parties = (recovery.opened_by, recovery.confirmed_by)
    if recovery.state is RecoveryState.OPENED or not _complete(context, recovery):
        ended = replace(recovery, state=RecoveryState.LAPSED, state_since_ms=context.time_ms)
        RECOVERIES.put(context.state, account_id, ended)
        context.emit("recoveries.lapsed", account_id, parties)
        return
    ended = replace(recovery, state=RecoveryState.COMPLETED, state_since_ms=context.time_ms)
    RECOVERIES.put(context.state, account_id, ended)
    until_ms = context.time_ms + RESTRICTION_MS
    context.emit(
        "recoveries.completed", account_id, parties, new_key=recovery.key_id, restricted_until_ms=until_ms
    )


def _complete(context: CallContext, recovery: Recovery) -> bool:
    """Bind the new key, revoke all others, and restrict the account.

    Nothing is done, and the answer is False, where one of the two organisations may assert no more, or the new key does not count:
    it has ended, or the person has added and revoked it meanwhile. Nobody is locked out.
    """
    for registrar in (recovery.opened_by, recovery.confirmed_by):
        if not asserts(context.state, registrar, AssertionUse.RECOVER):
            return False
    time_ms = context.time_ms
    account = present(ACCOUNTS.get(context.state, recovery.account), "the account of a recovery")
    made = codec.decode(recovery.key, Key, size_bytes_max=KEY_SIZE_BYTES_MAX)
    key = find_key(account, recovery.key_id) or replace(made, valid_from_ms=time_ms)
    if not usable(key, time_ms):
        return False
    keys = tuple(
        replace(held, revoked_ms=time_ms) if usable(held, time_ms) and held.key_id != key.key_id else held
        for held in account.keys
    )
    account = replace(account, keys=keys, restricted_until_ms=time_ms + RESTRICTION_MS)
    if find_key(account, key.key_id) is None:
        account = with_key(account, key, time_ms)
    ACCOUNTS.put(context.state, account.account_id, account)
    person = present(PERSONS.get(context.state, account.account_id), "the record of a person")
    PERSONS.put(
        context.state,
        account.account_id,
        replace(person, own_element=recovery.own_element),
    )
    return True


def _put(context: CallContext, recovery: Recovery, assertion: IdentityAssertion) -> None:
    RECOVERIES.put(context.state, recovery.account, recovery)
    schedule(context.state, recovery.completes_ms, DeadlineKind.RECOVERY, recovery.account)
    context.emit(
        "recoveries.opened" if recovery.state is RecoveryState.OPENED else "recoveries.confirmed",
        recovery.account,
        (),
        method=assertion.method.value,
        new_key=recovery.key_id,
        evidence=assertion.evidence,
        completes_ms=recovery.completes_ms,
    )


def _account_of(context: CallContext, assertion: IdentityAssertion) -> Account:
    """The account of the person that the assertion is about.

    Raises:
        Denied: unknown_tag, tag_of_another.
    """
    tags: PersonTags = assertion.tags
    found = person_of(context.state, tags)
    if found is None:
        raise Denied("unknown_tag", version=tags[0].version)
    for one in tags:
        if person_of(context.state, (one,)) not in {found, None}:
            raise Denied("tag_of_another", version=one.version)
    return present(ACCOUNTS.get(context.state, found), "the account of a tag")


def _check_issuer(context: CallContext, assertion: IdentityAssertion) -> None:
    """Each organisation brings its own word, so that two of them have looked."""
    if assertion.issuer != context.account.account_id:
        raise Denied("assertion_for_another", what="organisation")


def _check_fresh(assertion: IdentityAssertion, fresh_from_ms: int) -> None:
    """What was said before the last recovery ended was said for that one; a veto ends it with it."""
    if assertion.issued_ms < fresh_from_ms:
        raise Denied("assertion_stale", ended_ms=fresh_from_ms)


def _check_presence(context: CallContext, account_id: bytes, assertion: IdentityAssertion) -> None:
    person = present(PERSONS.get(context.state, account_id), "the record of a person")
    if not person.reachable and assertion.method is not AssertionMethod.CLERK:
        raise Denied("in_person_only")


METHODS: Final = (open_recovery, confirm, veto)
CONTRACT: Final = Contract(name="recoveries", methods=METHODS, on_deadline=carry_on)
