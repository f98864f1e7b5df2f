"""`zhenglian node backup`, `backup verify` and `restore`: a copy of a node that is proven before anybody relies on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from typer.core import TyperGroup

from ledger.errors import DecodeError
from ledger.types import Genesis
from node.backup import BackupPlan, make_backup
from node.backup_format import Manifest
from node.commands.context import now_ms, read_file, settings
from node.commands.progress import stages
from node.founding import BUNDLE_BYTES_MAX, bundle_from_json, genesis_from_json
from node.home import Home
from node.restore import Verified, restore_backup, verify_backup

DEFAULT_HOME: Final = Path("zhenglian-home")
_MAKE: Final = "make"


class _MakeUnlessNamed(TyperGroup):
    """`node backup DEST` stands for `node backup make DEST`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = [_MAKE, *args]
        return super().parse_args(ctx, args)


backups = typer.Typer(
    cls=_MakeUnlessNamed,
    no_args_is_help=True,
    help="Back up a node, also while it runs: `node backup DEST`. 备份节点，无须停止。",
)

NetworkFile = Annotated[
    Path | None,
    typer.Option("--network", help="Compare with this network.json or genesis. 与该网络文件核对。"),
]
BackupFolder = Annotated[Path, typer.Argument(help="The backup. 备份目录。")]


