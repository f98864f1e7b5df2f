"""Enrolment on a registrar's word, a person's keys and tags, and the rotation of the directory key."""

from __future__ import annotations

import pytest

from contracts.calls import (
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    PeopleEnroll,
    PeopleMoveTags,
    PeopleRetag,
    PeopleSetReachable,
    SuspendOrganization,
)
from contracts.directory import versions_in_force
from contracts.people_actions import SetLookupLimits, SetRegistrar
from contracts.people_calls import LookupsApprove, LookupsRequest, MovedTag
from contracts.people_records import (
    ASSERTION_LIFE_MS_MAX,
    BATCH_MAX,
    HOUR_MS,
    AssertionMethod,
    AssertionUse,
    LookupLimits,
    PersonTag,
    person_account_id,
)
from contracts.records import AccountKind, KeyRole
from contracts.shared_key_records import KeyPurpose
from contracts.state import (
    ACCOUNTS,
    LOOKUP_LIMITS,
    PERSON_TAG_COUNTS,
    PERSON_TAGS,
    PERSONS,
    REGISTRARS,
    SHARED_KEYS,
    SHARED_KEYS_IN_USE,
    Draft,
)
from ledger import codec
from tests.unit.contracts_world import (
    BANK,
    CLERK,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    EMPTY,
    LI,
    NODES,
    SHOP,
    SUITE,
    WANG,
    Actor,
    World,
    actor,
    assertion,
    directory_entries,
    enrolment,
    identity,
    new_key,
    own_element,
    person,
    tag_of,
)

ZHAO = person("zhao")
OTHER_CLERK = actor("department", "other clerk")


@pytest.fixture
def world() -> World:
    return World().populate()


def now(world: World, who: Actor = ZHAO, /, **changes: object) -> PeopleEnroll:
    """An enrolment that is as it should be, but for `changes`."""
    return enrolment(who, world.chain_id, world.time_ms, **changes)  # type: ignore[arg-type]


# --- enrolment ------------------------------------------------------------------------------------------------


def test_an_account_is_opened_on_a_clerks_word_brought_by_a_second_officer(world: World) -> None:
    account_id = world.done(DEPARTMENT, now(world))
    account = ACCOUNTS.get(world, account_id)
    record = PERSONS.get(world, account_id)
    assert account is not None
    assert record is not None
    assert (account.kind, account.name, account.credit_code) == (AccountKind.PERSON, "", "")
    assert [key.key_id for key in account.keys] == [ZHAO.key_id]
    assert (record.own_element, record.reachable) == (own_element(ZHAO), True)
    assert PERSON_TAGS.get(world, (1, tag_of(ZHAO).tag)) == account_id
    assert PERSON_TAG_COUNTS.get(world, 1) == 3


def test_nobody_chooses_the_id_of_a_persons_account(world: World) -> None:
    assert world.done(DEPARTMENT, now(world)) == person_account_id(SUITE, ZHAO.key_id)
    assert person_account_id(SUITE, WANG.key_id) != person_account_id(SUITE, ZHAO.key_id)


def test_there_is_one_account_for_a_number_and_one_for_a_first_key(world: World) -> None:
    world.done(DEPARTMENT, now(world))
    second = person("zhao", "tablet")
    fields = world.refused(DEPARTMENT, now(world, second, tags=(tag_of(ZHAO),)), "already_enrolled")
    assert fields == {"version": 1}
    fresh = (PersonTag(version=1, tag=identity("another number", 32)),)
    world.refused(DEPARTMENT, now(world, tags=fresh), "account_exists")


def test_who_is_enrolled_already_learns_of_the_attempt(world: World) -> None:
    result = world.run(DEPARTMENT, now(world, person("impostor"), tags=(tag_of(LI),)))
    assert result.code == "already_enrolled"
    assert LI.account in result.events[0].subjects


