"""`zhenglian keys shared | renew | export-share | import-share | drill`: keys that operators hold together, and one's own shares.

Rule: a share leaves the node's folder only into a file under a passphrase of its own, and never over another file. What a drill
says was tried, not looked up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.shared_key_calls import SharedKeysRenew
from contracts.shared_key_records import KeyPurpose
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import CryptoSuite, chain_id
from ledger.types import Genesis
from node.commands.context import EXIT_NEGATIVE, InputUnusable, Settings, now_ms, settings
from node.commands.options import HomeFolder
from node.founding import read_genesis
from node.holders.drill import KeyDrill, drill
from node.holders.exports import (
    ExportFile,
    NothingToExport,
    note_export,
    open_export,
    read_export,
    write_export,
)
from node.holders.share_file import (
    HeldShare,
    HeldShares,
    SealedFolder,
    ShareFile,
    open_shares,
    read_shares,
    sealing_key,
)
from node.home import FileUnusable, Home
from node.identity import load_identity
from node.lock import HomeLock
from zhenglian.api_keys import SharedKeysView, SharedKeyView
from zhenglian.unlocking import Passphrase, read_passphrase, sources

DEFAULT_HOME: Final = Path("zhenglian-home")
FILES_MAX: Final = 128

ExportPassphrase = Annotated[
    Path | None,
    typer.Option(
        "--export-passphrase-file",
        help="Holds the passphrase of the exported file; else it is asked. 导出文件的口令文件。",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into `zhenglian keys`."""
    app.command("export-share")(export_share)
    app.command("import-share")(import_share)
    app.command("drill")(try_out)
    app.command("shared")(shared)
    app.command("renew")(renew)


def export_share(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it, on offline media. 离线介质上的文件。")],
    home: HomeFolder = DEFAULT_HOME,
    export_passphrase_file: ExportPassphrase = None,
) -> None:
    """Write this node's key shares to offline media, under a passphrase; again after each renewal. 导出密钥份额。"""
    found, folder = settings(ctx), Home(home)
    genesis, suite = _network(folder)
    if file.exists():
        raise FileUnusable(path=str(file), reason="it exists already; exported shares are never overwritten")
    if file.absolute().resolve().is_relative_to(home.resolve()):
        raise FileUnusable(path=str(file), reason="offline media are asked for, not the node's own folder")
    identity = load_identity(folder, suite)
    files = SealedFolder(folder.shares, suite, sealing_key(suite, identity.wrap_secret))
    held = read_shares(files, chain_id(suite, genesis), identity.account)
    if not held.shares:
        raise NothingToExport(path=str(home))
    passphrase = (
        read_passphrase(export_passphrase_file).require_new()
        if export_passphrase_file is not None
        else sources().ask_new(str(file))
    )
    written = write_export(
        file,
        held,
        network=genesis.network,
        suite=suite.name,
        name=identity.card.name,
        made_ms=now_ms(),
        passphrase=passphrase,
    )
    passphrase.wipe()
    note_export(folder, written)
    names = ", ".join(f"{one.purpose.value} {one.version}" for one in written.shares)
    found.emit(
        {"path": str(file), "account": written.account, "shares": written.shares},
        found.say(
            f"已导出 {names} 的份额：{file}\n请离线保管，口令分开存放；份额更新后须重新导出。演练：zhenglian keys drill {file}",
            f"Exported the shares of {names}: {file}\nKeep it offline and its passphrase elsewhere; export again after each"
            f" renewal. Try it out: zhenglian keys drill {file}",
        ),
    )


def import_share(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file of export-share. 导出的份额文件。")],
    home: HomeFolder = DEFAULT_HOME,
    export_passphrase_file: ExportPassphrase = None,
) -> None:
    """Give a stopped node the shares that it has lost back, from its own export. 导入密钥份额。"""
    found, folder = settings(ctx), Home(home)
    genesis, suite = _network(folder)
    exported = read_export(file)
    identity = load_identity(folder, suite)
    own = (chain_id(suite, genesis).hex(), identity.card.account)
    if (exported.chain_id, exported.account) != own:
        raise InputUnusable(
            what=str(file),
            reason=f"it is of {exported.name} ({exported.account}) on network {exported.network}, not of this node",
        )
    opened = open_export(file, exported, _passphrase(file, export_passphrase_file))
    lock = HomeLock(folder.root / "lock")
    try:
        files = open_shares(folder, suite, identity.wrap_secret)
        shares = ShareFile(files, opened.chain_id, opened.account)
        taken = tuple(one for one in opened.shares if _lacks(shares, one))
        shares.change(keep=taken)
    finally:
        lock.release()
    names = [f"{one.purpose.value} {one.version}" for one in taken]
    found.emit(
        {"path": str(file), "imported": names, "kept": len(opened.shares) - len(taken)},
        found.say(
            f"已导入：{', '.join(names) or '无（节点已有这些份额或更新的份额）'}。\n"
            "启动节点后，与账本不符的份额不会被使用，由下次更新补发。",
            f"Imported: {', '.join(names) or 'nothing; the node has these shares or later ones'}.\n"
            "Start the node: a share that does not fit the ledger is not used, and the next renewal gives it a fresh one.",
        ),
    )


