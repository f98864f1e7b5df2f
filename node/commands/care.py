"""`zhenglian node doctor`, `check` and `resync`: what is wrong with a node's folder, and the way out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console

from ledger import codec
from node.commands.context import EXIT_NEGATIVE, EXIT_USAGE, InputUnusable, Settings, now_ms, settings
from node.commands.progress import stages
from node.doctor import Diagnosis, examine
from node.findings import KINDS, Severity
from node.founding import read_genesis
from node.home import FileUnusable, Home
from node.lock import is_in_use
from node.resync import ResyncPlan, locked, plan_resync, resync
from node.storechild import StoreReport, StoreTask, read_store

EXIT_CANNOT_LOOK: Final = EXIT_USAGE

Folder = Annotated[Path, typer.Argument(envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")]
DEFAULT_FOLDER: Final = Path("zhenglian-home")
_SEVERITY_ZH: Final = {Severity.ERROR: "错误", Severity.WARNING: "警告", Severity.NOTE: "提示"}


def doctor(ctx: typer.Context, folder: Folder = DEFAULT_FOLDER) -> None:
    """Say what is wrong with a node's folder and what to do; changes nothing. 诊断节点目录。

    Exit status: 0 healthy, 1 findings, 2 cannot look.
    """
    found = settings(ctx)
    try:
        diagnosis = examine(folder, now_ms=now_ms())
    except FileUnusable as error:
        _cannot_look(found, error)
    if found.json:
        found.emit(
            {
                "folder": str(folder),
                "running": diagnosis.running,
                "healthy": diagnosis.healthy,
                "height": diagnosis.height,
                "findings": [finding.to_json() for finding in diagnosis.findings],
            }
        )
    else:
        _show(found, diagnosis)
    raise typer.Exit(0 if diagnosis.healthy else EXIT_NEGATIVE)


def check(
    ctx: typer.Context,
    folder: Folder = DEFAULT_FOLDER,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Verify so many certificates, not all. 抽查证书数量，默认全部。"),
    ] = None,
) -> None:
    """Prove the whole store equal to what its network certified. 核验整个账本存储。

    Exit status: 0 proven, 1 damage found, 2 cannot look.
    """
    found = settings(ctx)
    home = Home(folder)
    try:
        genesis = read_genesis(home)
    except FileUnusable as error:
        _cannot_look(found, error)
    running = is_in_use(home.root / "lock")
    task = StoreTask(
        folder=str(home.store),
        genesis=codec.encode(genesis),
        depth="check",
        sample=sample,
        pages=not running,
    )
    with stages(found) as progress:
        report = read_store(task, progress)
    found.emit(
        {
            "folder": str(folder),
            "proven": not report.faults,
            "running": running,
            **msgspec.structs.asdict(report),
        },
        _proof(found, report, running=running),
    )
    raise typer.Exit(EXIT_NEGATIVE if report.faults else 0)


def resync_node(
    ctx: typer.Context,
    folder: Folder = DEFAULT_FOLDER,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. 不再询问。")] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Rebuild the store even if nothing is wrong. 无损坏也重建账本。")
    ] = False,
) -> None:
    """Put a damaged store or journal aside; the node rebuilds from its peers. 隔离损坏数据，从其他节点重建。"""
    found = settings(ctx)
    home = Home(folder)
    if not folder.is_dir():
        _cannot_look(found, FileUnusable(path=str(folder), reason="not a folder"))
    lock = locked(home)
    try:
        with stages(found) as progress:
            plan = plan_resync(home, store_anyway=store, progress=progress)
        if not plan:
            found.emit(
                {"moved_to": None, "store": [], "journal": ""},
                found.say(
                    "账本与日志均完好，未做任何改动。", "Store and journal are whole; nothing was changed."
                ),
            )
            return
        found.note(*_what_will_happen(plan))
        if not yes and found.json:
            raise InputUnusable(what="--json", reason="it cannot ask; add --yes")
        if not yes and not typer.confirm(found.say("继续？", "Go on?"), err=True):
            raise typer.Exit(EXIT_NEGATIVE)
        aside = resync(home, plan, now_ms=now_ms())
    except OSError as error:
        raise FileUnusable(path=str(error.filename or folder), reason=error.strerror or str(error)) from None
    finally:
        lock.release()
    found.emit(
        {"moved_to": str(aside), "store": list(plan.store), "journal": plan.journal},
        found.say(
            f"已移至 {aside}。启动节点即从其他节点重建。",
            f"Moved to {aside}. Start the node and it rebuilds.",
        ),
    )


def add_to(app: typer.Typer) -> None:
    """Put these commands into a group."""
    app.command("doctor")(doctor)
    app.command("check")(check)
    app.command("resync")(resync_node)


# --- for people -------------------------------------------------------------------------------------------------------


def _cannot_look(found: Settings, error: FileUnusable) -> NoReturn:
    """Say why, with an exit status of its own."""
    with suppress(typer.Exit):
        found.fail(error)
    raise typer.Exit(EXIT_CANNOT_LOOK)


def _show(found: Settings, diagnosis: Diagnosis) -> None:
    if diagnosis.findings:
        found.rows(
            [],
            (
                found.say("级别", "severity"),
                "code",
                found.say("发现", "finding"),
                found.say("处理", "remedy"),
            ),
            (
                (
                    found.say(_SEVERITY_ZH[one.severity], one.severity.value),
                    one.code,
                    one.text(found.language),
                    one.remedy(found.language),
                )
                for one in diagnosis.findings
            ),
        )
    height = f"{diagnosis.height}" if diagnosis.height >= 0 else "—"
    verdict = (
        found.say(f"未发现问题；账本高度 {height}。", f"Nothing is wrong; the store's height is {height}.")
        if diagnosis.healthy
        else found.say("请按上表处理。", "See the remedies above.")
    )
    Console(highlight=False, markup=False, soft_wrap=True).print(verdict)


def _proof(found: Settings, report: StoreReport, *, running: bool) -> str:
    if report.faults:
        lines = "\n".join(f"  {fault}" for fault in report.faults)
        remedy = KINDS["store_damaged"]
        return found.say(
            f"账本存储已损坏：\n{lines}\n{remedy.remedy_zh}",
            f"The store is damaged:\n{lines}\n{remedy.remedy_en}",
        )
    zh = (
        f"已核验：区块 {report.first_height}–{report.height}，证书 {report.certificates} 个，"
        f"状态值 {report.state_values} 个，状态树节点 {report.tree_nodes} 个，页 {report.pages} 个。"
    )
    en = (
        f"Proven: blocks {report.first_height} to {report.height}, {report.certificates} certificates, "
        f"{report.state_values} state values, {report.tree_nodes} tree nodes, {report.pages} pages."
    )
    if running:
        zh += "节点正在运行，未核验文件页。"
        en += " The node is running, so the file's pages were not accounted for."
    return found.say(zh, en)


def _what_will_happen(plan: ResyncPlan) -> tuple[str, str]:
    zh, en = [], []
    if plan.store:
        zh.append(f"账本存储（{plan.store[0]}）将移到一旁，节点启动后从其他节点重建，索引随之重建。")
        en.append(f"The store ({plan.store[0]}) is put aside; the node rebuilds it and its index from peers.")
    if plan.journal:
        zh.append(
            f"日志（{plan.journal}）将移到一旁，投票密钥静默：节点只跟随、不投票，直到通过治理更换密钥。"
        )
        en.append(
            f"The journal ({plan.journal}) is put aside and the vote key silenced: the node follows without voting "
            "until governance has rotated the key."
        )
    zh.append("不会删除任何文件。")
    en.append("Nothing is deleted.")
    return "\n".join(zh), "\n".join(en)
