"""Traces: on record before they are performed, and bound to what they were asked about."""

from __future__ import annotations

import pytest

from contracts.calls import ReleasesFail, TracesApprove, TracesConclude, TracesRequest
from contracts.records import CERTIFICATES_PER_TRACE_MAX, TraceVerdict
from contracts.state import TRACES
from contracts.traces import TRACE_LIFE_MS
from ledger import codec
from ledger.types import Call
from tests.unit.contracts_world import AUDITOR, BANK, LI, NODES, OPERATORS, WANG, World, identity

CERTIFICATE = identity("degree of li")


@pytest.fixture
def world() -> World:
    world = World().populate()
    world.issue("degree of li")
    world.issue("degree of wang", WANG)
    return world


def asking(*certificates: bytes, by: bytes = NODES[2].account) -> TracesRequest:
    return TracesRequest(
        file_hash=identity("leak", 32), reason="leak", certificates=certificates, performed_by=by
    )


def open_trace(world: World, *certificates: bytes) -> bytes:
    """One that has its approver."""
    trace_id = world.done(AUDITOR, asking(*certificates))
    world.done(OPERATORS[1], TracesApprove(trace_id=trace_id))
    return trace_id


def concluding(trace_id: bytes, verdict: TraceVerdict, *releases: bytes) -> TracesConclude:
    return TracesConclude(
        trace_id=trace_id, verdict=verdict, releases=releases, report_hash=identity("report", 32)
    )


def test_a_trace_is_found_by_everyone_it_concerns(world: World) -> None:
    release_id = world.release(world.grant(), CERTIFICATE)
    world.prepare(release_id)
    requested = world.run(AUDITOR, asking(CERTIFICATE))
    assert {AUDITOR.account, CERTIFICATE, LI.account, NODES[2].account} <= set(requested.events[0].subjects)
    trace_id = codec.decode(requested.output, bytes, size_bytes_max=20)
    approved = world.run(OPERATORS[1], TracesApprove(trace_id=trace_id))
    assert {AUDITOR.account, CERTIFICATE, LI.account, NODES[2].account} <= set(approved.events[0].subjects)
    concluded = world.run(NODES[2], concluding(trace_id, TraceVerdict.ACCUSED, release_id))
    (event,) = concluded.events
    assert event.kind == "traces.concluded"
    assert {trace_id, AUDITOR.account, release_id, BANK.account, LI.account} <= set(event.subjects)
    trace = TRACES.get(world, trace_id)
    assert trace is not None
    assert (trace.verdict, trace.releases, trace.officer) == (
        TraceVerdict.ACCUSED,
        (release_id,),
        AUDITOR.key_id,
    )


def test_a_trace_names_known_certificates_once_and_an_operator(world: World) -> None:
    world.refused(AUDITOR, asking(identity("none")), "unknown_certificate")
    world.refused(AUDITOR, asking(CERTIFICATE, CERTIFICATE), "duplicate_name")
    world.refused(AUDITOR, asking(CERTIFICATE, by=BANK.account), "unknown_operator")


def test_one_certificate_more_than_the_limit_is_malformed(world: World) -> None:
    labels = [f"certificate {n}" for n in range(CERTIFICATES_PER_TRACE_MAX + 1)]
    certificates = [world.issue(label) for label in labels]
    world.done(AUDITOR, asking(*certificates[:-1]))
    more = Call(contract="traces", method="request", args=codec.encode(asking(*certificates)))
    world.refused(AUDITOR, more, "malformed_call")