def test_an_enrolment_says_nothing_about_who_the_person_is(world: World) -> None:
    result = world.run(DEPARTMENT, now(world))
    tag = tag_of(ZHAO).tag
    for event in result.events:
        assert tag not in event.subjects
        assert tag.hex() not in {value for _, value in event.data}
        assert own_element(ZHAO).hex() not in {value for _, value in event.data}


def test_a_persons_first_key_is_a_holders_key(world: World) -> None:
    world.refused(DEPARTMENT, now(world, key=new_key(ZHAO, KeyRole.ADMIN)), "key_role_not_allowed")


def test_an_officer_of_an_organisation_without_the_role_enrols_nobody(world: World) -> None:
    world.refused(BANK, now(world), "not_a_registrar")
    by_bank = now(world, by=BANK)
    world.refused(DEPARTMENT, by_bank, "not_a_registrar")
    world.vote(SetRegistrar(account_id=DEPARTMENT.account, methods=(), uses=()))
    assert REGISTRARS.get(world, DEPARTMENT.account) is None
    world.refused(DEPARTMENT, now(world), "not_a_registrar")


def test_one_officer_alone_enrols_nobody(world: World) -> None:
    world.refused(CLERK, now(world), "second_officer")
    world.refused(DEPARTMENT, now(world, by=DEPARTMENT), "second_officer")
    world.done(CLERK, now(world, by=DEPARTMENT))


def test_a_registrar_asserts_only_what_operators_have_voted_for(world: World) -> None:
    remote = SetRegistrar(
        account_id=DEPARTMENT.account, methods=(AssertionMethod.FACE,), uses=(AssertionUse.ENROLL,)
    )
    world.vote(remote)
    assert world.refused(DEPARTMENT, now(world), "not_a_registrar")["method"] == "clerk"
    world.vote(
        SetRegistrar(
            account_id=DEPARTMENT.account, methods=(AssertionMethod.CLERK,), uses=(AssertionUse.RECOVER,)
        )
    )
    assert world.refused(DEPARTMENT, now(world), "not_a_registrar")["use"] == "enroll"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": bytes(32)}, "assertion_for_another"),
        ({"use": AssertionUse.RECOVER}, "assertion_for_another"),
        ({"key_id": LI.key_id}, "assertion_for_another"),
        ({"issuer": SHOP.account}, "not_a_registrar"),
        ({"tags": (tag_of(ZHAO, 2),)}, "tag_version"),
        ({"tags": (tag_of(ZHAO), tag_of(ZHAO, 2))}, "tag_version"),
        ({"tags": (tag_of(ZHAO), tag_of(ZHAO))}, "tag_version"),
        ({"own_element": b"\xc0" + bytes(47)}, "element_invalid"),
        ({"own_element": bytes(48)}, "element_invalid"),
        ({"own_element": own_element(ZHAO)[:-1]}, "element_invalid"),
    ],
)
def test_an_assertion_counts_for_exactly_what_it_says(
    world: World, changes: dict[str, object], code: str
) -> None:
    world.refused(DEPARTMENT, now(world, ZHAO, **changes), code)


def test_an_assertion_counts_for_an_hour_at_most_and_not_before_it_was_made(world: World) -> None:
    at = world.time_ms
    for issued, expires in (
        (at + 1, at + 2),
        (at - HOUR_MS, at),
        (at, at + ASSERTION_LIFE_MS_MAX + 1),
        (at, at - 1),
    ):
        changed = now(world, issued_ms=issued, expires_ms=expires)
        world.time_ms = at
        world.refused(DEPARTMENT, changed, "assertion_time")
    world.time_ms = at
    world.done(DEPARTMENT, now(world, issued_ms=at, expires_ms=at + ASSERTION_LIFE_MS_MAX))


def test_an_assertion_needs_the_signature_of_an_officers_key_that_counts_now(world: World) -> None:
    good = now(world)
    signed = good.assertion
    stranger = assertion(ZHAO, world.chain_id, world.time_ms, by=actor("department", "nobody"))
    admin = assertion(ZHAO, world.chain_id, world.time_ms, by=DEPARTMENT_ADMIN)
    swapped = type(signed)(assertion=signed.assertion, key_id=signed.key_id, signature=stranger.signature)
    for wrong in (stranger, admin, swapped):
        world.refused(DEPARTMENT, PeopleEnroll(assertion=wrong, key=good.key), "assertion_signature")
    world.done(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=CLERK.key_id))
    world.refused(DEPARTMENT, good, "assertion_signature")


