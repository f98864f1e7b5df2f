"""Deposits in one call and in bulk (傻瓜式上链): a file or rows in, a job out, a report for every row.

Rule: a body is never collected here; it goes to the job as it comes. A job is its organisation's, to anybody else it is not there.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from contracts.vocabulary import TypeCode
from ledger.decoders import decode_json
from ledger.errors import InvariantViolation, LimitExceeded, Unavailable
from node.deposits import limits
from node.deposits.bulk import BulkDeposits
from node.deposits.records import ENDED, Job, JobOptions, JobState, SignedBy
from node.http import decode
from node.http.access import GRANTEE_OFFICER
from node.http.config import KIB, RateClass
from node.http.errors import BodyInvalid, HeaderInvalid, ParameterInvalid
from node.http.routes.deposits import attachments
from node.http.routing import JSON, OCTETS, Context, Idempotency, NoQuery, Part, Query, Reply, Route, Upload
from node.http.views import deposits as views
from node.services.ports import DepositInput
from zhenglian import api, api_deposits
from zhenglian.rows.columns import MAPPING_MAX
from zhenglian.rows.problems import PROBLEMS, Problem
from zhenglian.tables.limits import STREAMED_BYTES_MAX
from zhenglian.tables.sniff import MEDIA_TYPES

MULTIPART: Final = "multipart/form-data"
CSV: Final = "text/csv"
MAPPING_LENGTH_MAX: Final = 8 * KIB
PAGE_MAX: Final = 100
_TABLE_PART: Final = "deposit"
_FILE_TYPES: Final = frozenset({"application/pdf", "image/png", "image/jpeg"})
# Rows with their attachments in base64.
ROWS_BODY_BYTES_MAX: Final = api.DEPOSIT_SIZE_BYTES_MAX * 4 // 3 + 1024 * KIB
SIGNATURES_BODY_BYTES_MAX: Final = 2048 * KIB


class DepositQuery(Query):
    type: Annotated[TypeCode, Meta(description="certificate type; 证照类型代码")]
    mapping: Annotated[
        str,
        Meta(
            max_length=MAPPING_LENGTH_MAX,
            description='JSON object: column → field; "" leaves it out; 列映射',
        ),
    ] = ""
    holder: Annotated[
        api.Hex16 | None, Meta(description="holder of every row, for a table that does not say; 持证人账户")
    ] = None
    dry_run: Annotated[bool, Meta(description="check only, put nothing on the ledger; 只检查")] = False


class JobsQuery(Query):
    before: Annotated[
        int, Meta(ge=0, le=2**53 - 1, description="begun before this Unix time, ms; 起始时间早于")
    ] = 2**53 - 1
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="jobs at most; 每页条数")] = 50


class ReportQuery(Query):
    after: Annotated[int, Meta(ge=0, le=2**53 - 1, description="row after which the page begins; 起始行")] = 0
    limit: Annotated[int, Meta(ge=1, le=limits.REPORT_ROWS_MAX, description="rows at most; 每页行数")] = (
        limits.REPORT_ROWS_MAX
    )
    problems_only: Annotated[bool, Meta(description="only rows that did not go up; 仅问题行")] = False
    format: Annotated[Literal["json", "csv"], Meta(description="json or csv")] = "json"


def _bulk(context: Context[Any, Any]) -> BulkDeposits:
    bulk = context.services.bulk
    if bulk is None:
        raise Unavailable(what="deposits in bulk", reason="this node does not take them")
    return bulk


async def _shown(context: Context[Any, Any], job: Job, *, status: int | None = None) -> Reply:
    view = views.job(job, await _bulk(context).counts(job.job_id), context.site.clock_ms())
    headers = {"Location": view.status_url, "Upload-Offset": str(job.received_bytes)}
    if status is None:
        status = 200 if job.state in ENDED else 202
    return Reply(status=status, body=view, headers=headers)


def _mapping(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        found = decode_json(text, dict[str, str])
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        raise ParameterInvalid(
            parameter="mapping", reason="a JSON object of texts is expected", reason_zh="应为 JSON 对象"
        ) from None
    if len(found) > MAPPING_MAX:
        raise LimitExceeded(limit="MAPPING_MAX", maximum=MAPPING_MAX, actual=len(found))
    return found


def _upload(context: Context[Any, Any]) -> Upload:
    upload = context.upload
    if upload is None:
        raise InvariantViolation("a raw route is served without its body")
    return upload


# --- one call -----------------------------------------------------------------------------------------------


async def deposit(context: Context[None, DepositQuery]) -> Reply:
    """A file or rows, signed by the organisation's agent at this node."""
    upload, bulk = _upload(context), _bulk(context)
    if upload.media_type == MULTIPART:
        job = await _multipart(context, upload, bulk)
    else:
        options = _options(context.query, upload.media_type)
        job, _ = await bulk.begin(context.session, upload.key, options, size_bytes=0)
        job = await bulk.receiving.take_whole(context.session, job.job_id, upload.chunks())
    if context.wait_s:
        job = await bulk.wait(job.job_id, context.wait_s)
    return await _shown(context, job)


