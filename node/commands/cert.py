"""`zhenglian cert`: certificates (证照) and their types."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from contracts.records import CertificateState
from ledger.decoders import convert
from ledger.errors import DecodeError
from node.commands.context import hex_id, moment_ms, now_ms, read_file, read_json, settings, write_output
from zhenglian import Attachment, disclosures
from zhenglian.api import ATTACHMENT_SIZE_BYTES_MAX, FieldValue

app = typer.Typer(no_args_is_help=True, help="Certificates and their types. 证照与证照类型。")

Id = Annotated[str, typer.Argument(help="Certificate id, hex. 证照编号。")]


class IssueFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `cert issue` reads. Times as 2027-01-31 or RFC 3339; attachment paths relative to the file."""

    certificate_type: str
    holder: str
    fields: dict[str, FieldValue]
    attachments: dict[str, str] = {}
    valid_from: str = ""
    valid_until: str = ""
    supersedes: str = ""


@app.command("types")
def types(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="One type, with its fields. 单个类型及其字段。")] = "",
) -> None:
    """The certificate types in force. 现行证照类型。"""
    found = settings(ctx)
    with found.client() as client:
        if code:
            found.emit(client.certificate_type(code))
            return
        views = client.certificate_types()
    found.rows(
        views,
        (
            "#",
            "code",
            found.say("名称", "name"),
            found.say("发证部门", "issuers"),
            found.say("持有者", "holder"),
        ),
        [
            (v.number, v.code, found.say(v.name_zh, v.name_en or v.name_zh), v.issuers_zh, v.holder)
            for v in views
        ],
    )


@app.command("issue")
def issue(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="JSON: certificate_type, holder, fields, attachments, … 证照内容 JSON。")
    ],
    disclosure: Annotated[
        Path | None,
        typer.Option(
            help="File for the holder: the data with salts and proofs, to be shown part by part; personal data. "
            "交持证人保存的披露文件（含个人数据）。"
        ),
    ] = None,
) -> None:
    """Seal a certificate's data and put it on the ledger. 证照上链。"""
    found = settings(ctx)
    try:
        wanted = convert(read_json(file, "certificate"), IssueFile)
    except msgspec.ValidationError as error:
        raise DecodeError(what=f"certificate {file}", reason=str(error)) from None
    now = now_ms()
    with found.client(signed=True) as client:
        issued = client.issue_certificate(
            certificate_type=wanted.certificate_type,
            holder=hex_id(wanted.holder, "holder"),
            fields=wanted.fields,
            attachments=[_attachment(file.parent, name, path) for name, path in wanted.attachments.items()],
            valid_from_ms=moment_ms(wanted.valid_from, "valid_from", now_ms=now)
            if wanted.valid_from
            else None,
            valid_until_ms=moment_ms(wanted.valid_until, "valid_until", now_ms=now)
            if wanted.valid_until
            else 0,
            supersedes=hex_id(wanted.supersedes, "supersedes") if wanted.supersedes else "",
        )
    if disclosure is not None:
        write_output(disclosure, disclosures.to_json(issued.disclosure))
    found.emit(
        {
            "certificate_id": issued.certificate_id,
            "commitment_root": issued.draft.commitment_root,
            "transaction_id": issued.transaction.transaction_id,
            "height": issued.transaction.height,
            "replicas": issued.draft.replicas,
        }
    )


def _attachment(folder: Path, name: str, path: str) -> Attachment:
    content = read_file(folder / path, "attachment", size_bytes_max=ATTACHMENT_SIZE_BYTES_MAX)
    media_type = mimetypes.guess_type(path)[0]
    if media_type not in {"application/pdf", "image/png", "image/jpeg"}:
        raise DecodeError(what=f"attachment {path}", reason="PDF, PNG or JPEG is expected")
    return Attachment(name=name, media_type=media_type, content=content)