def try_out(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files of export-share. 导出的份额文件。")],
    export_passphrase_file: Annotated[
        list[Path] | None,
        typer.Option(help="One for all files, or one for each in their order; else asked. 口令文件。"),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no node whether the shares fit the ledger. 不联网核对。")
    ] = False,
) -> None:
    """Try exported shares out: one file against the ledger; those of enough operators on a test ciphertext. 演练。"""
    found = settings(ctx)
    if len(files) > FILES_MAX:
        raise InputUnusable(what="FILES", reason=f"at most {FILES_MAX}")
    given = export_passphrase_file or []
    if len(given) not in {0, 1, len(files)}:
        raise InputUnusable(what="--export-passphrase-file", reason="one for all files, or one for each")
    opened = [
        (path, *_open(path, (given[at] if len(given) > 1 else given[0]) if given else None))
        for at, path in enumerate(files)
    ]
    _require_one_network(opened)
    suite = load_suite(opened[0][1].suite)
    drilled = drill(suite, [one for _, _, held in opened for one in held.shares])
    asked = not offline and (len(files) == 1 or bool(found.nodes))
    on_chain = _on_chain(found, opened) if asked else {}
    wanted = [one for one in drilled if one.opened is not None] if len(files) == 1 else list(drilled)
    holds = all(said == "fits" for said in on_chain.values()) and all(one.opened for one in wanted)
    _show(found, opened, drilled, on_chain, holds=holds)
    if not holds:
        raise typer.Exit(EXIT_NEGATIVE)


def shared(ctx: typer.Context) -> None:
    """The keys that operators hold together, and the rounds under way. 共管密钥与进行中的轮次。"""
    found = settings(ctx)
    with found.client() as client:
        view = client.shared_keys()
    rows: list[tuple[object, ...]] = [
        (
            f"{key.purpose} {key.version}",
            found.say("使用中", "in use") if key.in_use else found.say("停用", "not in use"),
            key.renewal,
            f"{key.threshold}/{len(key.holders)}",
            key.public_key,
            found.say("本节点缺份额", "the node lacks its share")
            if f"{key.purpose} {key.version}" in view.missing_here
            else "",
        )
        for key in view.keys
    ]
    rows += [
        (
            f"{one.purpose} {one.version}",
            one.phase,
            one.renewal,
            "",
            found.say(f"第 {one.attempt} 次", f"attempt {one.attempt}"),
            found.say("等待 ", "waits for ") + ", ".join(one.waiting_for) if one.waiting_for else "",
        )
        for one in view.rounds
    ]
    columns = ("key", "state", "renewal", "threshold", "public key", "note")
    if found.json:
        found.emit(view)
    else:
        found.rows([], columns, rows)


