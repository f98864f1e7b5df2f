"""`zhenglian archive`: a whole ledger in one file that proves itself, for safekeeping, audit and new machines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ledger.archive import ArchiveManifest, ArchiveRejected
from ledger.crypto.registry import load_suite
from ledger.errors import DecodeError, VerificationFailed
from ledger.proof_files import TRUST_FILE_SIZE_BYTES_MAX, time_text, trust_from_json
from ledger.store import Store
from ledger.types import Trust
from node.archive_import import Imported, import_archive
from node.archive_make import ArchiveWish, Maker, make_archive
from node.archive_read import inspect_archive, verify_archive
from node.commands.context import EXIT_NEGATIVE, InputUnusable, Settings, now_ms, read_file, settings
from node.commands.progress import stages
from node.config import HTTP_PORT_DEFAULT
from node.founding import load_network
from node.home import Home
from node.identity import load_identity
from node.keystore import KeyFiles
from node.lock import HomeLock
from node.restart import Operator, Progressed, Waiting, advance
from node.restart_papers import DECLARATION
from zhenglian import KeyFile

DEFAULT_HOME: Final = Path("zhenglian-home")
_MEBIBYTE: Final = 1024 * 1024

app = typer.Typer(
    no_args_is_help=True,
    help="A whole ledger in one file that proves itself. 账本归档：制作、核验、导入。",
)

HomeFolder = Annotated[
    Path, typer.Option("--home", envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
]
ArchiveFile = Annotated[Path, typer.Argument(help="The archive. 归档文件。")]


@app.command("create")
def create(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write. 写入文件。")],
    home: HomeFolder = DEFAULT_HOME,
    first: Annotated[
        int | None, typer.Option("--from", min=1, help="First block; default: all. 起始高度，默认全部。")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", min=1, help="Last block; default: the newest. 终止高度。")
    ] = None,
    with_snapshot: Annotated[
        bool, typer.Option("--with-snapshot", help="The state too, for a quick start. 附带状态快照。")
    ] = False,
    with_blobs: Annotated[
        bool, typer.Option("--with-blobs", help="The vault's ciphertext too. 附带密文文件。")
    ] = False,
) -> None:
    """Make an archive of a node's ledger, also while the node runs. 制作归档，无须停止节点。"""
    found = settings(ctx)
    folder = Home(home)
    suite = load_suite(load_network(folder).genesis.suite)
    identity = load_identity(folder, suite)
    wish = ArchiveWish(
        first_height=first,
        last_height=last,
        snapshot=with_snapshot,
        blobs=folder.blobs if with_blobs else None,
        made_ms=now_ms(),
    )
    maker = Maker(account=identity.account, signer=identity.node_signer)
    with stages(found) as progress, Store.open(folder.store, suite) as store:
        manifest = make_archive(file, suite, store, wish, maker, progress)
    found.emit(
        {"archive": str(file), "file_bytes": file.stat().st_size, **_plain(manifest)},
        found.say(
            f"归档已生成：{file}\n{_words(found, manifest)}",
            f"Archive made: {file}\n{_words(found, manifest)}",
        ),
    )


@app.command("inspect")
def inspect(ctx: typer.Context, file: ArchiveFile) -> None:
    """Say what an archive holds by its own account; proves nothing. 查看归档内容，不作核验。"""
    found = settings(ctx)
    with stages(found) as progress:
        _, manifest, time_ms = inspect_archive(file, progress)
    newest = time_text(time_ms) if time_ms else ""
    found.emit(
        {"archive": str(file), "proven": False, "last_block_time": newest, **_plain(manifest)},
        _words(found, manifest)
        + found.say("\n以上为归档自称，未经核验。", "\nThis is what it says of itself; nothing is proven."),
    )


@app.command("verify")
def verify(
    ctx: typer.Context,
    file: ArchiveFile,
    trust: Annotated[Path, typer.Option("--trust", help="Trust file. 信任文件。")],
) -> None:
    """Prove an archive offline: exit 0 if it holds, 1 if not, 2 if unreadable. 离线核验归档。"""
    found = settings(ctx)
    trusted = read_trust(found, trust)
    began = time.monotonic()
    try:
        with stages(found) as progress:
            proven = verify_archive(file, trusted, progress)
    except ArchiveRejected as error:
        found.emit(
            {
                "valid": False,
                **error.fields,
                "message_zh": error.message("zh"),
                "message_en": error.message("en"),
            },
            "✗ " + error.message(found.language),
        )
        raise typer.Exit(EXIT_NEGATIVE) from None
    manifest = proven.manifest
    per_s = _rate(manifest.contents.blocks, began)
    found.emit(
        {"valid": True, "archive": str(file), "blocks_per_s": per_s, **_plain(manifest)},
        found.say("✓ 归档成立\n", "✓ The archive holds\n")
        + _words(found, manifest)
        + found.say(f"\n每秒核验 {per_s} 个区块", f"\n{per_s} blocks verified a second"),
    )


