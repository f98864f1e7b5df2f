"""`zhenglian node passphrase`: another passphrase for a node's keys, or the first for keys that lie readable."""

from __future__ import annotations

from pathlib import Path

import typer

from node.commands.context import settings
from node.commands.options import HomeFolder, NewPassphraseOption
from node.home import FileUnusable, Home
from node.keystore import KeyFiles
from node.relock import set_passphrase
from zhenglian.unlocking import read_passphrase, sources

DEFAULT_HOME = Path("zhenglian-home")


def add_to(app: typer.Typer) -> None:
    """Hang the command into `zhenglian node`."""
    app.command("passphrase")(passphrase)


def passphrase(
    ctx: typer.Context, home: HomeFolder = DEFAULT_HOME, new_passphrase_file: NewPassphraseOption = None
) -> None:
    """Change the passphrase of this node's keys, or seal keys that lie readable. 更换口令，或加密明文密钥。"""
    found = settings(ctx)
    folder = Home(home)
    if not folder.keys.is_dir():
        raise FileUnusable(path=str(folder.keys), reason="not a node's folder")
    new = (
        read_passphrase(new_passphrase_file).require_new()
        if new_passphrase_file is not None
        else sources().ask_new(str(KeyFiles(folder).keyring))
    )
    done = set_passphrase(folder, new, sources())
    new.wipe()
    sealed = [path.name for path in done.sealed]
    zh = ("口令已更换。" if done.changed else "") + (f"已加密：{', '.join(sealed)}。" if sealed else "")
    en = ("The passphrase is changed. " if done.changed else "") + (
        f"Sealed: {', '.join(sealed)}." if sealed else ""
    )
    found.emit(
        {"home": str(home), "changed": done.changed, "sealed": sealed},
        found.say(
            f"{zh}\nadmin.json 有自己的口令：zhenglian keys passphrase FILE。备份中的旧文件仍可用旧口令打开。",
            f"{en}\nadmin.json has its own passphrase: zhenglian keys passphrase FILE. Old copies still open with the old one.",
        ),
    )
