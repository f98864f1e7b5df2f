"""Plans about traces (反向追溯): a leaked file → whose release it was."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.calls import TracesApprove, TracesRequest
from contracts.records import TraceVerdict
from ledger.errors import LimitExceeded
from zhenglian import exchange
from zhenglian.api import (
    LEAK_SIZE_BYTES_MAX,
    TraceCandidatesView,
    TraceFindRequest,
    TraceLookView,
    TraceRequest,
    TraceView,
    TransactionView,
)
from zhenglian.errors import ApiError, NodeUnknown, NotReachable
from zhenglian.exchange import Core, Pause, Plan, Request, decode, get
from zhenglian.plans import transactions
from zhenglian.plans.chain import pages
from zhenglian.plans.releases import any_node, node_base
from zhenglian.progress import Progress, Report, silent

TRACE_WAIT_S: Final = 600
_POLL_S: Final = 0.5


def find_trace(core: Core, file: bytes, *, report: Report = silent) -> Plan[TraceCandidatesView]:
    """Which certificates a leaked file may come from, for an auditor's officer; every look is written down where it was answered.

    The client's nodes are asked one after another until one knows something: each knows the hashes of all released files, and the
    numbers of the records that it sealed or handed out itself.

    Args:
        file: the leak, at most LEAK_SIZE_BYTES_MAX bytes.
        report: told of the nodes asked.

    Returns:
        What the first node that knows something says; what the last one says when none does.

    Raises:
        LimitExceeded: the file is too large; nothing was sent.
        ApiError: a node refused.
        NotReachable: no node answered.
    """
    if len(file) > LEAK_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="LEAK_SIZE_BYTES_MAX", maximum=LEAK_SIZE_BYTES_MAX, actual=len(file))
    body = msgspec.json.encode(TraceFindRequest(file=base64.b64encode(file).decode()))
    found: TraceCandidatesView | None = None
    away: NotReachable | None = None
    for done, base in enumerate(core.bases):
        report(Progress(stage="sources", done=done, total=len(core.bases)))
        request = Request(method="POST", path="/v1/traces/candidates", body=body, session=True, base=base)
        try:
            found = decode((yield from exchange.exchange(core, request)), TraceCandidatesView)
        except NotReachable as error:
            away = error
            continue
        if found.candidates:
            break
    if found is None:
        raise away or NotReachable(nodes=", ".join(core.bases), reason="no node")
    report(Progress(stage="sources", done=len(core.bases), total=len(core.bases)))
    return found


def trace(
    core: Core,
    file: bytes,
    certificates: Sequence[str],
    *,
    reason: str = "leak",
    wait_s: int = TRACE_WAIT_S,
    report: Report = silent,
) -> Plan[TraceView]:
    """`request_trace`, then wait for its approver and for the verdict.

    Args:
        file: the leak, at most LEAK_SIZE_BYTES_MAX bytes.
        certificates: ids (hex) of the certificates that it may be a copy of.
        reason: why it is looked for, a code.
        wait_s: how long to wait for the verdict, in seconds.
        report: told of upload, approval and comparison.

    Returns:
        The trace; its verdict is still "open" when `wait_s` has passed.

    Raises:
        LimitExceeded, Denied, ApiError, NotReachable: as for `request_trace`.
    """
    view = yield from request_trace(core, file, certificates, reason=reason, report=report)
    base = yield from node_base(core, view.performed_by)
    return (yield from _concluded(core, view, base, wait_s, report))


def request_trace(
    core: Core, file: bytes, certificates: Sequence[str], *, reason: str = "leak", report: Report = silent
) -> Plan[TraceView]:
    """Ask for the source of a leaked file, on the record; it is looked for once another organisation has approved.

    Args:
        file: the leak, at most LEAK_SIZE_BYTES_MAX bytes.
        certificates: ids (hex) of the certificates that it may be a copy of.
        reason: why it is looked for, a code.
        report: told of the upload.

    Raises:
        LimitExceeded: the file is too large; nothing was sent.
        Denied: refused on the ledger.
        ApiError, NotReachable: refused by the node, or no node answered.
    """
    if len(file) > LEAK_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="LEAK_SIZE_BYTES_MAX", maximum=LEAK_SIZE_BYTES_MAX, actual=len(file))
    base, operator = yield from any_node(core)
    suite = yield from exchange.suite(core)
    args = TracesRequest(
        file_hash=suite.digest(file),
        reason=reason,
        certificates=tuple(bytes.fromhex(certificate) for certificate in certificates),
        performed_by=bytes.fromhex(operator),
    )
    signed = yield from transactions.sign(core, args)
    report(Progress(stage="upload", done=0, total=1))
    request = Request(
        method="POST",
        path="/v1/traces",
        body=msgspec.json.encode(TraceRequest(transaction=signed.text, file=base64.b64encode(file).decode())),
        headers=(("idempotency-key", core.random_bytes(16).hex()),),
        session=True,
        base=base,
    )
    try:
        view = decode((yield from exchange.exchange(core, request)), TraceView)
    except ApiError as error:
        yield from transactions.raise_denial(core, signed)
        raise error from None
    report(Progress(stage="upload", done=1, total=1, subject=view.trace_id))
    return view


def wait_for_trace(
    core: Core, trace_id: str, *, wait_s: int = TRACE_WAIT_S, report: Report = silent
) -> Plan[TraceView]:
    """Wait for the verdict of a trace that was asked for before, at the node that performs it.

    Raises:
        ApiError: there is none, or it is none of the caller's business.
        NodeUnknown, NotReachable: that node is none of the client's, or does not answer.
    """
    view = yield from trace_view(core, trace_id)
    try:
        base = yield from node_base(core, view.performed_by)
    except NodeUnknown:
        if wait_s:
            raise
        return view
    view = yield from trace_view(core, trace_id, base=base)
    return (yield from _concluded(core, view, base, wait_s, report))


def _concluded(core: Core, view: TraceView, base: str, wait_s: int, report: Report) -> Plan[TraceView]:
    deadline_ms = core.clock_ms() + wait_s * 1000
    while view.verdict == TraceVerdict.OPEN and core.clock_ms() < deadline_ms:
        stage = "compare" if view.approved else "approval"
        report(Progress(stage=stage, done=view.progress, total=1, subject=view.trace_id))
        yield Pause(seconds=_POLL_S)
        view = yield from trace_view(core, view.trace_id, base=base)
    report(Progress(stage="compare", done=view.progress, total=1, subject=view.trace_id))
    return view


def trace_evidence(core: Core, trace_id: str) -> Plan[bytes]:
    """The evidence of a concluded trace, as the file that `zhenglian.evidence` reads; for the auditor who asked, and secret.

    Raises:
        ApiError: there is none, it is still open, or another auditor asked for it.
        NodeUnknown, NotReachable: the node that performed it is none of the client's, or does not answer.
    """
    view = yield from trace_view(core, trace_id)
    base = yield from node_base(core, view.performed_by)
    request = Request(method="GET", path=f"/v1/traces/{trace_id}/evidence", session=True, base=base)
    return (yield from exchange.exchange(core, request)).body


def approve_trace(core: Core, trace_id: str) -> Plan[TransactionView]:
    """Let a trace be performed that another organisation asked for and another operator performs. Raises Denied."""
    return (yield from transactions.settled(core, TracesApprove(trace_id=bytes.fromhex(trace_id))))


def traces(core: Core) -> Plan[list[TraceView]]:
    """Traces that the caller may see, newest first; those that wait for an approver among them."""
    return (yield from pages(core, "/v1/traces", list[TraceView], session=True))


def trace_looks(core: Core) -> Plan[list[TraceLookView]]:
    """Who looked for a leak's record at the node that is asked, newest first; for an auditor's officer."""
    return (yield from pages(core, "/v1/traces/looks", list[TraceLookView], session=True))


def trace_view(core: Core, trace_id: str, *, base: str | None = None) -> Plan[TraceView]:
    """A trace as the node at `base` knows it; what it compared is known only where it was performed."""
    return (yield from get(core, f"/v1/traces/{trace_id}", TraceView, session=True, base=base))
