"""`zhenglian node prune`: what the node's retention keeps, how much room the store takes, and clearing up at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from node.commands.context import Settings, settings
from node.commands.progress import stages
from node.home import Home
from node.lock import HomeLock, is_in_use
from node.prune import PruneState, look, open_for, prune

DEFAULT_FOLDER: Final = Path("zhenglian-home")


def prune_store(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
    ] = DEFAULT_FOLDER,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show; also while the node runs. 只显示，不删除。")
    ] = False,
) -> None:
    """Remove what `[retention]` no longer keeps, all at once; a running node does it by itself. 按保留期清理历史。"""
    found = settings(ctx)
    home = Home(folder)
    running = is_in_use(home.root / "lock")
    lock = None if dry_run else HomeLock(home.root / "lock")
    try:
        store, kept = open_for(home)
        with store:
            before = look(store, kept)
            after = before
            if not dry_run:
                with stages(found) as progress:
                    after = prune(store, kept, progress)
    finally:
        if lock is not None:
            lock.release()
    found.emit(
        {
            "folder": str(folder),
            "running": running,
            "dry_run": dry_run,
            "before": msgspec.to_builtins(before),
            "after": msgspec.to_builtins(after),
        },
        _shown(found, before, after, dry_run=dry_run),
    )


def add_to(app: typer.Typer) -> None:
    """Put the command into `zhenglian node`."""
    app.command("prune")(prune_store)


def _shown(found: Settings, before: PruneState, after: PruneState, *, dry_run: bool) -> str:
    gone = (before.first_height_wanted if dry_run else after.first_height) - before.first_height
    space = after.space
    file, live, free = (
        size // 1024**2 for size in (space.file_bytes, space.live_bytes, space.reusable_bytes)
    )
    return found.say(
        f"区块 {after.first_height}–{after.height}，可证明的高度自 {after.first_provable} 起；"
        f"{'将清理' if dry_run else '已清理'} {gone} 个区块。\n"
        f"文件 {file} MiB：在用 {live} MiB，可重复使用 {free} MiB。文件不会变小，空出的空间供以后的区块使用；"
        f"备份（node backup）是紧凑的副本。",
        f"Blocks {after.first_height} to {after.height}, provable from height {after.first_provable}; {gone} blocks "
        f"{'would go' if dry_run else 'are gone'}.\n"
        f"File {file} MiB: {live} MiB live, {free} MiB to be used again. The file does not shrink; what comes next takes "
        f"the room. A backup (node backup) is a compact copy.",
    )
