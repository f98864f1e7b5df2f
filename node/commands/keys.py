"""`zhenglian keys`: make and look at key files. Secrets are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.records import KeyRole
from ledger.crypto.registry import load_suite
from node.commands.context import hex_id, settings
from zhenglian import KeyFile, KeyFileUnusable

app = typer.Typer(no_args_is_help=True, help="Key files. 密钥文件。")


def public_part(key: KeyFile, path: Path | None = None) -> dict[str, str | None]:
    """What may be shown of a key, and handed to others."""
    shown: dict[str, str | None] = {
        "account": key.account,
        "key_id": key.key_id,
        "scheme": key.scheme,
        "public_key": key.public_key,
        "role": key.role.value,
        "label": key.label,
        "network": key.network,
    }
    return shown if path is None else {"path": str(path), **shown}


@app.command("new")
def new(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it, mode 0600. 写入位置。")],
    role: Annotated[KeyRole, typer.Option(help="What the key may do. 用途。")] = KeyRole.OFFICER,
    label: Annotated[str, typer.Option(help="Staff number or device, no name. 工号或设备，不写姓名。")] = "",
    account: Annotated[
        str, typer.Option(help="Account id, hex; a new random one if left out. 账户编号，默认随机生成。")
    ] = "",
    suite: Annotated[str, typer.Option(help="Crypto suite. 密码套件。")] = "intl",
) -> None:
    """Make a key file. 生成密钥文件。"""
    found = settings(ctx)
    account_id = bytes.fromhex(hex_id(account, "--account")) if account else None
    key = KeyFile.generate(load_suite(suite), account=account_id, role=role, label=label)
    key.save(file)
    found.emit(public_part(key, file))


@app.command("show")
def show(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Key file; --key if left out. 密钥文件。")] = None,
) -> None:
    """The public part of a key file. 显示公开部分。"""
    found = settings(ctx)
    path = file or found.key_path
    if path is None:
        raise typer.BadParameter(found.say("请给出密钥文件", "name a key file"), param_hint="FILE")
    found.emit(public_part(KeyFile.load(path), path))


@app.command("list")
def list_(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder to look in. 目录。")] = Path(),
) -> None:
    """The key files of a folder; files that cannot be used are named with the reason. 列出目录中的密钥。"""
    found = settings(ctx)
    rows: list[dict[str, str | None]] = []
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.key")):
        try:
            rows.append(public_part(KeyFile.load(path), path))
        except KeyFileUnusable as error:
            if path.suffix == ".key" or "others may" in str(error.fields["reason"]):
                rows.append({"path": str(path), "unusable": error.message(found.language)})
    found.rows(
        rows,
        ("path", "role", "label", "account", "key_id"),
        [
            (
                row["path"],
                row.get("role") or row.get("unusable"),
                row.get("label"),
                row.get("account"),
                row.get("key_id"),
            )
            for row in rows
        ],
    )
