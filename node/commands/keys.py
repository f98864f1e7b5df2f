"""`zhenglian keys`: make and look at key files. Secrets are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.records import KeyRole
from ledger.crypto.registry import load_suite
from node.commands import shares
from node.commands.context import InputUnusable, hex_id, settings
from node.commands.options import NewPassphraseOption, TokenOption, UnencryptedOption
from zhenglian import KeyFile, KeyFileUnusable
from zhenglian.keyfile import PublicKeyFile, read_public
from zhenglian.unlocking import read_passphrase, sources

app = typer.Typer(no_args_is_help=True, help="Key files. 密钥文件。")
shares.add_to(app)


def public_part(
    key: PublicKeyFile, path: Path | None = None, lock: str | None = None
) -> dict[str, str | None]:
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
    if lock is not None:
        shown["lock"] = lock
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
    token_label: TokenOption = "",
    key_label: Annotated[
        str, typer.Option("--key-label", help="The key's label in the token. 密钥在设备中的标签。")
    ] = "",
    unencrypted: UnencryptedOption = False,
) -> None:
    """Make a key, in a file with a passphrase or in a token. 生成密钥：加密文件或密码设备中。"""
    found = settings(ctx)
    account_id = bytes.fromhex(hex_id(account, "--account")) if account else None
    if file.exists():
        raise KeyFileUnusable(path=str(file), reason="it exists already; a key is never overwritten")
    if bool(token_label) != bool(key_label):
        raise InputUnusable(what="--token-label", reason="a key in a token needs --key-label too")
    if token_label:
        key = KeyFile.generate_in_token(
            load_suite(suite),
            sources().token(token_label),
            key_label,
            account=account_id,
            role=role,
            label=label,
        )
        key.save(file)
    else:
        passphrase = None if unencrypted else sources().new_passphrase(str(file))
        key = KeyFile.generate(load_suite(suite), account=account_id, role=role, label=label)
        key.save(file, passphrase=passphrase, unencrypted=unencrypted)
    found.emit(public_part(key, file, read_public(file)[1]))


@app.command("passphrase")
def passphrase(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Key file. 密钥文件。")],
    new_passphrase_file: NewPassphraseOption = None,
) -> None:
    """Change a key file's passphrase, or seal one that lies readable. 更换口令，或加密明文密钥文件。"""
    found = settings(ctx)
    _public, lock = read_public(file)
    if lock == "pkcs11":
        raise KeyFileUnusable(
            path=str(file), reason="its key is in a token; change the PIN with the token's own tool"
        )
    key = KeyFile.load(file)
    new = (
        read_passphrase(new_passphrase_file)
        if new_passphrase_file is not None
        else sources().ask_new(str(file))
    )
    key.save(file, passphrase=new, replace=True)
    new.wipe()
    found.emit(
        {"path": str(file), "lock": "passphrase"},
        found.say(
            f"{file} 已换用新口令；旧副本仍可用旧口令打开。",
            f"{file} has its new passphrase; old copies still open with the old one.",
        ),
    )


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
    key, lock = read_public(path)
    found.emit(public_part(key, path, lock))


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
            key, lock = read_public(path)
            rows.append(public_part(key, path, lock))
        except KeyFileUnusable as error:
            if path.suffix == ".key" or "others may" in str(error.fields["reason"]):
                rows.append({"path": str(path), "unusable": error.message(found.language)})
    found.rows(
        rows,
        ("path", "role", "label", "account", "key_id", "lock"),
        [
            (
                row["path"],
                row.get("role") or row.get("unusable"),
                row.get("label"),
                row.get("account"),
                row.get("key_id"),
                row.get("lock"),
            )
            for row in rows
        ],
    )
