"""`zhenglian grant access`, `zhenglian grant review`: access on a legal basis or in an emergency (法定依据访问)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from contracts.body_records import BodyKind
from contracts.grant_records import ConsentMode
from ledger.crypto.registry import load_suite
from node.commands.context import Settings, hex_id, moment_ms, now_ms, read_file, settings
from node.commands.grant_body import keep_or_save, new_body
from node.commands.grant_inputs import DAY_MS, Id, Items, Often, parse_frequency, parse_item
from zhenglian.api import TransactionView
from zhenglian.grant_bodies import GrantBody
from zhenglian.private_files import write_private

app = typer.Typer(no_args_is_help=True, help="Access without consent, with an approver. 法定依据访问。")


@app.command("request")
def request(
    ctx: typer.Context,
    person: Annotated[str, typer.Option(help="Account of the person, hex. 本人账户。")],
    purpose: Annotated[str, typer.Option(help="Purpose code. 用途代码。")],
    item: Items,
    legal_ref: Annotated[str, typer.Option(help="The provision. 法律条款。")],
    case_number: Annotated[str, typer.Option(help="Stays off the ledger; see --body. 案号，不上链。")],
    body: Annotated[
        Path,
        typer.Option(
            help="Where the case number and its salt are written; keep it secret. 案号与盐值的保存文件。"
        ),
    ],
    basis: Annotated[str, typer.Option(help="Code of the lawful basis. 法定依据代码。")] = "legal_obligation",
    uses: Annotated[int, typer.Option(min=1, help="Number of releases. 使用次数。")] = 1,
    until: Annotated[str, typer.Option(help="End: 2027-01-31, +30d. 到期时间。")] = "+1d",
    data_life: Annotated[int, typer.Option(min=0, help="Days that the data is used. 数据使用天数。")] = 1,
    frequency: Often = "",
    notice_after: Annotated[
        str,
        typer.Option(help="The person is shown it from then on, at most +90d. 何时起向本人显示，默认立即。"),
    ] = "",
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Open at once, 24 hours at most, reviewed. 紧急访问。")
    ] = False,
) -> None:
    """Ask another organisation for access on a legal basis; or open it in an emergency. 申请法定依据访问。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        made = _case(case_number, body)
        commitment = made.commitment(load_suite(client.network().suite))
        grant_id = client.request_access(
            person=hex_id(person, "--person"),
            purpose=purpose,
            items=[parse_item(client, text) for text in item],
            lawful_basis=basis,
            legal_ref=legal_ref,
            case_commitment=commitment,
            uses_max=uses,
            consent_expiry_ms=moment_ms(until, "--until", now_ms=now_ms()),
            data_life_ms=data_life * DAY_MS,
            frequency=parse_frequency(frequency),
            consent_mode=ConsentMode.VIEW,
            notice_after_ms=(
                moment_ms(notice_after, "--notice-after", now_ms=now_ms()) if notice_after else 0
            ),
            emergency=emergency,
        )
        keep_or_save(found, client, grant_id, made, BodyKind.CASE, body)
    found.emit(
        {"grant_id": grant_id, "case_commitment": commitment.hex(), "body": str(body)},
        found.say(
            f"紧急访问 {grant_id} 已开启，须由另一机构复核。"
            if emergency
            else f"访问申请 {grant_id} 已上链，等待另一机构批准。",
            f"Emergency access {grant_id} is open; another organisation has to review it."
            if emergency
            else f"Access {grant_id} requested; another organisation decides now.",
        ),
    )


@app.command("decide")
def decide(
    ctx: typer.Context,
    grant: Id,
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Open it or not. 批准或驳回。")],
) -> None:
    """Approve or reject another organisation's access. 批准或驳回。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        view = client.decide_access(grant_id, approve=approve)
    _done(found, grant_id, view, *(("已批准", "approved") if approve else ("已驳回", "rejected")))


@app.command("end")
def end(ctx: typer.Context, grant: Id) -> None:
    """End an access for good. 终止访问。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.end_access(grant_id), "已终止", "ended")


@app.command("extend-notice")
def extend_notice(
    ctx: typer.Context,
    grant: Id,
    until: Annotated[str, typer.Option(help="New time: 2027-01-31, +30d; at most +90d. 延至何时。")],
) -> None:
    """Agree, as one more approver, that the person is shown it later. 延期告知。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        view = client.extend_notice(grant_id, notice_after_ms=moment_ms(until, "--until", now_ms=now_ms()))
    _done(found, grant_id, view, "已延期告知", "kept silent longer")


def review(
    ctx: typer.Context,
    grant: Id,
    justified: Annotated[bool, typer.Option("--justified/--unjustified", help="What was found. 复核结论。")],
    report: Annotated[
        Path | None, typer.Option(help="The report; its hash goes on the ledger. 复核报告文件。")
    ] = None,
) -> None:
    """Say what came of the review of an emergency access. 复核紧急访问。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    digest = b"" if report is None else hashlib.sha256(read_file(report, "report")).digest()
    with found.client(signed=True) as client:
        view = client.review_access(grant_id, justified=justified, report=digest)
    _done(found, grant_id, view, "已复核", "reviewed")


def _case(case_number: str, path: Path) -> GrantBody:
    """The body with a case number, whose file is there before anything is sent."""
    made = new_body({"case_number": case_number})
    write_private(path, made.to_json())
    return made


def _done(found: Settings, grant_id: str, view: TransactionView, zh: str, en: str) -> None:
    found.emit(
        {"grant_id": grant_id, "transaction_id": view.transaction_id, "height": view.height},
        found.say(
            f"访问 {grant_id} {zh}，区块高度 {view.height}。",
            f"Access {grant_id} {en} at height {view.height}.",
        ),
    )
