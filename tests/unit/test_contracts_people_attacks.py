"""Attacks on who people are: a word used twice, an officer with two keys, a registrar without its right, and the week after.

Each of these went through once; see the rule in the contract that it names.
"""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from contracts.calls import (
    DeadlinesTick,
    OrganizationsAddKey,
    OrganizationsRevokeKey,
    PeopleAddKey,
    PeopleMoveTags,
    PeopleRetag,
    PeopleRevokeKey,
    ReleasesRequest,
    SuspendOrganization,
)
from contracts.grant_calls import GrantsOpenOwn
from contracts.keys import usable
from contracts.people_actions import SetRegistrar
from contracts.people_calls import LookupsApprove, LookupsRequest, MovedTag, RecoveriesVeto
from contracts.people_records import (
    RECOVERY_DELAY_MS,
    AssertionMethod,
    AssertionUse,
    PersonTag,
    RecoveryState,
)
from contracts.records import KeyRole
from contracts.state import PERSON_TAGS, PERSONS
from tests.unit.contracts_world import (
    BANK,
    BANK_ADMIN,
    CLERK,
    DEPARTMENT,
    DEPARTMENT_ADMIN,
    LI,
    NODES,
    WANG,
    Actor,
    World,
    actor,
    assertion,
    directory_entries,
    enrolment,
    identity,
    json_of,
    new_key,
    own_element,
    person,
    preparation,
    tag_of,
)
from tests.unit.test_contracts_recoveries import (
    AT_NEW,
    MINUTE_MS,
    NEW,
    account_of,
    complete,
    confirming,
    held,
    notary,
    opening,
    pending,
    tick,
    word,
)

UNENROLLED: Final = person("zhao")
# A second key of the department's first officer: a card beside the file, under one staff number.
CARD: Final = actor("department", "card")


@pytest.fixture
def world() -> World:
    made = World().populate()
    notary(made)
    return made


def retag(world: World, who: Actor, tags: tuple[PersonTag, ...]) -> PeopleRetag:
    said = assertion(who, world.chain_id, world.time_ms, use=AssertionUse.RETAG, tags=tags)
    return PeopleRetag(assertion=said)


def approved_ticket(world: World, count: int = 1) -> bytes:
    asked = LookupsRequest(
        entry=NODES[0].account, count=count, elements_hash=identity("elements", 32), basis="rotation"
    )
    ticket_id = world.done(DEPARTMENT, asked)
    world.done(CLERK, LookupsApprove(ticket_id=ticket_id))
    return ticket_id


def moved(who: Actor, tag: PersonTag) -> tuple[MovedTag, ...]:
    return (MovedTag(known=tag_of(who), new=tag),)


# --- one number for an account ----------------------------------------------------------------------------------


def test_no_registrars_word_lets_an_account_stand_under_a_second_number(world: World) -> None:
    world.refused(LI, retag(world, LI, (tag_of(UNENROLLED),)), "tagged_otherwise")
    assert PERSON_TAGS.get(world, (1, tag_of(UNENROLLED).tag)) is None
    world.done(LI, retag(world, LI, (tag_of(LI),)))


def test_a_ticket_moves_no_account_under_a_second_number_of_one_version(world: World) -> None:
    world.entries.update(directory_entries(2, in_use=False))
    ticket_id = approved_ticket(world, 3)
    for stolen in (tag_of(UNENROLLED), PersonTag(version=1, tag=identity("any", 32))):
        call = PeopleMoveTags(ticket_id=ticket_id, moves=moved(LI, stolen))
        world.refused(DEPARTMENT, call, "tagged_otherwise")
    world.done(DEPARTMENT, PeopleMoveTags(ticket_id=ticket_id, moves=moved(LI, tag_of(LI, 2))))
    again = PeopleMoveTags(ticket_id=ticket_id, moves=moved(LI, tag_of(UNENROLLED, 2)))
    world.refused(DEPARTMENT, again, "tagged_otherwise")
    record = PERSONS.get(world, LI.account)
    assert record is not None
    assert record.tagged == (1, 2)


def test_a_ticket_moves_no_more_tags_in_all_than_it_has_elements_for(world: World) -> None:
    world.entries.update(directory_entries(2, in_use=False))
    ticket_id = approved_ticket(world)
    for _ in range(2):
        world.done(DEPARTMENT, PeopleMoveTags(ticket_id=ticket_id, moves=moved(LI, tag_of(LI, 2))))
    call = PeopleMoveTags(ticket_id=ticket_id, moves=moved(WANG, tag_of(WANG, 2)))
    fields = world.refused(DEPARTMENT, call, "moves_exceed_ticket")
    assert (fields["count"], fields["moves"]) == (1, 2)