def test_nothing_is_concluded_that_no_third_party_has_approved(world: World) -> None:
    trace_id = world.done(AUDITOR, asking(CERTIFICATE))
    approve = TracesApprove(trace_id=trace_id)
    world.refused(NODES[2], concluding(trace_id, TraceVerdict.NONE), "trace_not_approved")
    world.refused(AUDITOR, approve, "own_trace")
    world.refused(OPERATORS[2], approve, "own_trace")
    for stranger in (BANK, LI):
        world.refused(stranger, approve, "wrong_account_kind")
    world.refused(NODES[1], approve, "wrong_role")
    world.refused(OPERATORS[1], TracesApprove(trace_id=identity("none")), "unknown_trace")
    world.done(OPERATORS[1], approve)
    world.refused(OPERATORS[3], approve, "trace_approved")
    trace = TRACES.get(world, trace_id)
    assert trace is not None
    assert (trace.approved_by, trace.approver) == (OPERATORS[1].account, OPERATORS[1].key_id)
    world.done(NODES[2], concluding(trace_id, TraceVerdict.NONE))
    world.refused(OPERATORS[3], approve, "state_transition")


def test_a_trace_that_waited_too_long_for_its_approver_is_asked_for_anew(world: World) -> None:
    trace_id = world.done(AUDITOR, asking(CERTIFICATE))
    world.time_ms += TRACE_LIFE_MS
    world.refused(OPERATORS[1], TracesApprove(trace_id=trace_id), "trace_overdue")


def test_only_the_named_operator_concludes_and_only_once(world: World) -> None:
    trace_id = open_trace(world, CERTIFICATE)
    nobody = concluding(trace_id, TraceVerdict.NONE)
    world.refused(NODES[1], nobody, "not_entrusted")
    world.refused(NODES[2], concluding(identity("none"), TraceVerdict.NONE), "unknown_trace")
    world.refused(NODES[2], concluding(trace_id, TraceVerdict.OPEN), "state_transition")
    world.done(NODES[2], nobody)
    world.refused(NODES[2], nobody, "state_transition")


@pytest.mark.parametrize("verdict", [TraceVerdict.ACCUSED, TraceVerdict.INVESTIGATE])
def test_a_verdict_that_points_at_somebody_names_a_release(world: World, verdict: TraceVerdict) -> None:
    trace_id = open_trace(world, CERTIFICATE)
    assert world.refused(NODES[2], concluding(trace_id, verdict), "verdict_mismatch")["releases"] == 0


@pytest.mark.parametrize("verdict", [TraceVerdict.NONE, TraceVerdict.UNTRACEABLE])
def test_a_verdict_that_points_at_nobody_names_none(world: World, verdict: TraceVerdict) -> None:
    trace_id = open_trace(world, CERTIFICATE)
    release_id = world.release(world.grant(), CERTIFICATE)
    world.prepare(release_id)
    world.refused(NODES[2], concluding(trace_id, verdict, release_id), "verdict_mismatch")


def test_nobody_is_accused_for_other_certificates_or_files_that_never_existed(world: World) -> None:
    grant_id = world.grant()
    open_release = world.release(grant_id, CERTIFICATE)
    failed = world.release(grant_id, CERTIFICATE)
    late, early = (world.release(world.grant(), CERTIFICATE) for _ in range(2))
    world.prepare(early)
    world.done(NODES[1], ReleasesFail(release_id=failed, reason="test"))
    other = open_trace(world, identity("degree of wang"))
    same = open_trace(world, CERTIFICATE)
    for release_id in (open_release, failed):
        world.refused(NODES[2], concluding(same, TraceVerdict.ACCUSED, release_id), "release_unrelated")
    world.prepare(late)
    world.refused(NODES[2], concluding(same, TraceVerdict.ACCUSED, late), "release_unrelated")
    world.refused(NODES[2], concluding(other, TraceVerdict.ACCUSED, early), "release_unrelated")
    world.refused(NODES[2], concluding(same, TraceVerdict.ACCUSED, identity("none", 8)), "unknown_release")
    twice = concluding(same, TraceVerdict.ACCUSED, early, early)
    world.refused(NODES[2], twice, "duplicate_name")
    world.done(NODES[2], concluding(same, TraceVerdict.ACCUSED, early))
