"""Plans about traces (反向追溯): a leaked file → whose release it was."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.calls import TracesRequest
from contracts.records import TraceVerdict
from ledger.errors import LimitExceeded
from zhenglian import exchange
from zhenglian.api import LEAK_SIZE_BYTES_MAX, TraceRequest, TraceView
from zhenglian.errors import ApiError
from zhenglian.exchange import Core, Pause, Plan, Request, decode, get
from zhenglian.plans import transactions
from zhenglian.plans.releases import any_node
from zhenglian.progress import Progress, Report, silent

TRACE_WAIT_S: Final = 600
_POLL_S: Final = 0.5


def trace(
    core: Core,
    file: bytes,
    certificates: Sequence[str],
    *,
    reason: str = "leak",
    wait_s: int = TRACE_WAIT_S,
    report: Report = silent,
) -> Plan[TraceView]:
    """Look for the source of a leaked file, on the record, and wait for the verdict.

    Args:
        file: the leak, at most LEAK_SIZE_BYTES_MAX bytes.
        certificates: ids (hex) of the certificates that it may be a copy of.
        reason: why it is looked for, a code.
        wait_s: how long to wait for the verdict, in seconds.
        report: told of upload and comparison.

    Returns:
        The trace; its verdict is still "open" when `wait_s` has passed.

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
    deadline_ms = core.clock_ms() + wait_s * 1000
    while view.verdict == TraceVerdict.OPEN and core.clock_ms() < deadline_ms:
        report(Progress(stage="compare", done=view.progress, total=1, subject=view.trace_id))
        yield Pause(seconds=_POLL_S)
        view = yield from trace_view(core, view.trace_id, base=base)
    report(Progress(stage="compare", done=view.progress, total=1, subject=view.trace_id))
    return view


def trace_view(core: Core, trace_id: str, *, base: str | None = None) -> Plan[TraceView]:
    """A trace as the node at `base` knows it; what it compared is known only where it was performed."""
    return (yield from get(core, f"/v1/traces/{trace_id}", TraceView, session=True, base=base))