def _options(query: DepositQuery, media_type: str) -> JobOptions:
    return JobOptions(
        certificate_type=query.type,
        signed_by=SignedBy.AGENT,
        media_type=media_type,
        mapping=_mapping(query.mapping),
        holder=query.holder or "",
        dry_run=query.dry_run,
    )


async def _multipart(context: Context[None, DepositQuery], upload: Upload, bulk: BulkDeposits) -> Job:
    """The table or row first, then the files that it names."""
    job: Job | None = None
    caller = context.session
    try:
        async for part in upload.parts():
            if job is None:
                job = await _table_part(context, part, upload.key, bulk)
            elif job.state is JobState.RECEIVING:
                await _file_part(part, job, bulk)
            else:
                # Sent again: the files are here, or have gone up.
                async for _ in part.chunks():
                    pass
    except BaseException:
        if job is not None:
            await asyncio.shield(bulk.receiving.abandon(job.job_id))
        raise
    if job is None:
        raise _part_wrong("the body has no part", "正文没有任何部分")
    return await bulk.receiving.begin_reading(caller, job.job_id)


async def _table_part(context: Context[None, DepositQuery], part: Part, key: str, bulk: BulkDeposits) -> Job:
    media_type = part.media_type or JSON
    if part.name != _TABLE_PART or media_type not in MEDIA_TYPES:
        raise _part_wrong(
            f"the first part must be named {_TABLE_PART} and be JSON, CSV or XLSX",
            f"第一部分须名为 {_TABLE_PART}，类型为 JSON、CSV 或 XLSX",
        )
    job, _ = await bulk.begin(context.session, key, _options(context.query, media_type), size_bytes=0)
    return await bulk.receiving.take_whole(context.session, job.job_id, part.chunks(), more=True)


async def _file_part(part: Part, job: Job, bulk: BulkDeposits) -> None:
    if not part.file_name or part.media_type not in _FILE_TYPES:
        raise _part_wrong(
            f"part {part.name[:64]!r} must be a PDF, PNG or JPEG file with a name",
            f"部分“{part.name[:64]}”须为有文件名的 PDF、PNG 或 JPEG",
        )
    data = bytearray()
    async for chunk in part.chunks():
        data += chunk
        if len(data) > limits.FILE_BYTES_MAX:
            raise LimitExceeded(limit="FILE_BYTES_MAX", maximum=limits.FILE_BYTES_MAX, actual=len(data))
    await bulk.receiving.put_file(job, part.file_name, part.media_type, bytes(data))


def _part_wrong(reason: str, reason_zh: str) -> BodyInvalid:
    return BodyInvalid(member="multipart", reason=reason, reason_zh=reason_zh)


# --- in steps -----------------------------------------------------------------------------------------------


def _check_begin(asked: api_deposits.UploadRequest) -> None:
    """A file has a type; rows have a number and a seed; neither has what is the other's."""
    of_file = {"media_type": asked.media_type, "size_bytes": asked.size_bytes}
    of_rows = {"salt_seed": asked.salt_seed, "rows_total": asked.rows_total}
    officer = asked.signed_by == "officer"
    needed, other = (of_rows, of_file) if officer else (of_file, of_rows)
    for name, value in needed.items():
        if value is None:
            raise BodyInvalid(
                member=name, reason=f"signed_by {asked.signed_by} needs it", reason_zh="缺少该项"
            )
    for name, value in other.items():
        if value is not None:
            raise BodyInvalid(
                member=name,
                reason=f"it means nothing with signed_by {asked.signed_by}",
                reason_zh="此方式不使用该项",
            )