def test_what_is_recorded_of_versions_is_bounded(world: World) -> None:
    for version in range(2, 7):
        world.entries.update(directory_entries(version))
        tags = tuple(tag_of(LI, one) for one in (version - 1, version))
        world.done(LI, retag(world, LI, tags))
        record = PERSONS.get(world, LI.account)
        assert record is not None
        assert record.tagged == tuple(range(max(1, version - 2), version + 1))


def test_a_revoked_key_is_vouched_for_no_more(world: World) -> None:
    tablet = Actor(LI.account, person("li", "tablet").signer)
    world.done(LI, PeopleAddKey(key=new_key(tablet, KeyRole.HOLDER)))
    call = retag(world, tablet, (tag_of(LI),))
    world.done(LI, PeopleRevokeKey(key_id=tablet.key_id))
    world.refused(LI, call, "assertion_for_another")


# --- one officer with two keys ----------------------------------------------------------------------------------


def carded(world: World) -> None:
    """The first officer has a second key, under the same staff number."""
    label = next(key.label for key in account_of(world, DEPARTMENT).keys if key.key_id == DEPARTMENT.key_id)
    key = replace(new_key(CARD, KeyRole.OFFICER), label=label)
    world.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=key))


def test_an_officers_second_key_is_no_second_officer_for_a_batch(world: World) -> None:
    carded(world)
    asked = LookupsRequest(entry=NODES[0].account, count=2, elements_hash=bytes(32), basis="service")
    ticket_id = world.done(DEPARTMENT, asked)
    world.refused(CARD, LookupsApprove(ticket_id=ticket_id), "own_approval")
    world.done(CLERK, LookupsApprove(ticket_id=ticket_id))


def test_an_officers_second_key_is_no_second_officer_for_an_enrolment(world: World) -> None:
    carded(world)
    call = enrolment(UNENROLLED, world.chain_id, world.time_ms, by=DEPARTMENT)
    world.refused(CARD, call, "second_officer")
    world.done(CLERK, call)


def test_keys_without_a_staff_number_are_told_apart_by_themselves(world: World) -> None:
    spare = actor("department", "spare")
    for one in (CARD, spare):
        key = replace(new_key(one, KeyRole.OFFICER), label="")
        world.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=key))
    world.done(spare, enrolment(UNENROLLED, world.chain_id, world.time_ms, by=CARD))


def test_one_key_in_two_organisations_is_one_officer_to_an_enrolment(world: World) -> None:
    world.vote(
        SetRegistrar(account_id=BANK.account, methods=tuple(AssertionMethod), uses=tuple(AssertionUse))
    )
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(DEPARTMENT, KeyRole.OFFICER)))
    both = Actor(BANK.account, DEPARTMENT.signer)
    call = enrolment(UNENROLLED, world.chain_id, world.time_ms, by=both)
    world.refused(DEPARTMENT, call, "second_officer")
    world.done(CLERK, call)


@pytest.mark.parametrize("revoked", [DEPARTMENT, CLERK])
def test_a_ticket_of_a_revoked_key_moves_nothing(world: World, revoked: Actor) -> None:
    world.entries.update(directory_entries(2, in_use=False))
    third = actor("department", "third")
    world.done(DEPARTMENT_ADMIN, OrganizationsAddKey(key=new_key(third, KeyRole.OFFICER)))
    ticket_id = approved_ticket(world)
    world.done(DEPARTMENT_ADMIN, OrganizationsRevokeKey(key_id=revoked.key_id))
    call = PeopleMoveTags(ticket_id=ticket_id, moves=moved(LI, tag_of(LI, 2)))
    world.refused(third, call, "ticket_withdrawn")


def test_one_key_in_two_organisations_is_one_officer_to_a_recovery(world: World) -> None:
    world.done(BANK_ADMIN, OrganizationsAddKey(key=new_key(DEPARTMENT, KeyRole.OFFICER)))
    both = Actor(BANK.account, DEPARTMENT.signer)
    world.done(DEPARTMENT, opening(world))
    world.refused(both, confirming(world), "own_approval")
    world.refused(BANK, confirming(world, by=both), "own_approval")
    world.done(BANK, confirming(world))


# --- recoveries -------------------------------------------------------------------------------------------------


def lapsed(world: World, due_ms: int) -> None:
    world.time_ms = due_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.LAPSED
    assert [key.key_id for key in account_of(world).keys if usable(key, world.time_ms)] == [LI.key_id]
    assert account_of(world).restricted_until_ms == 0


