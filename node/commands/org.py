"""`zhenglian org`: organisations and their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.records import KeyRole
from node.commands import agent
from node.commands.context import hex_id, settings
from node.commands.identity_inputs import public_key

app = typer.Typer(no_args_is_help=True, help="Organisations and their keys. 机构与密钥。")


app.add_typer(agent.app, name="agent")


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: Annotated[str, typer.Option(help="operator | department | enterprise | auditor. 类别。")] = "",
) -> None:
    """The organisations on the ledger. 列出机构。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.organizations(kind=kind)
    columns = ("account", found.say("名称", "name"), found.say("类别", "kind"), found.say("状态", "status"))
    found.rows(views, columns, [(view.account, view.name, view.kind, view.status) for view in views])


@app.command("show")
def show(
    ctx: typer.Context, account: Annotated[str, typer.Argument(help="Account id, hex. 账户编号。")]
) -> None:
    """An account with its keys. 查看机构及其密钥。"""
    found = settings(ctx)
    with found.client() as client:
        found.emit(client.account(hex_id(account, "account")))


@app.command("add-key")
def add_key(
    ctx: typer.Context,
    public: Annotated[Path, typer.Argument(help="Public key: output of `keys show --json`. 公钥文件。")],
    role: Annotated[KeyRole, typer.Option(help="admin | officer. 角色。")] = KeyRole.OFFICER,
) -> None:
    """Add an officer's or admin's key to the own organisation. 为本机构添加密钥。"""
    found = settings(ctx)
    _, key = public_key(public, role)
    with found.client(signed=True) as client:
        view = client.add_organization_key(key)
    found.emit(view, found.say("密钥已上链。", "The key is on the ledger."))
