"""`zhenglian devnet`: a network of real nodes on this machine."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.crypto.registry import SUITE_DEFAULT
from node.commands.context import Settings, settings
from node.commands.options import SuiteOption, UnencryptedOption
from node.commands.status import watch_nodes
from node.devnet import NODES_DEFAULT, Devnet
from zhenglian.unlocking import PASSPHRASE_VARIABLE

app = typer.Typer(no_args_is_help=True, help="A network of real nodes on this machine. 本机试验网络。")

Folder = Annotated[Path, typer.Option("--dir", help="Its folder. 目录。")]
Number = Annotated[int, typer.Argument(min=1, help="Node number, from 1. 节点编号。")]

DEFAULT_FOLDER = Path("build/devnet")
READY_TIMEOUT_S = 90.0


@app.command("up")
def up(
    ctx: typer.Context,
    nodes: Annotated[int, typer.Option(min=1, max=128, help="How many. 节点数。")] = NODES_DEFAULT,
    folder: Folder = DEFAULT_FOLDER,
    base_port: Annotated[
        int, typer.Option(min=0, max=65000, help="First port; 0 finds free ones. 起始端口，0 为自动。")
    ] = 0,
    suite: SuiteOption = SUITE_DEFAULT,
    unencrypted: UnencryptedOption = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave them running. 后台运行。")] = False,
) -> None:
    """Start a network, new or existing; in the foreground it is stopped on Ctrl-C. 启动试验网络。"""
    found = settings(ctx)
    exists = (folder / "devnet.json").exists()
    devnet = (
        Devnet.open(folder)
        if exists
        else (Devnet.create(folder, nodes, base_port, suite=suite, unencrypted=unencrypted))
    )
    # A request to end is an interruption, so that the nodes are stopped on it too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        devnet.start_all()
        _wait(found, devnet)
    except BaseException:
        devnet.stop()
        raise
    _show(found, devnet)
    if detach:
        return
    try:
        with suppress(KeyboardInterrupt):
            watch_nodes(found, devnet.urls, 1.0)
    finally:
        found.note("正在停止节点…", "Stopping the nodes …")
        devnet.stop()


@app.command("down")
def down(ctx: typer.Context, folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop every node of the network; the data stays. 停止全部节点，数据保留。"""
    found = settings(ctx)
    devnet = Devnet.open(folder)
    devnet.stop()
    _show(found, devnet)


@app.command("status")
def status(ctx: typer.Context, folder: Folder = DEFAULT_FOLDER) -> None:
    """Processes, addresses and heights. 查看节点进程、地址与高度。"""
    _show(settings(ctx), Devnet.open(folder))


@app.command("kill")
def kill(ctx: typer.Context, number: Number, folder: Folder = DEFAULT_FOLDER) -> None:
    """Kill a node at once, as a power cut would. 强制结束节点，如同断电。"""
    found = settings(ctx)
    devnet = Devnet.open(folder)
    if not devnet.kill(number):
        found.note(f"节点 {number} 未在运行。", f"Node {number} was not running.")
    _show(found, devnet)


@app.command("start")
def start(ctx: typer.Context, number: Number, folder: Folder = DEFAULT_FOLDER) -> None:
    """Start a node and wait until it has caught up. 启动节点并等待追赶完成。"""
    found = settings(ctx)
    devnet = Devnet.open(folder)
    devnet.start(number)
    _wait(found, devnet)
    _show(found, devnet)


@app.command("restart")
def restart(ctx: typer.Context, number: Number, folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop a node in order and start it again. 重启节点。"""
    found = settings(ctx)
    devnet = Devnet.open(folder)
    devnet.terminate(number)
    devnet.start(number)
    _wait(found, devnet)
    _show(found, devnet)


def _wait(found: Settings, devnet: Devnet) -> None:
    console = Console(stderr=True)
    if found.json or not console.is_terminal:
        devnet.wait_ready(READY_TIMEOUT_S)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(found.say("等待节点就绪", "Waiting for the nodes"), total=None)
        devnet.wait_ready(READY_TIMEOUT_S, lambda done, total: bar.update(task, completed=done, total=total))


def _show(found: Settings, devnet: Devnet) -> None:
    rows: list[dict[str, object]] = []
    for n in devnet.numbers:
        running = devnet.running(n)
        view = devnet.status(n) if running else None
        rows.append(
            {
                "node": n,
                "name": devnet.name(n),
                "url": devnet.url(n),
                "running": running,
                "pid": devnet.pid(n) if running else None,
                "height": view.height if view else None,
                "account": devnet.account(n),
                "home": str(devnet.home(n)),
                "log": str(devnet.log(n)),
                "admin_key": str(devnet.admin_key(n)),
            }
        )
    columns = (
        "#",
        found.say("名称", "name"),
        "url",
        found.say("运行", "running"),
        "pid",
        found.say("高度", "height"),
    )
    cells = [
        (row["node"], row["name"], row["url"], row["running"], row["pid"], row["height"]) for row in rows
    ]
    found.rows({"dir": str(devnet.folder), "nodes": rows}, columns, cells)
    if any(row["running"] for row in rows) and not sys.stdout.isatty():
        first = devnet.urls[0]
        if devnet.passphrase_file.exists():
            named = f"{PASSPHRASE_VARIABLE}={devnet.passphrase_file}"
            found.note(f"使用其密钥：export {named}", f"To use its keys: export {named}")
        found.note(f"接口文档：{first}/docs", f"API page: {first}/docs")
