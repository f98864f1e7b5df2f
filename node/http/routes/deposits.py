"""Depositing one certificate's data: sealed off chain, answered with what the issuer then signs.

Rule: the plaintext is handed to the service and kept nowhere here; of the request only a hash stays, which
the random `salt_seed` inside makes unguessable.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ledger.errors import LimitExceeded
from node.http.access import GRANTEE_OFFICER
from node.http.config import KIB, RateClass
from node.http.decode import base64_bytes
from node.http.routing import Context, Idempotency, NoQuery, Reply, Route
from node.http.views import records as views
from node.services.ports import AttachmentInput, DepositInput
from zhenglian import api

# Base64 of the largest deposit, and room for the JSON around it.
BODY_BYTES_MAX: Final = api.DEPOSIT_SIZE_BYTES_MAX * 4 // 3 + 64 * KIB


def attachments(uploads: list[api.AttachmentUpload]) -> tuple[AttachmentInput, ...]:
    """Files as the service takes them. Raises BodyInvalid, LimitExceeded."""
    found = []
    for number, upload in enumerate(uploads):
        data = base64_bytes(upload.data, f"attachments[{number}].data")
        if len(data) > api.ATTACHMENT_SIZE_BYTES_MAX:
            raise LimitExceeded(
                limit=f"attachments[{number}].data", maximum=api.ATTACHMENT_SIZE_BYTES_MAX, actual=len(data)
            )
        found.append(AttachmentInput(name=upload.name, media_type=upload.media_type, data=data))
    return tuple(found)


def deposit_input(asked: api.DepositRequest) -> DepositInput:
    return DepositInput(
        certificate_id=bytes.fromhex(asked.certificate_id),
        certificate_type=asked.certificate_type,
        holder=bytes.fromhex(asked.holder),
        fields=asked.fields,
        salt_seed=bytes.fromhex(asked.salt_seed),
        attachments=attachments(asked.attachments),
    )


async def draft(context: Context[api.DepositRequest, NoQuery]) -> Reply:
    prepared = await context.services.deposits.prepare(
        await asyncio.to_thread(deposit_input, context.body), context.session
    )
    return Reply(status=201, body=views.draft(prepared))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/deposits/drafts",
        access=GRANTEE_OFFICER,
        handler=draft,
        request=api.DepositRequest,
        response=api.DepositDraft,
        statuses=(201,),
        body_bytes_max=BODY_BYTES_MAX,
        rate=RateClass.UPLOAD,
        idempotency=Idempotency.REQUIRED,
        summary_zh="存入证照内容：加密、复制，返回待签发的承诺",
        summary_en="Deposit a certificate's data: sealed and replicated, answered with what to sign",
    ),
)
