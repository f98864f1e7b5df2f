"""Submitting signed transactions, and what became of them.

Rule: the signature inside is the proof of who asks, so no session is needed to submit. The transaction's id is its
idempotency key: submitting it again is safe and gives its present standing, so Idempotency-Key has no effect
here.

Whoever has the bytes is told the whole. Whoever has the id only is told how it stands, and of the result what it says of
him (`visibility.sight`); the receipt, in which everything stands, is for those who see the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ledger.errors import NotFound
from ledger.receipts import receipt_to_json
from ledger.types import Header, Result, Transaction
from node.http import decode
from node.http.access import PUBLIC
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.routes.visibility import sight
from node.http.routing import Context, NoQuery, Reply, Route
from node.http.views import chain as views
from node.http.views.common import Names
from node.index.ports import IndexedEvent
from node.services.ports import Standing
from zhenglian import api


async def submit(context: Context[api.TransactionRequest, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction)
    status = await context.services.submission.submit(signed, wait_s=context.wait_s)
    chain = context.services.chain
    return Reply(
        status=202 if status.standing is Standing.PENDING else 200,
        body=views.transaction(status, chain, Names(chain.records), _everything),
        headers={"Location": f"/v1/transactions/{status.transaction_id.hex()}"},
    )


def _everything(
    signed: Transaction, result: Result, header: Header, index: int
) -> tuple[list[IndexedEvent], bool]:
    return views.events_of(header, index, signed, result), True


async def transaction(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    status = context.services.submission.status(context.id("transaction"))

    def seen(
        signed: Transaction, result: Result, header: Header, index: int
    ) -> tuple[Sequence[IndexedEvent], bool]:
        found = sight(chain, context.caller, signed, result, header, index)
        return found.events, found.whole

    return Reply(body=views.transaction(status, chain, Names(chain.records), seen))


async def receipt(context: Context[None, NoQuery]) -> Reply:
    chain = context.services.chain
    found = chain.receipt(context.id("transaction"))
    if not sight(chain, context.caller, found.transaction, found.result, found.header).whole:
        raise NotFound(what="finalized transaction", id=context.id("transaction").hex())
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
        summary_zh="交易的状态；与调用者有关的结果与事件",
        summary_en="How a transaction stands, and of its result what concerns the caller",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/transactions/{transaction}/receipt",
        access=PUBLIC,
        handler=receipt,
        response=dict[str, Any],
        summary_zh="可离线验证的交易凭证；签名者、监督方与当事方可取",
        summary_en="The receipt of a finalized transaction, for those whom it concerns; anyone can verify it offline",
        etag=True,
    ),
)