def renew(
    ctx: typer.Context,
    purpose: Annotated[KeyPurpose, typer.Argument(help="vault, directory or marks. 密钥用途。")],
    version: Annotated[int, typer.Argument(min=1, help="Which version. 版本。")] = 1,
) -> None:
    """Have every validator given a fresh share; with an operator's key. 请求更新份额。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.submit(SharedKeysRenew(purpose=purpose, version=version))
    found.emit(
        {"transaction_id": view.transaction_id, "purpose": purpose, "version": version},
        found.say(
            f"{purpose} {version} 的份额更新已开始；查看进度：zhenglian keys shared。完成后请重新导出份额。",
            f"The renewal of {purpose} {version} has begun; see zhenglian keys shared. Export the shares again when it is done.",
        ),
    )


Opened = tuple[Path, ExportFile, HeldShares]


def _open(path: Path, passphrase_file: Path | None) -> tuple[ExportFile, HeldShares]:
    file = read_export(path)
    return file, open_export(path, file, _passphrase(path, passphrase_file))


def _passphrase(path: Path, named: Path | None) -> Passphrase:
    return read_passphrase(named) if named is not None else sources().passphrase(str(path))


def _lacks(shares: ShareFile, one: HeldShare) -> bool:
    """Whether the node has neither this share nor a later one of the same key."""
    return not any(
        (held.purpose, held.version) == (one.purpose, one.version) and held.renewal >= one.renewal
        for held in shares.held()
    )


def _network(folder: Home) -> tuple[Genesis, CryptoSuite]:
    genesis = read_genesis(folder)
    return genesis, load_suite(genesis.suite)


def _require_one_network(opened: list[Opened]) -> None:
    path, first, _ = opened[0]
    for other, file, _ in opened[1:]:
        if (file.chain_id, file.suite) != (first.chain_id, first.suite):
            raise InputUnusable(what=str(other), reason=f"it is of another network than {path}")


def _on_chain(found: Settings, opened: list[Opened]) -> dict[tuple[Path, str], str]:
    """What the ledger says to each share, by file and key: fits, renewed since, differs, or unknown there."""
    with found.client() as client:
        status, view = client.status(), client.shared_keys()
    said: dict[tuple[Path, str], str] = {}
    for path, file, held in opened:
        if status.chain_id != file.chain_id:
            raise InputUnusable(what=str(path), reason=f"the node is of another network, {status.network}")
        for one in held.shares:
            said[path, f"{one.purpose.value} {one.version}"] = _compare(view, file, one)
    return said


def _compare(view: SharedKeysView, file: ExportFile, one: HeldShare) -> str:
    key = next(
        (key for key in view.keys if (key.purpose, key.version) == (one.purpose.value, one.version)), None
    )
    if key is None:
        return "unknown"
    if key.renewal != one.renewal:
        return "renewed"
    return "fits" if _fits(key, file, one) else "differs"


def _fits(key: SharedKeyView, file: ExportFile, one: HeldShare) -> bool:
    holder = next((holder for holder in key.holders if holder.account == file.account), None)
    own = one.keys.share_keys[one.holder - 1].hex()
    return (
        holder is not None
        and (holder.number, holder.share_key) == (one.holder, own)
        and key.public_key == one.keys.public_key.hex()
    )


def _show(
    found: Settings,
    opened: list[Opened],
    drilled: tuple[KeyDrill, ...],
    on_chain: dict[tuple[Path, str], str],
    *,
    holds: bool,
) -> None:
    lines: list[str] = []
    for path, file, held in opened:
        for one in held.shares:
            name = f"{one.purpose.value} {one.version}"
            said = on_chain.get((path, name), "")
            told = _CHAIN[said]
            lines.append(f"{path.name}  {file.name}  {name}  {found.say(*told)}".rstrip())
    for drilled_key in drilled:
        name, have = f"{drilled_key.purpose.value} {drilled_key.version}", len(drilled_key.holders)
        lines.append(f"{name}  {_outcome(found, drilled_key, have)}")
    value = {
        "holds": holds,
        "files": [
            {
                "path": str(path),
                "account": file.account,
                "name": file.name,
                "shares": [
                    {
                        "purpose": one.purpose.value,
                        "version": one.version,
                        "renewal": one.renewal,
                        "holder": one.holder,
                        "on_chain": on_chain.get((path, f"{one.purpose.value} {one.version}")),
                    }
                    for one in held.shares
                ],
            }
            for path, file, held in opened
        ],
        "keys": [
            {
                "purpose": one.purpose.value,
                "version": one.version,
                "renewal": one.renewal,
                "threshold": one.threshold,
                "holders": list(one.holders),
                "opened": one.opened,
            }
            for one in drilled
        ],
    }
    found.emit(value, "\n".join(lines))


_CHAIN: Final = {
    "": ("", ""),
    "fits": ("与账本相符", "fits the ledger"),
    "renewed": (
        "份额已更新，此文件不再可用，请重新导出",
        "renewed since: this file is of no use any more, export again",
    ),
    "differs": ("与账本不符，请重新导出", "does not fit the ledger; export again"),
    "unknown": ("账本上没有此密钥", "the ledger has no such key"),
}


def _outcome(found: Settings, one: KeyDrill, have: int) -> str:
    match one.opened:
        case True:
            return found.say(
                f"{have} 份（需 {one.threshold} 份）：测试密文可以打开",
                f"{have} shares, {one.threshold} needed: a test ciphertext opens",
            )
        case False:
            return found.say(f"{have} 份：测试密文打不开", f"{have} shares: a test ciphertext does not open")
        case None:
            return found.say(
                f"{have} 份，打开需 {one.threshold} 份，还差 {one.threshold - have} 份",
                f"{have} shares; opening takes {one.threshold}, so {one.threshold - have} more",
            )
