"""`make demo`: four node processes on this machine and the whole story, from deposit to traced leak.

Without a terminal on standard input it ends by stopping the nodes, with status 0 only if every step passed; with one
it leaves them up and says where to look until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from ledger.crypto.registry import SUITE_DEFAULT, SUITES
from ledger.errors import LedgerError
from node.devnet import Devnet
from zhenglian_demo.cast import Cast
from zhenglian_demo.setting import set_the_scene
from zhenglian_demo.steps import Steps
from zhenglian_demo.story import Story

NODES: Final = 4
FOLDER: Final = Path("build/demo")
READY_S: Final = 60.0


async def run(steps: Steps, devnet: Devnet) -> None:
    """Everything after the nodes are up."""
    cast = Cast(suite=devnet.suite, urls=devnet.urls)
    cast.operators = [cast.actor(devnet.admin(number), first=number - 1) for number in devnet.numbers]
    try:
        setting = await set_the_scene(steps, cast)
        if steps.failed == 0:
            await Story(steps=steps, setting=setting, devnet=devnet, folder=FOLDER).tell()
    finally:
        await cast.close()


def chosen_suite() -> str:
    """What the command line names, else what the environment does."""
    parser = argparse.ArgumentParser(prog="python -m zhenglian_demo", description="The demonstration. 演示。")
    default = os.environ.get("ZHENGLIAN_SUITE", SUITE_DEFAULT)
    parser.add_argument("--suite", choices=SUITES, default=default, help="crypto suite; 密码套件")
    name: str = parser.parse_args().suite
    return name


def main() -> int:
    """Run the demonstration; the process's exit status."""
    suite = chosen_suite()
    console = Console(soft_wrap=True)
    steps = Steps(console)
    if FOLDER.exists():
        with suppress(LedgerError):
            # A demonstration that was left running, or was killed, still has its nodes.
            Devnet.open(FOLDER / "network").stop()
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    console.print(
        "[bold]证链 Zhenglian[/bold] · 演示 demonstration · 人物均为虚构 all people are synthetic · "
        f"密码套件 crypto suite {suite}\n"
    )
    devnet: Devnet | None = None
    try:
        with steps.step(
            "启动四个独立节点进程，TLS 1.3 互认，Simplex 共识",
            "Start four separate node processes, joined by mutual TLS 1.3, agreeing by Simplex",
        ):
            devnet = Devnet.create(FOLDER / "network", NODES, suite=suite)
            devnet.start_all()
            devnet.wait_ready(READY_S)
            steps.tell("  ".join(devnet.urls))
        if steps.failed == 0 and devnet is not None:
            asyncio.run(run(steps, devnet))
        if sys.stdin.isatty() and devnet is not None:
            stay(console, devnet)
    except LedgerError as error:
        steps.failed += 1
        console.print(f"[red]{error}[/red]")
    except KeyboardInterrupt:
        steps.failed += 1
        console.print("\n已中断 interrupted")
    finally:
        if devnet is not None:
            devnet.stop()
    print(steps.summary())
    return 0 if steps.failed == 0 and steps.passed > 0 else 1


def stay(console: Console, devnet: Devnet) -> None:
    """Leave the network up until the user ends it."""
    nodes = " ".join(f"--node {url}" for url in devnet.urls)
    console.print(f"\n网络仍在运行 The network is up. 接口页面 API page: {devnet.urls[0]}/docs")
    console.print(f"  {Path(sys.executable).with_name('zhenglian')} {nodes} status --watch")
    console.print("按回车键或 Ctrl-C 停止 Press Enter or Ctrl-C to stop.")
    try:
        sys.stdin.readline()
    except KeyboardInterrupt:
        console.print()


if __name__ == "__main__":
    sys.exit(main())
