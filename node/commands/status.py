"""`zhenglian status`: every node that is named, side by side; live with `--watch`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ledger.errors import LedgerError
from node.commands.context import DEFAULT_NODE, EXIT_UNAVAILABLE, Settings, settings
from zhenglian import Client, RetryPolicy
from zhenglian.api import NodeStatus

_ONCE: Final = RetryPolicy(attempts_max=1, timeout_s=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    """One node: what it says, or why it says nothing."""

    url: str
    status: NodeStatus | None
    error: str


def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Live, until interrupted. 实时刷新。")] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, max=60, help="Seconds between looks. 刷新间隔秒数。")
    ] = 1.0,
) -> None:
    """The state of the network as its nodes tell it; exit 3 when none answers. 网络状态。"""
    found = settings(ctx)
    urls = found.nodes or (DEFAULT_NODE,)
    if watch:
        with suppress(KeyboardInterrupt):
            watch_nodes(found, urls, interval)
        return
    lines = ask_all(urls, found.language)
    found.emit([_plain(line) for line in lines], _printer(found, lines))
    if all(line.status is None for line in lines):
        raise typer.Exit(EXIT_UNAVAILABLE)


def watch_nodes(found: Settings, urls: tuple[str, ...], interval_s: float) -> None:
    """Look again and again: a live table on a terminal, else one JSON value (or table) each time."""
    console = Console(highlight=False)
    if found.json or not console.is_terminal:
        while True:
            lines = ask_all(urls, found.language)
            found.emit([_plain(line) for line in lines], _printer(found, lines))
            time.sleep(interval_s)
    with Live(table(found, ask_all(urls, found.language)), console=console, auto_refresh=False) as live:
        while True:
            live.update(table(found, ask_all(urls, found.language)), refresh=True)
            time.sleep(interval_s)


def ask_all(urls: tuple[str, ...], language: str) -> list[NodeLine]:
    """Every node's word, asked at the same time."""

    def ask(url: str) -> NodeLine:
        try:
            with Client(url, language=language, policy=_ONCE) as client:
                return NodeLine(url=url, status=client.status(), error="")
        except LedgerError as error:
            reason = str(error.fields.get("reason", "")) or error.message(language)
            return NodeLine(url=url, status=None, error=reason)

    with ThreadPoolExecutor(max_workers=min(len(urls), 16)) as pool:
        return list(pool.map(ask, urls))


def table(found: Settings, lines: list[NodeLine]) -> Table:
    """The nodes as a table."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in (
        found.say("节点", "node"),
        found.say("地址", "address"),
        found.say("高度", "height"),
        found.say("视图", "view"),
        found.say("主节点", "leader"),
        found.say("对端", "peers"),
        found.say("待处理", "pending"),
        found.say("状态", "state"),
    ):
        shown.add_column(column, overflow="fold")
    for line in lines:
        view = line.status
        if view is None:
            shown.add_row(
                "—", line.url, "—", "—", "—", "—", "—", f"[red]{found.say('无法连接', 'not reachable')}[/red]"
            )
            continue
        connected = sum(peer.connected for peer in view.peers)
        state = (
            f"[yellow]{found.say('追赶中', 'catching up')}[/yellow]"
            if view.syncing
            else f"[yellow]{found.say('缺密钥份额：', 'lacks key shares: ')}{', '.join(view.missing_shares)}[/yellow]"
            if view.missing_shares
            else f"[yellow]{found.say('共管密钥生成中', 'keys are being made')}[/yellow]"
            if not view.keys_ready
            else f"[green]{found.say('正常', 'voting')}[/green]"
            if view.voting
            else found.say("不投票", "not voting")
        )
        shown.add_row(
            view.name,
            line.url,
            str(view.height),
            str(view.view),
            view.leader,
            f"{connected}/{len(view.peers)}",
            str(view.pending_transactions),
            state,
        )
    return shown


def _printer(found: Settings, lines: list[NodeLine]) -> Callable[[Console], None]:
    return lambda console: console.print(table(found, lines))


def _plain(line: NodeLine) -> dict[str, object]:
    return {"url": line.url, "reachable": line.status is not None, "status": line.status, "error": line.error}