@app.command("import")
def import_(
    ctx: typer.Context,
    file: ArchiveFile,
    home: HomeFolder = DEFAULT_HOME,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="Trust file; needed where the folder has no genesis.json. 信任文件。"),
    ] = None,
    trust_snapshot: Annotated[
        bool,
        typer.Option(
            "--trust-snapshot",
            help="Begin with the snapshot, leaving earlier blocks out. 从快照开始，不含更早区块。",
        ),
    ] = False,
) -> None:
    """Fill a folder from an archive: each block is proven and executed again. 导入归档，逐块核验并重新执行。

    A folder with an identity can then be run as a node; one without can be read: zhenglian archive serve.
    """
    found = settings(ctx)
    trusted = None if trust is None else read_trust(found, trust)
    folder = Home(home)
    folder.create_folders()
    began = time.monotonic()
    lock = HomeLock(folder.root / "lock")
    try:
        with stages(found) as progress:
            imported = import_archive(file, folder, trusted, trust_snapshot=trust_snapshot, progress=progress)
    finally:
        lock.release()
    per_s = _rate(imported.executed, began)
    found.emit(
        {
            "home": str(home),
            "height": imported.height,
            "first_height": imported.first_height,
            "executed": imported.executed,
            "blocks_per_s": per_s,
            "silenced": imported.silenced,
            "identity": imported.identity,
            **_plain(imported.proven.manifest),
        },
        found.say(
            f"已导入 {home}：区块 {imported.first_height} 至 {imported.height}，"
            f"重新执行 {imported.executed} 个（每秒 {per_s} 个）。\n{_next_zh(home, imported)}",
            f"Imported into {home}: blocks {imported.first_height} to {imported.height}, "
            f"{imported.executed} executed again ({per_s} a second).\n{_next_en(home, imported)}",
        ),
    )


@app.command("serve")
def serve(
    ctx: typer.Context,
    home: HomeFolder = DEFAULT_HOME,
    host: Annotated[str, typer.Option("--host", help="Where the API listens. 接口监听地址。")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port of the API. 接口端口。")
    ] = HTTP_PORT_DEFAULT,
) -> None:
    """Serve an imported ledger for reading, with no keys and no peers. 只读服务已导入的账本，供审计查询。"""
    found = settings(ctx)
    lock = HomeLock(Home(home).root / "lock")

    def ready(url: str, height: int) -> None:
        found.emit(
            {"api": url, "height": height},
            found.say(
                f"只读服务：{url}，区块高度 {height}。查询时加 --node {url}；按 Ctrl+C 停止。",
                f"Serving for reading at {url}, height {height}. Ask with --node {url}; Ctrl+C stops it.",
            ),
        )

    try:
        from node.archive_serve import serve_archive  # it is most of a node, and no other command needs it

        serve_archive(home, host, port, ready)
    finally:
        lock.release()


