"""`zhenglian release`: have data handed out under a grant (下链)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.records import Output, OutputFormat
from ledger.errors import DecodeError
from ledger.receipts import trust_from_json
from ledger.types import Trust
from node.commands.context import Settings, hex_id, read_file, settings, write_output
from node.commands.progress import steps
from zhenglian import Retrieved

app = typer.Typer(no_args_is_help=True, help="Releases: data handed out under a grant. 下链。")

Id = Annotated[str, typer.Argument(help="Release id, 16 hex digits. 下链编号。")]
To = Annotated[Path, typer.Option("--to", help="Folder for the files. 文件保存目录。")]
Patience = Annotated[
    int,
    typer.Option("--patience", min=1, max=86_400, help="Seconds to wait for a node that is away. 等待秒数。"),
]
TrustFile = Annotated[
    Path | None, typer.Option("--trust", help="Trust file to hold the ledger's word against. 信任文件。")
]


@app.command("request")
def request(
    ctx: typer.Context,
    grant: Annotated[str, typer.Argument(help="Grant id, hex. 授权编号。")],
    output: Annotated[
        list[str],
        typer.Option(
            "--output",
            help="CERTIFICATE:json|csv:FIELD,… or CERTIFICATE:pdf|png|jpeg:ATTACHMENT; repeat. 输出。",
        ),
    ],
    to: To = Path(),
    operator: Annotated[str, typer.Option(help="Operator whose node is to do it. 办理的运营方账户。")] = "",
    patience: Patience = 120,
    trust: TrustFile = None,
) -> None:
    """Request data, wait, download, check against the ledger, acknowledge. 申请、下载、核对并签收。"""
    found = settings(ctx)
    outputs = [parse_output(text) for text in output]
    with found.client(signed=True, trust=trust_of(trust)) as client, steps(found) as report:
        got = client.retrieve(
            hex_id(grant, "grant id"),
            outputs,
            to,
            node=hex_id(operator, "--operator") if operator else "",
            patience_s=patience,
            report=report,
        )
    show_retrieved(found, got, to)


@app.command("get")
def get(
    ctx: typer.Context, release: Id, to: To = Path(), patience: Patience = 120, trust: TrustFile = None
) -> None:
    """Go on with a release after a break: the same bytes, no second use. 继续之前的下链，不再扣减次数。"""
    found = settings(ctx)
    release_id = hex_id(release, "release id", size_bytes=8)
    with found.client(signed=True, trust=trust_of(trust)) as client, steps(found) as report:
        got = client.retrieve_again(release_id, to, patience_s=patience, report=report)
    show_retrieved(found, got, to)


@app.command("show")
def show(ctx: typer.Context, release: Id) -> None:
    """One release. 查看下链记录。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.release(hex_id(release, "release id", size_bytes=8)))


@app.command("list")
def list_(
    ctx: typer.Context, grant: Annotated[str, typer.Option(help="Of this grant. 所属授权。")] = ""
) -> None:
    """Releases that the key may see. 列出下链记录。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.releases(grant=hex_id(grant, "--grant") if grant else "")
    columns = (
        "release_id",
        found.say("取得方", "grantee"),
        found.say("用途", "purpose"),
        found.say("状态", "state"),
        found.say("时间", "requested"),
    )
    rows = [(view.release_id, view.grantee_name, view.purpose, view.state, view.requested) for view in views]
    found.rows(views, columns, rows)


def parse_output(text: str) -> Output:
    """`certificate:format:names` as an output of a release. Raises DecodeError."""
    certificate, _, rest = text.partition(":")
    format_name, _, names_text = rest.partition(":")
    names = tuple(name.strip() for name in names_text.split(",") if name.strip())
    if format_name not in {item.value for item in OutputFormat} or not names:
        formats = ", ".join(item.value for item in OutputFormat)
        raise DecodeError(
            what="--output", reason=f"certificate:format:names is expected, format one of {formats}"
        )
    certificate_id = bytes.fromhex(hex_id(certificate, "certificate id"))
    kind = OutputFormat(format_name)
    if kind in {OutputFormat.JSON, OutputFormat.CSV}:
        return Output(certificate=certificate_id, format=kind, fields=names, attachment="")
    if len(names) != 1:
        raise DecodeError(what="--output", reason=f"a {kind} output is one attachment")
    return Output(certificate=certificate_id, format=kind, fields=(), attachment=names[0])


def trust_of(path: Path | None) -> Trust | None:
    """What a trust file says; None without one."""
    return None if path is None else trust_from_json(read_file(path, "trust file"))


def show_retrieved(found: Settings, got: Retrieved, to: Path) -> None:
    """Keep the receipt beside the files, and say what there is."""
    receipt = to / f"{got.release.release_id}.receipt.json"
    write_output(receipt, got.receipt.encode())
    files = [str(path) for path in got.files]
    found.emit(
        {
            "release_id": got.release.release_id,
            "state": got.release.state,
            "released_by": got.release.released_by,
            "files": files,
            "file_hashes": [file.file_hash for file in got.release.files],
            "receipt": str(receipt),
        },
        found.say(
            f"下链 {got.release.release_id} 完成，文件与账本记录一致：\n  "
            + "\n  ".join([*files, str(receipt)]),
            f"Release {got.release.release_id} is here, as the ledger recorded it:\n  "
            + "\n  ".join([*files, str(receipt)]),
        ),
    )