async def begin(context: Context[api_deposits.UploadRequest, NoQuery]) -> Reply:
    asked = context.body
    _check_begin(asked)
    options = JobOptions(
        certificate_type=asked.certificate_type,
        signed_by=SignedBy(asked.signed_by),
        media_type=asked.media_type or "",
        mapping=asked.mapping,
        holder=asked.holder or "",
        dry_run=asked.dry_run,
        rows_total=asked.rows_total or 0,
    )
    seed = bytes.fromhex(asked.salt_seed) if asked.salt_seed else b""
    job, new = await _bulk(context).begin(
        context.session, context.key, options, size_bytes=asked.size_bytes or 0, seed=seed
    )
    return await _shown(context, job, status=201 if new else 200)


async def content(context: Context[None, NoQuery]) -> Reply:
    upload = _upload(context)
    if upload.offset is None:
        raise HeaderInvalid(header="Upload-Offset", reason="it says where these bytes begin, and is needed")
    job = await _bulk(context).receiving.append(
        context.session, context.id("job"), upload.offset, upload.chunks()
    )
    return await _shown(context, job)


def _row_input(row: api_deposits.DepositRow) -> DepositInput:
    return DepositInput(
        certificate_id=b"",
        certificate_type="",
        holder=bytes.fromhex(row.holder or ""),
        fields=row.fields,
        salt_seed=b"",
        attachments=attachments(row.attachments),
    )


async def rows(context: Context[api_deposits.RowsRequest, NoQuery]) -> Reply:
    """Seal rows; all of a call together, so that they share what can be shared."""
    bulk, caller, name = _bulk(context), context.session, context.id("job")

    async def one(row: api_deposits.DepositRow) -> api_deposits.RowDraftView:
        if row.problems:
            found = [
                Problem(code=one.code, column=one.column, field=one.field, fields=dict(one.fields))
                for one in row.problems
                if one.code in PROBLEMS
            ]
            return views.row_draft(await bulk.officer_rows.skip(caller, name, row.row, found))
        deposit = await asyncio.to_thread(_row_input, row)
        return views.row_draft(await bulk.officer_rows.draft(caller, name, row.row, deposit))

    numbers = [row.row for row in context.body.rows]
    if len(set(numbers)) != len(numbers):
        raise BodyInvalid(member="rows", reason="a row comes twice", reason_zh="行号重复")
    made = await asyncio.gather(*(one(row) for row in context.body.rows), return_exceptions=True)
    views_made: list[api_deposits.RowDraftView] = []
    for view in made:
        if isinstance(view, BaseException):
            # What is wrong with a row is in its view; this is of the job. Rows that were sealed are known again.
            raise view
        views_made.append(view)
    return Reply(body=views_made)


async def signatures(context: Context[api_deposits.SignaturesRequest, NoQuery]) -> Reply:
    signed = [
        (one.row, decode.transaction(one.transaction, expected="certificates.issue"))
        for one in context.body.signed
    ]
    job = await _bulk(context).officer_rows.take_signed(context.session, context.id("job"), signed)
    return await _shown(context, job)


# --- asking -------------------------------------------------------------------------------------------------


async def jobs(context: Context[None, JobsQuery]) -> Reply:
    bulk = _bulk(context)
    found = await bulk.jobs(context.session, before_ms=context.query.before, limit=context.query.limit)
    now_ms = context.site.clock_ms()
    return Reply(body=[views.job(one, await bulk.counts(one.job_id), now_ms) for one in found])


async def job(context: Context[None, NoQuery]) -> Reply:
    bulk = _bulk(context)
    found = await bulk.job(context.session, context.id("job"))
    if context.wait_s:
        found = await bulk.wait(found.job_id, context.wait_s)
    return await _shown(context, found, status=200)


async def report(context: Context[None, ReportQuery]) -> Reply:
    bulk, query = _bulk(context), context.query
    found = await bulk.job(context.session, context.id("job"))
    page = await bulk.rows(
        found.job_id, after=query.after, limit=query.limit, problems_only=query.problems_only
    )
    following = page[-1].number if len(page) == query.limit else None
    if query.format == "csv":
        headers = {"Content-Disposition": f'attachment; filename="report-{found.job_id.hex()}.csv"'}
        if following is not None:
            headers["Link"] = (
                f'</v1/deposits/{found.job_id.hex()}/report?format=csv&after={following}>; rel="next"'
            )
        return Reply(body=views.report_csv(page), media_type=f"{CSV}; charset=utf-8", headers=headers)
    return Reply(
        body=api_deposits.DepositReport(
            job=found.job_id.hex(),
            state=found.state.value,
            rows=[views.report_row(row) for row in page],
            next=following,
        )
    )