@app.command("restart")
def restart(
    ctx: typer.Context,
    papers: Annotated[
        Path, typer.Argument(help="Folder of the papers, common to all operators. 各运营方共用的文件夹。")
    ],
    home: HomeFolder = DEFAULT_HOME,
    host: Annotated[
        str | None, typer.Option("--host", help="Where peers reach the new machine. 新机器的主机名。")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Its port for peers. 节点间端口。")
    ] = None,
    admin_key: Annotated[
        Path | None, typer.Option("--admin-key", help="Governance key; default keys/admin.json. 治理密钥。")
    ] = None,
    close: Annotated[
        bool,
        typer.Option("--close", help="Go on without operators that made no offer. 不再等待未提议的运营方。"),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Declare it without being asked. 不再询问。")] = False,
) -> None:
    """Restart a network of which every machine was lost, with the other operators. 全网丢失后共同重启。

    Run it again and again until it says that the node can be started; docs/archive.md has the procedure.
    """
    found = settings(ctx)
    folder = Home(home)
    if not papers.is_dir():
        raise InputUnusable(what=str(papers), reason="not a folder")
    lock = HomeLock(folder.root / "lock")
    try:
        suite = load_suite(load_network(folder).genesis.suite)
        operator: Operator | None = None
        if folder.card.exists():
            _declare(found, yes=yes)
            admin = KeyFile.load(admin_key or KeyFiles(folder).admin)
            operator = Operator(
                identity=load_identity(folder, suite),
                admin_key_id=bytes.fromhex(admin.key_id),
                admin=admin.signer(),
                host=host,
                port=port,
                close=close,
            )
        progressed = advance(folder, papers, suite, operator)
    finally:
        lock.release()
    found.emit(
        {
            "did": list(progressed.did),
            "waiting": progressed.waiting.value,
            "present": progressed.present,
            "needed": progressed.needed,
            "height": progressed.height,
        },
        _restart_words(found, progressed, home),
    )


_WAITING: Final = {
    Waiting.OFFERS: ("其他运营方的提议", "the other operators' offers"),
    Waiting.APPROVALS: (
        "批准，或由计划提出者汇总区块",
        "approvals, and the block that the plan's maker puts together",
    ),
    Waiting.VOTES: ("投票", "votes"),
}


def _declare(found: Settings, *, yes: bool) -> None:
    found.note(
        "声明：本网络的全部机器均已丢失或永久停用，且据我方所知，归档之后没有已确认的区块。\n"
        "归档之后的交易将不再有效；持有其回执的人会发现该回执与重启后的链矛盾。",
        f"Declaration: {DECLARATION}\n"
        "Transactions after the archive count no more; who holds a receipt of one will find that it contradicts the chain.",
    )
    if yes:
        return
    if found.json:
        raise InputUnusable(what="--json", reason="it cannot ask; add --yes")
    if not typer.confirm(found.say("是否如此声明？", "Do you declare so?"), err=True):
        raise typer.Exit(EXIT_NEGATIVE)


def _restart_words(found: Settings, progressed: Progressed, home: Path) -> str:
    done = ", ".join(progressed.did) or "—"
    if progressed.waiting is Waiting.NOTHING:
        return found.say(
            f"已写入：{done}。账本高度 {progressed.height}。启动：zhenglian node run --home {home}",
            f"Written: {done}. The ledger is at height {progressed.height}. Start: zhenglian node run --home {home}",
        )
    zh, en = _WAITING[progressed.waiting]
    count = f"{progressed.present}/{progressed.needed}"
    return found.say(
        f"已写入：{done}。等待{zh}（{count}），之后请再次运行本命令。",
        f"Written: {done}. Waiting for {en} ({count}); then run this again.",
    )


def read_trust(found: Settings, path: Path) -> Trust:
    """The trust file that a user names. Raises InputUnusable, LimitExceeded, DecodeError."""
    data = read_file(path, "trust file", size_bytes_max=TRUST_FILE_SIZE_BYTES_MAX)
    try:
        return trust_from_json(data)
    except VerificationFailed as error:
        raise DecodeError(what=f"trust file {path}", reason=error.message(found.language)) from None


def _next_zh(home: Path, imported: Imported) -> str:
    if not imported.identity:
        return f"此目录没有节点身份，可只读查询：zhenglian archive serve --home {home}"
    if imported.silenced:
        return (
            "此目录的日志已丢失，投票密钥静默，节点只跟随不投票。\n"
            f"网络仍在运行：zhenglian node rotate-key --home {home}，由其他运营方表决。\n"
            "全网都已丢失：见 docs/archive.md 的重启步骤（zhenglian archive restart）。"
        )
    return f"启动：zhenglian node run --home {home}"


def _next_en(home: Path, imported: Imported) -> str:
    if not imported.identity:
        return f"This folder has no identity; read it with: zhenglian archive serve --home {home}"
    if imported.silenced:
        return (
            "Its journal is lost, so its vote key is silenced: the node follows without voting.\n"
            f"If the network runs: zhenglian node rotate-key --home {home}, for the other operators to vote on.\n"
            "If all of it is lost: docs/archive.md has the procedure (zhenglian archive restart)."
        )
    return f"Start: zhenglian node run --home {home}"


def _rate(blocks: int, began: float) -> int:
    return int(blocks / max(time.monotonic() - began, 0.001))


def _plain(manifest: ArchiveManifest) -> dict[str, object]:
    opening = manifest.opening
    return {
        "network": opening.network,
        "suite": opening.suite,
        "chain_id": opening.chain_id.hex(),
        "from": opening.first_height,
        "to": opening.last_height,
        "head": manifest.head.hex(),
        "snapshot": opening.snapshot,
        "blobs": opening.blobs,
        "contents": msgspec.structs.asdict(manifest.contents),
        "size_bytes": manifest.size_bytes,
        "link": manifest.link.hex(),
        "made": time_text(manifest.made_ms),
        "signer": manifest.account.hex(),
        "signer_key": manifest.key_id.hex(),
    }


def _words(found: Settings, manifest: ArchiveManifest) -> str:
    opening, held = manifest.opening, manifest.contents
    mib = f"{manifest.size_bytes / _MEBIBYTE:.1f}"
    zh = (
        f"网络 {opening.network}，区块 {opening.first_height} 至 {opening.last_height}，交易 {held.transactions} 笔，"
        f"纪元变更 {held.epochs} 次，快照分块 {held.pieces} 个，密文 {held.blobs} 个，共 {mib} MiB；"
        f"由 {manifest.account.hex()} 于 {time_text(manifest.made_ms)} 签名"
    )
    en = (
        f"Network {opening.network}, blocks {opening.first_height} to {opening.last_height}, {held.transactions} transactions, "
        f"{held.epochs} epoch changes, {held.pieces} pieces of state, {held.blobs} ciphertexts, {mib} MiB; "
        f"signed by {manifest.account.hex()} on {time_text(manifest.made_ms)}"
    )
    return found.say(zh, en)
