"""`zhenglian grant body`: the free text and case number behind a grant (授权附文)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from contracts.body_records import BodyKind
from ledger.errors import LedgerError
from node.commands.context import Settings, hex_id, read_file, settings
from node.commands.grant_inputs import Id
from zhenglian import Client
from zhenglian.grant_bodies import BODY_SIZE_BYTES_MAX, SALT_SIZE_BYTES, GrantBody
from zhenglian.private_files import write_private

app = typer.Typer(no_args_is_help=True, help="Free text and case number behind a grant. 授权附文。")

Which = Annotated[
    BodyKind,
    typer.Option("--kind", help="body, or case of an access without consent. 附文，或依法访问的案号。"),
]


def new_body(texts: dict[str, str]) -> GrantBody:
    """A body with a salt of its own."""
    return GrantBody(texts, os.urandom(SALT_SIZE_BYTES))


def keep_or_save(
    found: Settings, client: Client, grant_id: str, body: GrantBody, kind: BodyKind, path: Path
) -> None:
    """Have the body of a request kept that is on the ledger already; if that fails now, leave it in a private file and say so."""
    try:
        client.keep_grant_body(grant_id, body, kind=kind.value)
    except LedgerError as error:
        if not path.exists():
            write_private(path, body.to_json())
        again = f"zhenglian grant body keep {grant_id} {path} --kind {kind.value}"
        found.note(
            f"附文暂未保管（{error.message('zh')}），请稍后执行：{again}",
            f"The body is not kept yet ({error.message('en')}); do it again by: {again}",
        )


@app.command("keep")
def keep(
    ctx: typer.Context,
    grant: Id,
    file: Annotated[Path, typer.Argument(help="Body file with its salt. 附文文件（含盐）。")],
    kind: Which = BodyKind.BODY,
) -> None:
    """Have the body of your own request sealed and kept by the operators. 加密保管附文。"""
    found = settings(ctx)
    body = GrantBody.from_json(read_file(file, "body of a grant", size_bytes_max=2 * BODY_SIZE_BYTES_MAX))
    with found.client(signed=True) as client:
        name = client.keep_grant_body(hex_id(grant, "grant id"), body, kind=kind.value)
    found.emit({"body_id": name}, found.say(f"附文 {name} 已加密保管。", f"Body {name} is sealed and kept."))


@app.command("show")
def show(
    ctx: typer.Context,
    grant: Id,
    kind: Which = BodyKind.BODY,
    mandate: Annotated[
        str, typer.Option("--mandate", help="Mandate by which you act for the holder, hex. 委托编号。")
    ] = "",
) -> None:
    """Read it; that is on record. 阅读附文（上链留痕）。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        texts = client.open_grant_body(
            hex_id(grant, "grant id"),
            kind=kind.value,
            mandate=hex_id(mandate, "--mandate") if mandate else "",
        )
    found.rows(texts, (found.say("名称", "name"), found.say("内容", "text")), list(texts.items()))


@app.command("erase")
def erase(ctx: typer.Context, grant: Id, kind: Which = BodyKind.BODY) -> None:
    """Erase it on every node once the grant is over. 授权结束后在所有节点删除。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        client.erase_grant_body(grant_id, kind=kind.value)
    _erased(found, grant_id)


def _erased(found: Settings, grant_id: str) -> None:
    found.emit(
        {"grant_id": grant_id, "erased": True},
        found.say(
            f"授权 {grant_id} 的附文已删除，各节点将声明销毁。",
            f"The body of grant {grant_id} is erased; each node states its destruction.",
        ),
    )