def test_a_suspended_registrar_says_nothing_any_more(world: World) -> None:
    other = SetRegistrar(account_id=BANK.account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse))
    world.vote(other)
    world.vote(SuspendOrganization(account_id=DEPARTMENT.account, reason="abuse"))
    world.refused(BANK, now(world), "assertion_signature")


def test_nobody_is_enrolled_before_there_is_a_directory_key(world: World) -> None:
    for key in directory_entries():
        del world.entries[key]
    world.refused(DEPARTMENT, now(world), "directory_not_ready")


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (SetRegistrar(account_id=LI.account, methods=(), uses=()), "not_an_organization"),
        (SetRegistrar(account_id=identity("nobody"), methods=(), uses=()), "not_an_organization"),
        (
            SetRegistrar(
                account_id=BANK.account,
                methods=(AssertionMethod.FACE, AssertionMethod.FACE),
                uses=(AssertionUse.ENROLL,),
            ),
            "duplicate_name",
        ),
    ],
)
def test_only_organisations_become_registrars(world: World, action: SetRegistrar, code: str) -> None:
    from contracts.calls import GovernancePropose
    from tests.unit.contracts_world import OPERATORS

    world.refused(OPERATORS[0], GovernancePropose(action=action), code)


def test_quotas_are_the_operators_to_set(world: World) -> None:
    limits = LookupLimits(officer_max=1, organization_max=2, entry_max=3, person_max=4)
    world.vote(SetLookupLimits(limits=limits))
    assert LOOKUP_LIMITS.get(world, None) == limits


def test_a_person_says_whether_notices_arrive(world: World) -> None:
    world.done(LI, PeopleSetReachable(reachable=False))
    record = PERSONS.get(world, LI.account)
    assert record is not None
    assert not record.reachable


# --- rotation -------------------------------------------------------------------------------------------------


def second_version(world: World, *, in_use: bool = False) -> None:
    world.entries.update(directory_entries(2, in_use=in_use))


def retire_first(world: World) -> None:
    draft = Draft(EMPTY)
    SHARED_KEYS_IN_USE.put(draft, KeyPurpose.DIRECTORY, 2)
    world.entries.update({key: value for key, value in draft.writes.items() if value is not None})
    del world.entries[SHARED_KEYS.key((KeyPurpose.DIRECTORY, 1))]


def ticket(world: World, count: int = 1, *, approved: bool = True) -> bytes:
    ticket_id = world.done(
        DEPARTMENT,
        LookupsRequest(
            entry=NODES[0].account, count=count, elements_hash=identity("elements", 32), basis="rotation"
        ),
    )
    if approved:
        world.done(CLERK, LookupsApprove(ticket_id=ticket_id))
    return ticket_id


def move(who: Actor, known: int = 1, new: int = 2) -> MovedTag:
    return MovedTag(known=tag_of(who, known), new=tag_of(who, new))


def test_while_two_versions_are_in_force_a_newcomer_gets_a_tag_under_each(world: World) -> None:
    second_version(world)
    assert versions_in_force(world) == (1, 2)
    world.refused(DEPARTMENT, now(world), "tag_version")
    account = world.done(DEPARTMENT, now(world, tags=(tag_of(ZHAO), tag_of(ZHAO, 2))))
    assert {PERSON_TAGS.get(world, (v, tag_of(ZHAO, v).tag)) for v in (1, 2)} == {account}


def test_a_number_known_under_the_old_version_opens_no_second_account_under_the_new(world: World) -> None:
    second_version(world)
    tags = (tag_of(LI), tag_of(LI, 2))
    world.refused(DEPARTMENT, now(world, tags=tags), "already_enrolled")