@pytest.mark.parametrize("who", [DEPARTMENT, BANK])
def test_a_recovery_lapses_where_a_registrar_has_lost_its_right_meanwhile(world: World, who: Actor) -> None:
    due_ms = pending(world).completes_ms
    world.vote(
        SetRegistrar(account_id=who.account, methods=tuple(AssertionMethod), uses=(AssertionUse.ENROLL,))
    )
    lapsed(world, due_ms)


@pytest.mark.parametrize("who", [DEPARTMENT, BANK])
def test_a_recovery_lapses_where_a_registrar_is_suspended(world: World, who: Actor) -> None:
    due_ms = pending(world).completes_ms
    world.vote(SuspendOrganization(account_id=who.account, reason="stolen_keys"))
    lapsed(world, due_ms)


def test_a_veto_ends_the_words_that_were_given_before_it(world: World) -> None:
    opened, confirmed = opening(world), confirming(world)
    world.done(DEPARTMENT, opened)
    world.done(BANK, confirmed)
    world.done(LI, RecoveriesVeto())
    world.refused(DEPARTMENT, opened, "assertion_stale")
    world.done(DEPARTMENT, opening(world))
    world.refused(BANK, confirmed, "assertion_stale")
    world.done(BANK, confirming(world))


def test_a_recovery_that_lapsed_ends_the_words_that_were_given_before_it(world: World) -> None:
    world.done(DEPARTMENT, opening(world))
    world.time_ms = held(world).completes_ms + MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.LAPSED
    before = word(world, issued_ms=world.time_ms - 30 * MINUTE_MS, expires_ms=world.time_ms + MINUTE_MS)
    world.refused(DEPARTMENT, replace(opening(world), assertion=before), "assertion_stale")
    world.done(DEPARTMENT, opening(world))


def test_the_own_element_is_of_the_latest_request(world: World) -> None:
    world.done(DEPARTMENT, opening(world, own_element=own_element(WANG)))
    world.done(BANK, confirming(world))
    assert held(world).own_element == own_element(NEW)


def test_a_key_that_is_revoked_while_a_recovery_waits_vetoes_nothing(world: World) -> None:
    tablet = Actor(LI.account, person("li", "tablet").signer)
    world.done(LI, PeopleAddKey(key=new_key(tablet, KeyRole.HOLDER)))
    pending(world)
    world.done(LI, PeopleRevokeKey(key_id=tablet.key_id))
    with pytest.raises(Exception, match="revoked"):
        world.run(tablet, RecoveriesVeto())
    assert held(world).state is RecoveryState.PENDING
    world.done(LI, RecoveriesVeto())


def test_a_veto_after_its_time_but_before_anybody_has_ticked_counts(world: World) -> None:
    world.time_ms = pending(world).completes_ms + RECOVERY_DELAY_MS
    transactions = [world.sign(LI, RecoveriesVeto()), world.sign(NODES[0], DeadlinesTick())]
    assert [result.code for result in world.block(transactions).results] == ["ok", "ok"]
    assert held(world).state is RecoveryState.VETOED
    assert NEW.key_id not in {key.key_id for key in account_of(world).keys}


# --- the week after ---------------------------------------------------------------------------------------------


def own_release(grant_id: bytes, certificate: bytes) -> ReleasesRequest:
    return ReleasesRequest(
        grant_id=grant_id, outputs=(json_of(certificate, "name"),), released_by=NODES[1].account
    )


def test_what_the_holder_had_opened_to_himself_before_opens_nothing_to_a_recovered_key(world: World) -> None:
    degree = world.issue("degree of li")
    world.time_ms = pending(world).completes_ms - MINUTE_MS
    grant_id = world.done(LI, GrantsOpenOwn(certificates=(degree,), uses_max=5))
    release_id = world.done(LI, own_release(grant_id, degree))
    world.time_ms += 2 * MINUTE_MS
    tick(world)
    assert held(world).state is RecoveryState.COMPLETED
    world.refused(NODES[1], preparation(release_id), "account_restricted")
    fields = world.refused(AT_NEW, own_release(grant_id, degree), "account_restricted")
    assert fields == {"until_ms": account_of(world).restricted_until_ms}


def test_a_recovered_account_opens_nothing_to_itself(world: World) -> None:
    degree = world.issue("degree of li")
    complete(world)
    world.refused(AT_NEW, GrantsOpenOwn(certificates=(degree,), uses_max=1), "account_restricted")