async def cancel(context: Context[None, NoQuery]) -> Reply:
    return await _shown(context, await _bulk(context).cancel(context.session, context.id("job")), status=200)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/deposits",
        access=GRANTEE_OFFICER,
        handler=deposit,
        query=DepositQuery,
        accepts=(
            CSV,
            JSON,
            "application/x-ndjson",
            *(kind for kind in MEDIA_TYPES if "sheet" in kind),
            MULTIPART,
        ),
        response=api_deposits.DepositJob,
        statuses=(202, 200),
        body_bytes_max=STREAMED_BYTES_MAX,
        rate=RateClass.UPLOAD,
        idempotency=Idempotency.OWN,
        waits=True,
        summary_zh="一次调用上链：表格文件、JSON 行，或带附件的 multipart；由本机构的代签密钥签名",
        summary_en="Deposit in one call: a table, JSON rows, or multipart with files; signed by the organisation's agent key",
    ),
    Route(
        method="GET",
        path="/v1/deposits",
        access=GRANTEE_OFFICER,
        handler=jobs,
        query=JobsQuery,
        response=list[api_deposits.DepositJob],
        summary_zh="本机构的上链任务，最新在前",
        summary_en="The organisation's deposits, newest first",
    ),
    Route(
        method="POST",
        path="/v1/deposits/uploads",
        access=GRANTEE_OFFICER,
        handler=begin,
        request=api_deposits.UploadRequest,
        response=api_deposits.DepositJob,
        statuses=(201, 200),
        body_bytes_max=128 * KIB,
        rate=RateClass.UPLOAD,
        idempotency=Idempotency.OWN,
        summary_zh="开始一次可断点续传的上链",
        summary_en="Begin a deposit that can be resumed",
    ),
    Route(
        method="PATCH",
        path="/v1/deposits/{job}/content",
        access=GRANTEE_OFFICER,
        handler=content,
        accepts=(OCTETS,),
        response=api_deposits.DepositJob,
        statuses=(202, 200),
        body_bytes_max=STREAMED_BYTES_MAX,
        rate=RateClass.UPLOAD,
        summary_zh="从 Upload-Offset 处继续上传",
        summary_en="Go on with an upload from Upload-Offset",
    ),
    Route(
        method="POST",
        path="/v1/deposits/{job}/rows",
        access=GRANTEE_OFFICER,
        handler=rows,
        request=api_deposits.RowsRequest,
        response=list[api_deposits.RowDraftView],
        body_bytes_max=ROWS_BODY_BYTES_MAX,
        rate=RateClass.UPLOAD,
        summary_zh="提交若干行，加密后返回待签名的草稿；重复提交得到相同结果",
        summary_en="Rows to be sealed, answered with drafts to sign; the same rows again are what they were",
    ),
    Route(
        method="POST",
        path="/v1/deposits/{job}/signatures",
        access=GRANTEE_OFFICER,
        handler=signatures,
        request=api_deposits.SignaturesRequest,
        response=api_deposits.DepositJob,
        statuses=(202, 200),
        body_bytes_max=SIGNATURES_BODY_BYTES_MAX,
        rate=RateClass.WRITE,
        summary_zh="提交各行的签名，开始入账",
        summary_en="Signatures of rows, which then go up",
    ),
    Route(
        method="GET",
        path="/v1/deposits/{job}",
        access=GRANTEE_OFFICER,
        handler=job,
        response=api_deposits.DepositJob,
        waits=True,
        summary_zh="上链任务的状态与进度；Prefer: wait=N 等待结束",
        summary_en="How a deposit stands; Prefer: wait=N waits for its end",
    ),
    Route(
        method="GET",
        path="/v1/deposits/{job}/report",
        access=GRANTEE_OFFICER,
        handler=report,
        query=ReportQuery,
        response=api_deposits.DepositReport,
        summary_zh="逐行报告：结果、问题与处理办法、所作的规范化",
        summary_en="A report a row: what became of it, what is wrong, what to do, what was normalised",
    ),
    Route(
        method="DELETE",
        path="/v1/deposits/{job}",
        access=GRANTEE_OFFICER,
        handler=cancel,
        response=api_deposits.DepositJob,
        summary_zh="停止任务；已上链的行不受影响",
        summary_en="Stop a deposit; rows on the ledger stay there",
    ),
)
