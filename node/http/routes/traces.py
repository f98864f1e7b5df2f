"""Traces (反向追溯): whose copy leaked.

Rule: the look is on the ledger before it begins, signed by the auditor's officer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ledger.errors import LimitExceeded, NotFound
from node.http import access, decode
from node.http.access import AUDITOR_OFFICER, OVERSEER
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.errors import NotTheSigner
from node.http.pagination import PageQuery, collect, next_link
from node.http.routing import Context, Idempotency, NoQuery, Reply, Route
from node.http.views import releases as views
from node.http.views.common import Names
from node.http.views.evidence import evidence_of
from zhenglian import api

BODY_BYTES_MAX: Final = api.LEAK_SIZE_BYTES_MAX * 4 // 3 + TRANSACTION_BODY_BYTES_MAX


async def request(context: Context[api.TraceRequest, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction, expected="traces.request")
    caller, services = context.session, context.services
    if (signed.body.account, signed.body.key_id) != (caller.account, caller.key_id):
        raise NotTheSigner
    data = await asyncio.to_thread(decode.base64_bytes, context.body.file, "file")
    if len(data) > api.LEAK_SIZE_BYTES_MAX:
        raise LimitExceeded(limit="file", maximum=api.LEAK_SIZE_BYTES_MAX, actual=len(data))
    found = await services.traces.request(signed, data)
    shown = await views.trace(
        found, services.traces.report(found.trace_id), services, Names(services.chain.records)
    )
    return Reply(status=202, body=shown, headers={"Location": shown.status_url})


async def candidates(context: Context[api.TraceFindRequest, NoQuery]) -> Reply:
    services = context.services
    if services.finding is None:
        raise NotFound(what="finding of leaks", id="this node")
    data = await asyncio.to_thread(decode.base64_bytes, context.body.file, "file")
    found = await services.finding.find(data, context.session)
    shown = api.TraceCandidatesView(
        file_hash=found.file_hash.hex(),
        candidates=[
            api.TraceCandidate(certificate=one.certificate.hex(), found_by=list(one.ways))
            for one in found.sources
        ],
        more=found.more,
        partial=found.partial,
        notes=list(found.notes),
    )
    return Reply(body=shown, kept=False)


async def looks(context: Context[None, PageQuery]) -> Reply:
    services, query = context.services, context.query
    if services.finding is None:
        raise NotFound(what="finding of leaks", id="this node")
    found = await services.finding.looks(query.limit + 1, query.cursor)
    page = found[: query.limit]
    shown = [
        api.TraceLookView(
            time_ms=look.time_ms,
            account=look.account.hex(),
            key_id=look.key_id.hex(),
            file_hash=look.file_hash.hex(),
            size_bytes=look.size_bytes,
            found=[
                api.TraceCandidate(certificate=name, found_by=ways.split("+"))
                for name, _, ways in (one.partition(":") for one in look.found.split())
            ],
        )
        for look in page
    ]
    following = page[-1].number if len(found) > len(page) else None
    return Reply(body=shown, headers=next_link(context.target, following))


async def evidence(context: Context[None, NoQuery]) -> Reply:
    services, trace_id = context.services, context.id("trace")
    found = services.chain.records.trace(trace_id)
    if found is None or found.auditor != context.session.account:
        raise NotFound(what="trace", id=trace_id.hex())
    report = await asyncio.to_thread(services.traces.kept_report, trace_id)
    if report is None:
        raise NotFound(what="report of the trace at this node", id=trace_id.hex())
    return Reply(body=await evidence_of(found, report, services))


async def traces(context: Context[None, PageQuery]) -> Reply:
    services, caller = context.services, context.session
    names = Names(services.chain.records)
    listing = await collect(
        services.index,
        "traces.requested",
        context.query,
        subject=None,
        load=services.chain.records.trace,
        keep=lambda found: access.may_see_trace(caller, found),
    )
    shown = [
        await views.trace(found, services.traces.report(found.trace_id), services, names)
        for found in listing.items
    ]
    return Reply(body=shown, headers=next_link(context.target, listing.next))


async def trace(context: Context[None, NoQuery]) -> Reply:
    services, trace_id = context.services, context.id("trace")
    found = services.chain.records.trace(trace_id)
    if found is None:
        raise NotFound(what="trace", id=trace_id.hex())
    access.check(access.may_see_trace(context.session, found), "trace", found.trace_id)
    return Reply(
        body=await views.trace(
            found, services.traces.report(trace_id), services, Names(services.chain.records)
        )
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/traces/candidates",
        access=AUDITOR_OFFICER,
        handler=candidates,
        request=api.TraceFindRequest,
        response=api.TraceCandidatesView,
        body_bytes_max=BODY_BYTES_MAX,
        rate=RateClass.FIND,
        summary_zh="泄露文件可能来自哪些证照：按文件哈希、内嵌编号、二维码、证照号码查找，每次查找均留痕",
        summary_en="Which certificates a leaked file may come from: by hash, embedded id, QR code or number; each look is recorded",
    ),
    Route(
        method="GET",
        path="/v1/traces/looks",
        access=AUDITOR_OFFICER,
        handler=looks,
        query=PageQuery,
        response=list[api.TraceLookView],
        summary_zh="谁在本节点查找过泄露文件的来源，最新在前",
        summary_en="Who looked for a leak's record at this node, newest first",
    ),
    Route(
        method="POST",
        path="/v1/traces",
        access=AUDITOR_OFFICER,
        handler=request,
        request=api.TraceRequest,
        response=api.TraceView,
        statuses=(202,),
        body_bytes_max=BODY_BYTES_MAX,
        rate=RateClass.UPLOAD,
        idempotency=Idempotency.REQUIRED,
        summary_zh="追溯泄露文件的来源：提交已签名的 traces.request 与文件",
        summary_en="Trace a leaked file: a signed traces.request and the file",
    ),
    Route(
        method="GET",
        path="/v1/traces",
        access=OVERSEER,
        handler=traces,
        query=PageQuery,
        response=list[api.TraceView],
        summary_zh="追溯列表，最新在前；待批准的也在其中",
        summary_en="Traces, newest first; those that wait for an approver among them",
    ),
    Route(
        method="GET",
        path="/v1/traces/{trace}/evidence",
        access=AUDITOR_OFFICER,
        handler=evidence,
        response=api.EvidenceView,
        summary_zh="追溯证据包：报告原文与全部回执，可离线核验；含水印密钥，须保密",
        summary_en="A trace's evidence: its report to the letter and all receipts, to be checked offline; keep it secret",
    ),
    Route(
        method="GET",
        path="/v1/traces/{trace}",
        access=OVERSEER,
        handler=trace,
        response=api.TraceView,
        summary_zh="追溯的进度与结论",
        summary_en="Progress and verdict of a trace",
        etag=True,
    ),
)
