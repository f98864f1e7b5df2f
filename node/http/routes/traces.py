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
from node.http.routing import Context, Idempotency, NoQuery, Reply, Route
from node.http.views import releases as views
from node.http.views.common import Names
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
        path="/v1/traces/{trace}",
        access=OVERSEER,
        handler=trace,
        response=api.TraceView,
        summary_zh="追溯的进度与结论",
        summary_en="Progress and verdict of a trace",
        etag=True,
    ),
)
