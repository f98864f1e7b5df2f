"""Traces (反向追溯): a recorded look for the source of a leaked file.

Rule: a trace opens certificates to an auditor's question, so it is on record before it is performed, with the
officer, the reason and an approver of an organisation that neither asks nor performs, and everyone concerned finds it. It can
name only releases of the certificates that it was asked about, and only such whose bytes existed when it was asked for.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.calls import TracesApprove, TracesConclude, TracesRequest
from contracts.denials import Denied
from contracts.methods import AUDITOR_OFFICER, OPERATOR_ADMIN, OPERATOR_NODE, CallContext, method
from contracts.records import ReleaseState, Trace, TraceVerdict
from contracts.releases import check_operator
from contracts.state import CERTIFICATES, RELEASES, TRACES, StateReader
from ledger import domains

NAMES_RELEASES: Final = (TraceVerdict.ACCUSED, TraceVerdict.INVESTIGATE)
# So long it waits for its approver, and so long after that it opens originals; who needs longer asks again, on record.
TRACE_LIFE_MS: Final = 7 * 86_400_000
BYTES_EXISTED: Final = (ReleaseState.PREPARED, ReleaseState.DELIVERED, ReleaseState.CLOSED)


def _of_trace(state: StateReader, args: TracesApprove) -> tuple[bytes, ...]:
    trace = TRACES.get(state, args.trace_id)
    return (args.trace_id,) if trace is None else (args.trace_id, *trace.certificates)


def _concluded_concerns(state: StateReader, args: TracesConclude) -> tuple[bytes, ...]:
    trace = TRACES.get(state, args.trace_id)
    return (args.trace_id,) if trace is None else (args.trace_id, trace.auditor, *trace.certificates)


@method(TracesRequest, callers=AUDITOR_OFFICER, cost=35, concerns=lambda _state, args: args.certificates)
def request(context: CallContext, args: TracesRequest) -> bytes:
    """Open a trace."""
    for position, certificate_id in enumerate(args.certificates):
        if certificate_id in args.certificates[:position]:
            raise Denied("duplicate_name", name=certificate_id.hex())
        if context.record(CERTIFICATES, certificate_id) is None:
            raise Denied("unknown_certificate", certificate=certificate_id.hex())
    check_operator(context.state, args.performed_by)
    trace_id = context.new_id(TRACES, domains.TRACE_ID, 16)
    trace = Trace(
        trace_id=trace_id,
        auditor=context.account.account_id,
        officer=context.key.key_id,
        performed_by=args.performed_by,
        file_hash=args.file_hash,
        reason=args.reason,
        certificates=args.certificates,
        requested_ms=context.time_ms,
        verdict=TraceVerdict.OPEN,
        releases=(),
        report_hash=b"",
        concluded_ms=0,
    )
    TRACES.put(context.state, trace_id, trace)
    context.emit(
        "traces.requested",
        trace_id,
        (args.performed_by, *_certificates_and_holders(context, trace)),
        reason=args.reason,
        file_hash=args.file_hash,
    )
    return trace_id


@method(
    TracesApprove,
    callers=(*AUDITOR_OFFICER, *OPERATOR_ADMIN),
    cost=30,
    concerns=_of_trace,
)
def approve(context: CallContext, args: TracesApprove) -> None:
    """Let a trace be performed."""
    trace = _open(context, args.trace_id, "approve")
    if context.account.account_id in {trace.auditor, trace.performed_by}:
        raise Denied("own_trace")
    if trace.approved_ms:
        raise Denied("trace_approved", trace=args.trace_id.hex())
    if context.time_ms >= trace.requested_ms + TRACE_LIFE_MS:
        raise Denied("trace_overdue", trace=args.trace_id.hex())
    approved = replace(
        trace,
        approved_by=context.account.account_id,
        approver=context.key.key_id,
        approved_ms=context.time_ms,
    )
    TRACES.put(context.state, trace.trace_id, approved)
    context.emit(
        "traces.approved",
        trace.trace_id,
        (trace.auditor, trace.performed_by, *_certificates_and_holders(context, trace)),
        reason=trace.reason,
    )


def check_performed(trace: Trace, time_ms: int) -> None:
    """Check that a trace may open originals at that time.

    Raises:
        Denied: state_transition, trace_not_approved, trace_overdue.
    """
    _check_open(trace, "perform")
    if not trace.approved_ms:
        raise Denied("trace_not_approved", trace=trace.trace_id.hex())
    if time_ms >= trace.approved_ms + TRACE_LIFE_MS:
        raise Denied("trace_overdue", trace=trace.trace_id.hex())


@method(TracesConclude, callers=OPERATOR_NODE, cost=45, concerns=_concluded_concerns)
def conclude(context: CallContext, args: TracesConclude) -> None:
    """Write down what a trace found."""
    trace = _open(context, args.trace_id, args.verdict.value)
    if trace.performed_by != context.account.account_id:
        raise Denied("not_entrusted", operator=trace.performed_by.hex())
    if args.verdict is TraceVerdict.OPEN:
        raise Denied("state_transition", what="trace", state=trace.verdict.value, step=args.verdict.value)
    if not trace.approved_ms:
        raise Denied("trace_not_approved", trace=args.trace_id.hex())
    if bool(args.releases) is not (args.verdict in NAMES_RELEASES):
        raise Denied("verdict_mismatch", verdict=args.verdict.value, releases=len(args.releases))
    parties = _parties_of_releases(context, trace, args.releases)
    concluded = replace(
        trace,
        verdict=args.verdict,
        releases=args.releases,
        report_hash=args.report_hash,
        concluded_ms=context.time_ms,
    )
    TRACES.put(context.state, trace.trace_id, concluded)
    context.emit(
        "traces.concluded",
        trace.trace_id,
        (trace.auditor, *parties, *_certificates_and_holders(context, trace)),
        verdict=args.verdict.value,
        releases=len(args.releases),
        report_hash=args.report_hash,
    )


def _open(context: CallContext, trace_id: bytes, step: str) -> Trace:
    trace = TRACES.get(context.state, trace_id)
    if trace is None:
        raise Denied("unknown_trace", trace=trace_id.hex())
    _check_open(trace, step)
    return trace


def _check_open(trace: Trace, step: str) -> None:
    if trace.verdict is not TraceVerdict.OPEN:
        raise Denied("state_transition", what="trace", state=trace.verdict.value, step=step)


def _certificates_and_holders(context: CallContext, trace: Trace) -> tuple[bytes, ...]:
    found = (context.record(CERTIFICATES, certificate_id) for certificate_id in trace.certificates)
    return (*trace.certificates, *(certificate.holder for certificate in found if certificate is not None))


def _parties_of_releases(
    context: CallContext, trace: Trace, release_ids: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    parties: list[bytes] = []
    for position, release_id in enumerate(release_ids):
        if release_id in release_ids[:position]:
            raise Denied("duplicate_name", name=release_id.hex())
        release = context.record(RELEASES, release_id)
        if release is None:
            raise Denied("unknown_release", release=release_id.hex())
        named = any(output.certificate in trace.certificates for output in release.outputs)
        existed = release.state in BYTES_EXISTED and release.prepared_ms <= trace.requested_ms
        if not named or not existed:
            raise Denied("release_unrelated", release=release_id.hex())
        parties += (release_id, release.grant_id, release.grantee)
    return tuple(parties)


METHODS: Final = (request, approve, conclude)