@app.command("show")
def show(ctx: typer.Context, certificate: Id) -> None:
    """What is public of a certificate, and its states. 查看证照的公开信息与状态。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.certificate(hex_id(certificate, "certificate id")))


@app.command("list")
def list_(
    ctx: typer.Context,
    holder: Annotated[str, typer.Option(help="Holder's account. 持有者账户。")] = "",
    issuer: Annotated[str, typer.Option(help="Issuer's account. 发证机构账户。")] = "",
    certificate_type: Annotated[str, typer.Option("--type", help="Type code. 类型代码。")] = "",
) -> None:
    """Certificates that the key may see. 列出可见的证照。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.certificates(
            holder=hex_id(holder, "--holder") if holder else "",
            issuer=hex_id(issuer, "--issuer") if issuer else "",
            certificate_type=certificate_type,
        )
    columns = (
        "certificate_id",
        found.say("类型", "type"),
        found.say("发证机构", "issuer"),
        found.say("有效", "valid"),
    )
    rows: list[tuple[Any, ...]] = [
        (view.certificate_id, view.certificate_type, view.issuer_name, view.valid) for view in views
    ]
    found.rows(views, columns, rows)


@app.command("state")
def state(
    ctx: typer.Context,
    certificate: Id,
    new_state: Annotated[CertificateState, typer.Argument(metavar="STATE", help="State. 状态。")],
    reason: Annotated[str, typer.Option(help="Reason code. 原因代码。")],
    end: Annotated[bool, typer.Option("--end", help="End the state. 结束该状态。")] = False,
) -> None:
    """Add or end a state: suspended, revoked, mortgaged, … 变更证照状态。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.set_certificate_state(
            hex_id(certificate, "certificate id"), new_state, holds=not end, reason=reason
        )
    found.emit(view, found.say("状态已上链。", "The state is on the ledger."))


Reason = Annotated[str, typer.Option(help="Reason code, such as purpose_fulfilled. 原因代码。")]


@app.command("request-erasure")
def request_erasure(ctx: typer.Context, certificate: Id, reason: Reason) -> None:
    """Ask the issuer to erase the data of a certificate that one holds. 申请删除本人证照的数据。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.request_erasure(hex_id(certificate, "certificate id"), reason=reason)
    found.emit(
        view,
        found.say(
            "删除申请已上链，制发部门须在三十日内答复。",
            "The request is on the ledger; the issuer has to answer within thirty days.",
        ),
    )


@app.command("decline-erasure")
def decline_erasure(ctx: typer.Context, certificate: Id, reason: Reason) -> None:
    """Refuse such a request. 拒绝删除申请。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.decline_erasure(hex_id(certificate, "certificate id"), reason=reason)
    found.emit(view, found.say("答复已上链。", "The answer is on the ledger."))


@app.command("erase")
def erase(
    ctx: typer.Context,
    certificate: Id,
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. 不再询问。")] = False,
) -> None:
    """Erase the data of a certificate that one issued: final, on every node. 删除已制发证照的数据，不可恢复。"""
    found = settings(ctx)
    name = hex_id(certificate, "certificate id")
    question = found.say(
        f"将在所有节点销毁证照 {name} 的数据，不可恢复。继续？",
        f"The data of certificate {name} will be destroyed on every node, for good. Go on?",
    )
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)
    with found.client(signed=True) as client:
        view = client.erase_certificate(name, reason=reason)
    found.emit(
        view,
        found.say(
            f"已删除；各节点的销毁声明见：zhenglian cert show {name}",
            f"Erased; what each node states: zhenglian cert show {name}",
        ),
    )


@app.command("home-proof")
def home_proof(
    ctx: typer.Context,
    certificate: Id,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")],
    height: Annotated[
        int | None,
        typer.Option(
            "--height", min=1, help="After which block; the newest if left out. 区块高度，缺省为最新。"
        ),
    ] = None,
) -> None:
    """What this network proves of a certificate, for another to recognise it. 供其他地区互认的证照证明。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        text = client.certificate_home_proof(hex_id(certificate, "certificate id"), height=height)
    write_output(out, text.encode())
    found.emit({"proof": str(out)}, found.say(f"证照证明已写入 {out}", f"{out} written."))
