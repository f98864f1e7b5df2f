"""Erasing a certificate's data: who may ask, who decides, what is left, and who said that it is gone."""

from __future__ import annotations

from typing import Final

import pytest

from contracts.calls import DeadlinesTick
from contracts.certificates import why_not_valid
from contracts.erasure_calls import (
    CERTIFICATES_PER_STATEMENT_MAX,
    CertificatesDeclineErasure,
    CertificatesErase,
    CertificatesRequestErasure,
    CertificatesStateDestruction,
)
from contracts.erasure_records import Erasure, ErasureState
from contracts.erasures import ANSWER_MS
from contracts.records import Certificate
from contracts.state import CERTIFICATES, ERASURES
from ledger.types import Result
from tests.unit.contracts_world import (
    BANK,
    DEPARTMENT,
    LI,
    NODES,
    OPERATORS,
    READER_NODE,
    WANG,
    World,
    asking_release,
    json_of,
    preparation,
)

REASON: Final = "purpose_fulfilled"


@pytest.fixture
def world() -> World:
    return World().populate()


def erasure_of(world: World, certificate: bytes) -> Erasure:
    found = ERASURES.get(world, certificate)
    assert found is not None
    return found


def certificate_of(world: World, certificate: bytes) -> Certificate:
    found = CERTIFICATES.get(world, certificate)
    assert found is not None
    return found


def asks(certificate: bytes) -> CertificatesRequestErasure:
    return CertificatesRequestErasure(certificate_id=certificate, reason=REASON)


def erases(certificate: bytes) -> CertificatesErase:
    return CertificatesErase(certificate_id=certificate, reason=REASON)


def kinds(result: Result) -> list[str]:
    assert result.code == "ok", (result.code, result.fields)
    return [event.kind for event in result.events]


def test_the_holder_asks_the_issuer_erases_and_the_tombstone_stays(world: World) -> None:
    degree = world.issue("degree")
    whole = certificate_of(world, degree)
    assert kinds(world.run(LI, asks(degree))) == ["certificates.erasure_requested"]
    assert erasure_of(world, degree).answer_by_ms == world.time_ms - 1000 + ANSWER_MS
    assert kinds(world.run(DEPARTMENT, erases(degree))) == ["certificates.erased"]
    left = certificate_of(world, degree)
    assert left.erased_ms
    assert why_not_valid(left, world.time_ms) == "erased"
    assert (left.holder, left.issuer, left.fields) == (whole.holder, whole.issuer, whole.fields)
    erasure = erasure_of(world, degree)
    assert (erasure.state, erasure.requested_by) == (ErasureState.ERASED, LI.account)


def test_the_issuer_erases_unasked_and_that_is_final(world: World) -> None:
    degree = world.issue("degree")
    world.done(DEPARTMENT, erases(degree))
    assert erasure_of(world, degree).requested_by == DEPARTMENT.account
    world.refused(DEPARTMENT, erases(degree), "certificate_erased")
    world.refused(LI, asks(degree), "certificate_erased")


def test_only_the_holder_asks_and_only_the_issuer_decides(world: World) -> None:
    degree = world.issue("degree")
    world.refused(WANG, asks(degree), "certificate_not_held")
    world.refused(DEPARTMENT, asks(degree), "wrong_account_kind")
    world.refused(BANK, erases(degree), "not_issuer")
    world.refused(LI, erases(degree), "wrong_account_kind")
    world.refused(NODES[0], erases(degree), "wrong_account_kind")
    world.refused(LI, asks(b"\1" * 16), "unknown_certificate")
    world.refused(DEPARTMENT, erases(b"\1" * 16), "unknown_certificate")


def test_a_refusal_names_its_reason_and_one_may_ask_again(world: World) -> None:
    degree = world.issue("degree")
    decline = CertificatesDeclineErasure(certificate_id=degree, reason="duty_to_keep")
    world.refused(DEPARTMENT, decline, "erasure_not_requested")
    world.done(LI, asks(degree))
    world.refused(LI, asks(degree), "erasure_requested")
    world.refused(BANK, decline, "not_issuer")
    assert kinds(world.run(DEPARTMENT, decline)) == ["certificates.erasure_declined"]
    assert erasure_of(world, degree).answer == "duty_to_keep"
    assert not certificate_of(world, degree).erased_ms
    world.refused(DEPARTMENT, decline, "erasure_not_requested")
    world.done(LI, asks(degree))
    assert erasure_of(world, degree).state is ErasureState.REQUESTED


def test_an_erased_certificate_opens_nothing_under_any_grant(world: World) -> None:
    degree = world.issue("degree")
    grant = world.grant()
    waiting = world.release(grant, degree)
    world.done(DEPARTMENT, erases(degree))
    world.refused(BANK, asking_release(grant, json_of(degree, "name")), "certificate_erased")
    world.refused(NODES[1], preparation(waiting), "certificate_erased")


def test_every_node_states_once_that_it_holds_nothing_any_more(world: World) -> None:
    first, second = world.issue("degree"), world.issue("second")
    for degree in (first, second):
        world.done(DEPARTMENT, erases(degree))
    stated = CertificatesStateDestruction(certificates=(first, second, first))
    assert kinds(world.run(NODES[0], stated)) == ["certificates.destroyed"] * 2
    assert kinds(world.run(NODES[0], stated)) == []
    assert kinds(world.run(READER_NODE, stated)) == ["certificates.destroyed"] * 2
    by = [destruction.node for destruction in erasure_of(world, first).destructions]
    assert by == [NODES[0].account, READER_NODE.account]


def test_nobody_states_destruction_of_what_is_not_erased(world: World) -> None:
    erased, kept = world.issue("degree"), world.issue("second")
    world.done(DEPARTMENT, erases(erased))
    both = CertificatesStateDestruction(certificates=(erased, kept))
    world.refused(NODES[0], both, "certificate_not_erased")
    assert erasure_of(world, erased).destructions == ()
    world.refused(OPERATORS[0], CertificatesStateDestruction(certificates=(erased,)), "wrong_role")
    world.refused(DEPARTMENT, CertificatesStateDestruction(certificates=(erased,)), "wrong_account_kind")
    many = CertificatesStateDestruction(certificates=(erased,) * (CERTIFICATES_PER_STATEMENT_MAX + 1))
    world.refused(NODES[0], many, "malformed_call")


@pytest.mark.parametrize("answered", [False, True])
def test_an_answer_that_does_not_come_in_time_is_on_record_once(world: World, answered: bool) -> None:
    degree = world.issue("degree")
    world.done(LI, asks(degree))
    if answered:
        world.done(DEPARTMENT, CertificatesDeclineErasure(certificate_id=degree, reason="duty_to_keep"))
    world.time_ms += ANSWER_MS + 60_000
    seen = [kind for _ in range(3) for kind in kinds(world.run(NODES[1], DeadlinesTick()))]
    assert seen.count("certificates.erasure_overdue") == (0 if answered else 1)
    if not answered:
        world.done(DEPARTMENT, erases(degree))


def test_what_is_erased_can_be_issued_anew_under_another_id(world: World) -> None:
    degree = world.issue("degree")
    world.done(DEPARTMENT, erases(degree))
    again = world.issue("anew", supersedes=degree)
    assert certificate_of(world, degree).superseded_by == again
    assert not certificate_of(world, again).erased_ms
