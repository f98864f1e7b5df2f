"""Forms, the field dictionary, and filling in (免填写).

Rule: forms and the dictionary are public; filling one in is a release, with the same caller and the same signature.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import NotFound
from node.http import decode
from node.http.access import GRANTEE_OFFICER, PUBLIC
from node.http.config import TRANSACTION_BODY_BYTES_MAX, RateClass
from node.http.errors import NotTheSigner
from node.http.routing import Context, Idempotency, NoQuery, Reply, Route
from node.http.views import questions as views
from node.http.views.common import Names
from node.services.prefill import Prefill
from zhenglian import api_questions as api
from zhenglian.api import WAIT_S_MAX
from zhenglian.dictionary import Dictionary, load_dictionary


async def dictionary(_context: Context[None, NoQuery]) -> Reply:
    return Reply(body=load_dictionary())


async def forms(context: Context[None, NoQuery]) -> Reply:
    records = context.services.chain.records
    names = Names(records)
    return Reply(body=[views.form(found, names) for found in records.forms()])


async def form(context: Context[None, NoQuery]) -> Reply:
    records = context.services.chain.records
    found = records.form(context.code("code"))
    if found is None:
        raise NotFound(what="form", id=context.code("code"))
    return Reply(body=views.form(found, Names(records)))


async def prefill(context: Context[api.PrefillRequest, NoQuery]) -> Reply:
    signed = decode.transaction(context.body.transaction, expected="releases.request")
    caller, services = context.session, context.services
    if (signed.body.account, signed.body.key_id) != (caller.account, caller.key_id):
        raise NotTheSigner
    service = Prefill(chain=services.chain, index=services.index, releases=services.releases)
    found = await service.fill(context.code("code"), signed, wait_s=context.wait_s or WAIT_S_MAX)
    # People's data: the same transaction again fills the form in again, so nothing of it lies on disk for a retry.
    return Reply(
        body=views.filled(found, Names(services.chain.records), display=context.body.display), kept=False
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/dictionary",
        access=PUBLIC,
        handler=dictionary,
        response=Dictionary,
        summary_zh="数据元字典：标准用语与证照字段的对应",
        summary_en="The field dictionary: standard terms, and the fields that say them",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/forms",
        access=PUBLIC,
        handler=forms,
        response=list[api.FormView],
        summary_zh="已登记的表单",
        summary_en="Registered forms",
        etag=True,
    ),
    Route(
        method="GET",
        path="/v1/forms/{code}",
        access=PUBLIC,
        handler=form,
        response=api.FormView,
        summary_zh="一张表单",
        summary_en="One form",
        etag=True,
    ),
    Route(
        method="POST",
        path="/v1/forms/{code}/prefill",
        access=GRANTEE_OFFICER,
        handler=prefill,
        request=api.PrefillRequest,
        response=api.FilledForm,
        body_bytes_max=TRANSACTION_BODY_BYTES_MAX,
        rate=RateClass.WRITE,
        idempotency=Idempotency.OPTIONAL,
        waits=True,
        summary_zh="免填写：提交已签名的 releases.request，返回填好的表单，每项附来源证照与证明；填不上的说明原因",
        summary_en="Fill a form in from a signed releases.request: each value with its certificate and proof, or why there is none",
    ),
)
