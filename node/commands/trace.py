"""`zhenglian trace`: whose copy is it? (反向追溯)"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contracts.records import TraceVerdict
from ledger import readable
from node.commands.context import (
    EXIT_NEGATIVE,
    EXIT_UNAVAILABLE,
    Settings,
    hex_id,
    read_file,
    settings,
    write_output,
)
from node.commands.progress import steps
from zhenglian.api import LEAK_SIZE_BYTES_MAX, TraceView


def trace(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The leaked file. 泄露文件。")],
    certificate: Annotated[
        list[str],
        typer.Option(
            "--certificate", "-c", help="Certificate it may be a copy of; repeat. 疑似来源证照，可重复。"
        ),
    ],
    reason: Annotated[str, typer.Option(help="Reason code. 原因代码。")] = "leak",
    wait: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds to wait for the verdict. 等待秒数。")
    ] = 600,
    receipts: Annotated[
        Path | None, typer.Option(help="Folder for the receipts of what is found. 回执保存目录。")
    ] = None,
) -> None:
    """Find the release that a leaked file comes from; exit 0 if found, 1 if not. 追溯泄露来源。"""
    found = settings(ctx)
    data = read_file(file, "leaked file", size_bytes_max=LEAK_SIZE_BYTES_MAX)
    ids = [hex_id(item, "--certificate") for item in certificate]
    with found.client(signed=True) as client, steps(found) as report:
        view = client.trace(data, ids, reason=reason, wait_s=wait, report=report)
    if receipts is not None:
        for match in view.matches:
            text = readable.render(match.receipt)
            write_output(receipts / f"{match.release_id}.receipt.json", text.encode())
    found.emit(view, lambda console: show(found, console, view))
    if view.verdict == TraceVerdict.OPEN:
        raise typer.Exit(EXIT_UNAVAILABLE)
    if view.verdict != TraceVerdict.ACCUSED:
        raise typer.Exit(EXIT_NEGATIVE)


def show(found: Settings, console: Console, view: TraceView) -> None:
    """The verdict, and whom it names."""
    verdicts = {
        "accused": found.say("已确定来源", "source found"),
        "investigate": found.say("有线索，证据不足以认定", "a lead, not enough to accuse"),
        "none": found.say("未发现任何水印", "no mark found"),
        "untraceable": found.say("该文件无法追溯", "this file cannot be traced"),
        "open": found.say("仍在比对，请稍后查询", "still at work; ask again later"),
    }
    console.print(
        f"{found.say('结论', 'Verdict')}: {verdicts.get(view.verdict, view.verdict)} ({view.trace_id})"
    )
    if view.matches:
        table = Table(box=None, pad_edge=False)
        for column in (
            found.say("下链编号", "release"),
            found.say("机构", "organisation"),
            found.say("经办人", "officer"),
            found.say("时间", "time"),
            found.say("用途", "purpose"),
            "log10(N·p)",
        ):
            table.add_column(column, overflow="fold")
        for match in view.matches:
            release = match.release
            table.add_row(
                match.release_id,
                release.grantee_name,
                release.officer_label or release.officer,
                release.requested.isoformat(timespec="seconds"),
                release.purpose,
                f"{match.log10_np:.1f}",
            )
        console.print(table)
    console.print(
        found.say(f"比对的下链记录：{view.candidates} 条", f"Releases compared with: {view.candidates}"),
        style="dim",
    )
    for note in view.notes:
        console.print(note, style="dim", markup=False)
