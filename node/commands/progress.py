"""Progress of long work, on standard error: a bar on a terminal, else a line a step; none with `--json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from node.commands.context import Settings
from zhenglian.progress import Progress as Step
from zhenglian.progress import Report, silent

_STAGES: Final = {
    "request": ("申请并准备", "request and prepare"),
    "download": ("下载并核对", "download and check"),
    "acknowledge": ("签收上链", "acknowledge"),
    "upload": ("上传", "upload"),
    "read": ("读取表格", "read the table"),
    "find": ("查找持证人", "find the holders"),
    "deposit": ("加密并签名", "seal and sign"),
    "final": ("入账", "go final"),
    "approval": ("等待另一机构批准", "wait for another organisation's approval"),
    "sources": ("查找来源", "look up the sources"),
    "compare": ("比对", "compare"),
}


@contextmanager
def steps(found: Settings) -> Iterator[Report]:
    """A report function for the SDK's long operations."""
    if found.json:
        yield silent
        return
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines(found)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=False) as bars:

        def report(step: Step) -> None:
            zh, en = _STAGES.get(step.stage, (step.stage, step.stage))
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(f"{found.say(zh, en)} {step.subject}", total=step.total)
            bars.update(tasks[step.stage], completed=step.done, total=step.total)

        yield report


def _lines(found: Settings) -> Report:
    seen: set[str] = set()

    def report(step: Step) -> None:
        if step.stage not in seen:
            seen.add(step.stage)
            zh, en = _STAGES.get(step.stage, (step.stage, step.stage))
            found.note(f"{zh} {step.subject}", f"{en} {step.subject}")

    return report


@contextmanager
def stages(found: Settings) -> Iterator[Callable[[str, int, int], None]]:
    """A report function for work on a node's own files, told stage, done and total: a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if found.json or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=max(total, 1))
            bar.update(tasks[stage], completed=done, total=max(total, 1))

        yield show