@backups.command(_MAKE, hidden=True)
def make(
    ctx: typer.Context,
    destination: Annotated[Path, typer.Argument(help="Folder to make. 目标目录，须不存在或为空。")],
    home: Annotated[
        Path, typer.Option("--home", envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
    ] = DEFAULT_HOME,
    without_blobs: Annotated[
        bool, typer.Option("--without-blobs", help="Leave out ciphertext. 不含密文文件。")
    ] = False,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Include the encrypted keys. 包含已加密的密钥。")
    ] = False,
    copy_blobs: Annotated[
        bool, typer.Option("--copy-blobs", help="Copy blobs, never link. 复制密文而不使用硬链接。")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not prove the copy. 不核验副本内容。")] = False,
) -> None:
    """Make a backup of the node's folder at DESTINATION. 生成备份。"""
    found = settings(ctx)
    plan = BackupPlan(
        home=Home(home),
        destination=destination,
        blobs=not without_blobs,
        keys=with_keys,
        linked=not copy_blobs,
        proven=not quick,
        now_ms=now_ms(),
    )
    with stages(found) as progress:
        made = make_backup(plan, progress)
    manifest = made.manifest
    missing_zh = ("" if plan.keys else "、密钥") + ("" if plan.blobs else "、密文文件（--without-blobs）")
    missing_en = ("" if plan.keys else ", keys") + ("" if plan.blobs else ", ciphertext (--without-blobs)")
    keys_zh = "密钥已按原样加密包含，口令请另行保存。" if plan.keys else f"密钥请另行离线保存：{home}/keys"
    keys_en = (
        "The keys are inside, encrypted as they lie; keep their passphrase apart."
        if plan.keys
        else f"Keep the keys apart and offline: {home}/keys"
    )
    lost_zh = (
        f"\n警告：{len(made.damaged_blobs)} 个密文文件已损坏，未包含在内。" if made.damaged_blobs else ""
    )
    lost_en = (
        f"\nWarning: {len(made.damaged_blobs)} blobs are damaged and left out." if made.damaged_blobs else ""
    )
    found.emit(
        {
            "backup": str(destination),
            "proven": plan.proven,
            "damaged_blobs": made.damaged_blobs,
            **_plain(manifest),
        },
        found.say(
            f"备份已生成：{destination}，区块高度 {manifest.height}，{manifest.files} 个文件，{_mib(manifest)} MiB。\n"
            f"不包含：日志（旧日志会导致重复投票，切勿备份或恢复）{missing_zh}、索引与缓存。\n"
            f"{keys_zh}{lost_zh}",
            f"Backup made: {destination}, height {manifest.height}, {manifest.files} files, {_mib(manifest)} MiB.\n"
            f"Not inside: the journal (an old one makes a validator vote twice; never back it up or put it back)"
            f"{missing_en}, index and caches.\n"
            f"{keys_en}{lost_en}",
        ),
    )


@backups.command("verify")
def verify(ctx: typer.Context, backup: BackupFolder, network: NetworkFile = None) -> None:
    """Prove that a backup is whole: signature, every file, the whole store. 核验备份。"""
    found = settings(ctx)
    genesis = _genesis(network)
    with stages(found) as progress:
        verified = verify_backup(backup, genesis=genesis, progress=progress)
    manifest = verified.manifest
    found.emit(
        {"backup": str(backup), "whole": True, **_counts(verified), **_plain(manifest)},
        found.say(
            f"备份完好：网络 {manifest.network}，节点 {manifest.name}，区块高度 {manifest.height}，"
            f"{manifest.files} 个文件，{_mib(manifest)} MiB，密文文件{'已' if manifest.blobs == 'all' else '未'}包含。",
            f"The backup is whole: network {manifest.network}, node {manifest.name}, height {manifest.height}, "
            f"{manifest.files} files, {_mib(manifest)} MiB, blobs: {manifest.blobs}.",
        ),
    )


def restore(
    ctx: typer.Context,
    backup: BackupFolder,
    home: Annotated[Path, typer.Argument(help="Folder to make. 节点目录，须不存在或为空。")],
    network: NetworkFile = None,
) -> None:
    """Make a node's folder out of a backup, once all of it is proven. 从备份恢复节点目录。"""
    found = settings(ctx)
    genesis = _genesis(network)
    with stages(found) as progress:
        verified = restore_backup(backup, home, genesis=genesis, progress=progress)
    manifest = verified.manifest
    found.emit(
        {"home": str(home), "backup": str(backup), **_counts(verified), **_plain(manifest)},
        found.say(
            f"已恢复至 {home}，区块高度 {manifest.height}，全部内容已核验。接下来：\n"
            f"1. 将离线保存的密钥放入 {home}/keys"
            f"（keyring.json、node.json、vote.key、wrap.key、tls.pem，权限 600）；备份之后更换过密钥或证书的，"
            f"同时放入与之相符的 card.json。\n"
            f"2. 启动：zhenglian node run --home {home}。节点会追上网络，但只跟随、不投票：没有人知道备份之后它投过哪些票。\n"
            f"3. 更换投票密钥：zhenglian node rotate-key --home {home}，重新启动，再由运营方表决。切勿放回旧日志。",
            f"Restored to {home}, height {manifest.height}; everything was proven. Now:\n"
            f"1. Put the keys that you keep offline into {home}/keys "
            f"(keyring.json, node.json, vote.key, wrap.key, tls.pem, mode 600), with the "
            f"card.json that belongs to them if they were changed since the backup.\n"
            f"2. Start: zhenglian node run --home {home}. It catches up and follows without voting, since nobody knows what it "
            f"voted after the backup.\n"
            f"3. Replace its vote key: zhenglian node rotate-key --home {home}, start again, and have the operators vote. Never "
            f"put back an old journal.",
        ),
    )


def add_to(app: typer.Typer) -> None:
    """Put these commands into `zhenglian node`."""
    app.add_typer(backups, name="backup")
    app.command("restore")(restore)


def _genesis(path: Path | None) -> Genesis | None:
    if path is None:
        return None
    data = read_file(path, "network file", size_bytes_max=BUNDLE_BYTES_MAX)
    try:
        return bundle_from_json(data).genesis
    except DecodeError:
        return genesis_from_json(data)


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(manifest)
    return plain


def _counts(verified: Verified) -> dict[str, int]:
    return {
        "blocks": verified.blocks,
        "certificates": verified.certificates,
        "state_values": verified.state_values,
    }


def _mib(manifest: Manifest) -> int:
    return manifest.size_bytes // 1024**2 + 1