def test_tags_are_moved_in_batches_under_a_ticket_that_two_officers_stand_behind(world: World) -> None:
    second_version(world)
    moves = PeopleMoveTags(ticket_id=ticket(world, 2), moves=(move(LI), move(WANG)))
    world.done(DEPARTMENT, moves)
    world.done(DEPARTMENT, moves)
    assert PERSON_TAG_COUNTS.get(world, 2) == 2
    retire_first(world)
    assert versions_in_force(world) == (2,)
    for who in (LI, WANG):
        assert PERSON_TAGS.get(world, (2, tag_of(who, 2).tag)) == who.account
    world.refused(DEPARTMENT, now(world, tags=(tag_of(LI, 2),)), "already_enrolled")


def test_a_tag_is_moved_by_nobody_who_does_not_know_it_and_to_nobody_else(world: World) -> None:
    second_version(world)
    one = ticket(world)
    unknown = MovedTag(known=tag_of(ZHAO), new=tag_of(ZHAO, 2))
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=(unknown,)), "unknown_tag")
    world.done(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=(move(LI),)))
    hijack = MovedTag(known=tag_of(WANG), new=tag_of(LI, 2))
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=(hijack,)), "tag_of_another")
    elsewhere = MovedTag(known=tag_of(WANG), new=tag_of(WANG, 3))
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=(elsewhere,)), "tag_version")


def test_tags_are_moved_only_under_an_own_approved_live_ticket_and_no_more_than_it_covers(
    world: World,
) -> None:
    second_version(world)
    alone = ticket(world, approved=False)
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=alone, moves=(move(LI),)), "ticket_not_approved")
    one = ticket(world)
    both = (move(LI), move(WANG))
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=both), "moves_exceed_ticket")
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=bytes(16), moves=both), "unknown_ticket")
    world.refused(BANK, PeopleMoveTags(ticket_id=one, moves=(move(LI),)), "not_a_registrar")
    world.vote(
        SetRegistrar(account_id=BANK.account, methods=(AssertionMethod.CLERK,), uses=(AssertionUse.RETAG,))
    )
    world.refused(BANK, PeopleMoveTags(ticket_id=one, moves=(move(LI),)), "ticket_of_another")
    world.time_ms += HOUR_MS
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=one, moves=(move(LI),)), "ticket_expired")


def test_a_batch_has_a_largest_size(world: World) -> None:
    many = tuple(move(LI) for _ in range(BATCH_MAX + 1))
    world.refused(DEPARTMENT, PeopleMoveTags(ticket_id=bytes(16), moves=many), "malformed_call")


def test_a_person_comes_back_after_the_old_version_was_retired_with_key_and_clerk(world: World) -> None:
    second_version(world)
    retire_first(world)
    element = own_element(ZHAO)
    said = assertion(
        LI,
        world.chain_id,
        world.time_ms,
        use=AssertionUse.RETAG,
        tags=(tag_of(LI, 2),),
        own_element=element,
    )
    world.refused(WANG, PeopleRetag(assertion=said), "assertion_for_another")
    world.done(LI, PeopleRetag(assertion=said))
    assert PERSON_TAGS.get(world, (2, tag_of(LI, 2).tag)) == LI.account
    record = PERSONS.get(world, LI.account)
    assert record is not None
    assert record.own_element == element
    theirs = assertion(WANG, world.chain_id, world.time_ms, use=AssertionUse.RETAG, tags=(tag_of(LI, 2),))
    world.refused(WANG, PeopleRetag(assertion=theirs), "tag_of_another")


def test_an_assertion_has_one_encoding(world: World) -> None:
    signed = now(world).assertion
    data = codec.encode(signed)
    assert codec.encode(codec.decode(data, type(signed), size_bytes_max=4096)) == data


def test_a_second_clerk_may_be_added(world: World) -> None:
    world.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=new_key(OTHER_CLERK, KeyRole.OFFICER)))
    world.done(DEPARTMENT, now(world, by=OTHER_CLERK))
