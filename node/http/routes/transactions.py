"""Submitting signed transactions, and what became of them.

Rule: the signature inside is the proof of who asks, so no session is needed. The transaction's id is its
idempotency key: submitting it again is safe and gives its present standing, so Idempotency-Key has no effect
here.
"""

from __future__ import annotations

from typing import Any, Final

from ledger.receipts import receipt_to_json
from node.http import decode
from node.http.access import PUBLIC
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import chain as views
from node.http.views.common import Names
from node.services.ports import Standing
from zhenglian import api


async def submit(context: Context[api.TransactionRequest, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction)
    status = await context.services.submission.submit(signed, wait_s=context.wait_s)
    chain = context.services.chain
    return Reply(
        status=202 if status.standing is Standing.PENDING else 200,
        body=views.transaction(status, chain, Names(chain.records)),
        headers={"Location": f"/v1/transactions/{status.transaction_id.hex()}"},
    )


async def transaction(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    status = context.services.submission.status(context.id("transaction"))
    return Reply(body=views.transaction(status, chain, Names(chain.records)))


async def receipt(context: Context[None, NoQuery]) -> Reply:
    found = context.services.chain.receipt(context.id("transaction"))
    return Reply(body=receipt_to_json(found).encode())


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/transactions",
        access=PUBLIC,
        handler=submit,
        request=api.TransactionRequest,
        response=api.TransactionView,
        statuses=(200, 202),
        body_bytes_max=TRANSACTION_BODY_BYTES_MAX,
        rate=RateClass.WRITE,
        waits=True,
        summary_zh="提交已签名的交易；用 Prefer: wait=N 等待最终确认",
        summary_en="Submit a signed transaction; Prefer: wait=N waits for finality",
    ),
    Route(
        method="GET",
        path="/v1/transactions/{transaction}",
        access=PUBLIC,
        handler=transaction,
        response=api.TransactionView,
        summary_zh="交易的状态与结果",
        summary_en="How a transaction stands, and its result",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/transactions/{transaction}/receipt",
        access=PUBLIC,
        handler=receipt,
        response=dict[str, Any],
        summary_zh="可离线验证的交易凭证",
        summary_en="The receipt of a finalized transaction, which anyone can verify offline",
        etag=True,
    ),
)
