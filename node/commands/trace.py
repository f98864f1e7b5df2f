"""`zhenglian trace`: whose copy is it? (反向追溯)"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from contracts.records import TraceVerdict
from ledger import readable
from ledger.errors import VerificationFailed
from ledger.receipts import epochs_from_json
from node.commands.context import (
    EXIT_NEGATIVE,
    EXIT_UNAVAILABLE,
    InputUnusable,
    Settings,
    hex_id,
    read_file,
    settings,
    write_output,
)
from node.commands.progress import steps
from node.commands.verify import trusted_files
from zhenglian.api import LEAK_SIZE_BYTES_MAX, TraceCandidatesView, TraceLookView, TraceView
from zhenglian.private_files import write_private

if TYPE_CHECKING:
    from zhenglian.evidence import CheckedEvidence

app = typer.Typer(no_args_is_help=True, help="Whose copy is it? 反向追溯。")

Wait = Annotated[
    int,
    typer.Option(min=0, max=86_400, help="Seconds to wait for approval and verdict. 等待批准与结论的秒数。"),
]
Receipts = Annotated[
    Path | None, typer.Option(help="Folder for the receipts of what is found. 回执保存目录。")
]
TraceId = Annotated[str, typer.Argument(help="Trace id. 追溯编号。")]


@app.command()
def find(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="The leaked file. 泄露文件。")]
) -> None:
    """Find the certificates that a leaked file may come from; every look is recorded. 查找泄露文件可能来自的证照。

    Exit 0 if some are found, 1 if none is.
    """
    found = settings(ctx)
    data = read_file(file, "leaked file", size_bytes_max=LEAK_SIZE_BYTES_MAX)
    with found.client(signed=True) as client, steps(found) as report:
        view = client.find_trace(data, report=report)
    found.emit(view, lambda console: _show_candidates(found, console, view))
    if not view.candidates:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command()
def looks(ctx: typer.Context) -> None:
    """Who looked for a leak's record at the node, newest first. 谁查找过泄露来源。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.trace_looks()
    found.emit(views, lambda console: _show_looks(found, console, views))


@app.command()
def request(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The leaked file. 泄露文件。")],
    certificate: Annotated[
        list[str] | None,
        typer.Option(
            "--certificate",
            "-c",
            help="Certificate it may be a copy of; repeat. Without it they are found. 疑似来源证照，可重复；不填则自动查找。",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason code. 原因代码。")] = "leak",
    wait: Wait = 0,
    receipts: Receipts = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask for those found without confirming. 不再确认。")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="All that are found, not the surest alone. 追溯找到的全部证照。")
    ] = False,
) -> None:
    """Ask, on the record, for the release that a leaked file comes from. 申请追溯泄露来源。

    Another organisation approves (`trace approve`) before anything is opened. Exit 0 if somebody is accused, 1 if nobody
    is, 3 if it is still open.
    """
    found = settings(ctx)
    data = read_file(file, "leaked file", size_bytes_max=LEAK_SIZE_BYTES_MAX)
    ids = [hex_id(item, "--certificate") for item in certificate or ()]
    if not ids:
        ids = _found_ids(found, data, every=every, yes=yes)
    with found.client(signed=True) as client, steps(found) as report:
        view = client.request_trace(data, ids, reason=reason, report=report)
        if wait:
            view = client.wait_for_trace(view.trace_id, wait_s=wait, report=report)
    _told(found, view, receipts)


@app.command()
def approve(ctx: typer.Context, trace: TraceId) -> None:
    """Let a trace be performed: as another auditor, or as an operator that does not perform it. 批准追溯。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.approve_trace(hex_id(trace, "trace"))
        view = client.trace_view(hex_id(trace, "trace"))
    found.emit(view, lambda console: show(found, console, view))


@app.command("list")
def list_traces(ctx: typer.Context) -> None:
    """Traces that you may see, newest first. 追溯列表。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.traces()
    found.emit(views, lambda console: _show_list(found, console, views))


@app.command("show")
def show_trace(ctx: typer.Context, trace: TraceId, wait: Wait = 0, receipts: Receipts = None) -> None:
    """A trace's standing, or its verdict. 追溯的进度与结论。"""
    found = settings(ctx)
    with found.client(signed=True) as client, steps(found) as report:
        view = client.wait_for_trace(hex_id(trace, "trace"), wait_s=wait, report=report)
    _told(found, view, receipts)


@app.command()
def evidence(
    ctx: typer.Context,
    trace: TraceId,
    out: Annotated[Path, typer.Argument(help="File to write; keep it secret. 证据文件，须保密。")],
) -> None:
    """Fetch, as the auditor who asked, everything that a third party needs to check a verdict offline. 导出证据。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        data = client.trace_evidence(hex_id(trace, "trace"))
    write_private(out, data)
    found.emit(
        {"trace_id": trace, "evidence": str(out), "size_bytes": len(data)},
        found.say(
            f"证据已写入 {out}；其中有水印密钥，请保密。核验：zhenglian trace check {out} --trust trust.json",
            f"{out} written; it holds keys of marks, keep it secret. To check it: zhenglian trace check {out} --trust trust.json",
        ),
    )


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Evidence file. 证据文件。")],
    trust: Annotated[Path, typer.Option(help="Trust file. 信任文件。")] = Path("trust.json"),
    epochs: Annotated[Path | None, typer.Option(help="Epoch changes. 纪元变更文件。")] = None,
    leak: Annotated[Path | None, typer.Option(help="The leaked file. 泄露文件。")] = None,
    original: Annotated[
        Path | None,
        typer.Option(help="The unmarked file; with --leak the mark is detected again. 未加标记的原件。"),
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option(help="Write what holds as a PDF for people. 写出 PDF 报告。")
    ] = None,
) -> None:
    """Check evidence offline: exit 0 if it holds, 1 if not, 2 if unreadable. 离线核验证据。"""
    # With them come the codecs of marks, which the other commands do without.
    from zhenglian.evidence import EVIDENCE_SIZE_BYTES_MAX, check_evidence
    from zhenglian.evidence_pdf import evidence_pdf

    found = settings(ctx)
    trusted, changes = trusted_files(found, trust, epochs)
    data = read_file(file, "evidence", size_bytes_max=EVIDENCE_SIZE_BYTES_MAX)
    files = [
        None if path is None else read_file(path, path.name, size_bytes_max=LEAK_SIZE_BYTES_MAX)
        for path in (leak, original)
    ]
    try:
        checked = check_evidence(
            data, trusted, epochs_from_json(changes) if changes else (), leak=files[0], original=files[1]
        )
    except VerificationFailed as error:
        found.emit({"valid": False, "reason": error.message("en")}, f"✗ {error.message(found.language)}")
        raise typer.Exit(EXIT_NEGATIVE) from None
    if pdf is not None:
        write_output(pdf, evidence_pdf(checked))
    shown = _plain(msgspec.to_builtins(checked, builtin_types=(bytes,)))
    found.emit({"valid": True, **shown}, lambda console: _show_checked(found, console, checked))


def _show_looks(found: Settings, console: Console, views: list[TraceLookView]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in (
        found.say("时间", "time"),
        found.say("账户", "account"),
        found.say("文件哈希", "file hash"),
        found.say("结果", "found"),
    ):
        table.add_column(title, overflow="fold")
    for view in views:
        told = ", ".join(f"{one.certificate} ({' '.join(one.found_by)})" for one in view.found)
        when = datetime.fromtimestamp(view.time_ms / 1000, UTC).isoformat(timespec="seconds")
        table.add_row(when, view.account, view.file_hash, told or "–")
    console.print(table)


def _found_ids(found: Settings, data: bytes, *, every: bool, yes: bool) -> list[str]:
    """The certificates to ask about: those found in the surest way alone, since each that is named is opened."""
    if found.json and not yes:
        raise InputUnusable(what="--json", reason="it cannot ask; add --yes, or name the certificates")
    with found.client(signed=True) as client, steps(found) as report:
        view = client.find_trace(data, report=report)
    if not found.json or not view.candidates:
        found.emit(view, lambda console: _show_candidates(found, console, view))
    if not view.candidates:
        raise typer.Exit(EXIT_NEGATIVE)
    chosen = [one for one in view.candidates if every or one.found_by[:1] == view.candidates[0].found_by[:1]]
    question = found.say(
        f"对其中 {len(chosen)} 份证照申请追溯？持证人会收到通知",
        f"Ask for a trace of {len(chosen)} of them? Their holders are told",
    )
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(EXIT_NEGATIVE)
    return [one.certificate for one in chosen]


def _show_candidates(found: Settings, console: Console, view: TraceCandidatesView) -> None:
    ways = {
        "file_hash": found.say("与下链文件完全一致", "the very file that was released"),
        "original": found.say("与上链原件完全一致", "the very original that was deposited"),
        "embedded_file": found.say("内嵌文件", "a file inside it"),
        "qr_code": found.say("二维码", "a QR code"),
        "identifier": found.say("文中编号", "an id in its text"),
        "copy_reference": found.say("副本编号", "a copy's reference"),
        "certificate_number": found.say("证照号码", "a certificate's number"),
    }
    if not view.candidates:
        console.print(
            found.say(
                "未找到可能来源；如已知证照编号，请用 --certificate 指定",
                "Nothing found; if you know the certificate, name it with --certificate",
            )
        )
    else:
        table = Table(box=None, pad_edge=False)
        table.add_column(found.say("证照编号", "certificate"), overflow="fold")
        table.add_column(found.say("依据", "found by"), overflow="fold")
        for one in view.candidates:
            table.add_row(one.certificate, ", ".join(ways.get(way, way) for way in one.found_by))
        console.print(table)
    if view.more:
        console.print(
            found.say("还有其他可能来源，未列出", "There are more that are not listed"), style="dim"
        )
    for note in view.notes:
        console.print(note, style="dim", markup=False)


def _plain(value: Any) -> Any:
    """As JSON has it, bytes in hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _show_checked(found: Settings, console: Console, checked: CheckedEvidence) -> None:
    console.print(
        found.say(
            f"✓ 证据成立：结论 {checked.verdict}，比对 {checked.candidates} 份；申请 {checked.auditor.hex()}，"
            f"批准 {checked.approved_by.hex()}，执行 {checked.performed_by.hex()}",
            f"✓ The evidence holds: {checked.verdict} among {checked.candidates} copies; asked by {checked.auditor.hex()}, "
            f"approved by {checked.approved_by.hex()}, performed by {checked.performed_by.hex()}",
        )
    )
    for one in checked.releases:
        again = (
            ""
            if one.detected_log10_np is None
            else f"; {found.say('复测', 'detected again')} {one.detected_log10_np:.1f}"
        )
        console.print(
            found.say(
                f"  下链 {one.release_id.hex()}：接收方 {one.recipient.hex()}，经办密钥 {one.officer.hex()}，"
                f"出件节点 {one.releasing.hex()}，{'已' if one.acknowledged else '未'}签收，log10(N·p) = {one.log10_np:.1f}{again}",
                f"  release {one.release_id.hex()}: recipient {one.recipient.hex()}, officer's key {one.officer.hex()}, "
                f"made by {one.releasing.hex()}, {'acknowledged' if one.acknowledged else 'not acknowledged'}, "
                f"log10(N·p) = {one.log10_np:.1f}{again}",
            )
        )


def _told(found: Settings, view: TraceView, receipts: Path | None) -> None:
    """Show it, keep the receipts, and end with the status that it means."""
    if receipts is not None:
        for match in view.matches:
            text = readable.render(match.receipt)
            write_output(receipts / f"{match.release_id}.receipt.json", text.encode())
    found.emit(view, lambda console: show(found, console, view))
    if view.verdict == TraceVerdict.OPEN:
        raise typer.Exit(EXIT_UNAVAILABLE)
    if view.verdict != TraceVerdict.ACCUSED:
        raise typer.Exit(EXIT_NEGATIVE)


def _releases(found: Settings, *more: str) -> Table:
    """A table of releases, and of more about each."""
    table = Table(box=None, pad_edge=False)
    for column in (
        found.say("下链编号", "release"),
        found.say("机构", "organisation"),
        found.say("经办人", "officer"),
        found.say("时间", "time"),
        found.say("用途", "purpose"),
        *more,
    ):
        table.add_column(column, overflow="fold")
    return table


def _show_unnamed(found: Settings, console: Console, view: TraceView) -> None:
    console.print(
        found.say(
            f"标记无法区分下列 {view.unnamed_total} 次下发；名单不构成指认，可据此询问并查阅日志：",
            f"No mark tells these {view.unnamed_total} releases apart. The list accuses nobody; ask them, and read their logs:",
        )
    )
    table = _releases(found)
    for one in view.unnamed:
        table.add_row(
            one.release_id,
            one.grantee_name or one.grantee,
            one.officer_label or one.officer,
            one.prepared.isoformat(timespec="seconds"),
            one.purpose,
        )
    console.print(table)
    if view.unnamed_total > len(view.unnamed):
        rest = view.unnamed_total - len(view.unnamed)
        console.print(found.say(f"另有 {rest} 次", f"and {rest} more"), style="dim")


def _show_list(found: Settings, console: Console, views: list[TraceView]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in (
        found.say("编号", "id"),
        found.say("申请时间", "asked"),
        found.say("原因", "reason"),
        found.say("状态", "standing"),
    ):
        table.add_column(column, overflow="fold")
    for view in views:
        standing = view.verdict if view.approved else found.say("待批准", "waits for its approver")
        table.add_row(view.trace_id, view.requested.isoformat(timespec="seconds"), view.reason, standing)
    console.print(table)


def show(found: Settings, console: Console, view: TraceView) -> None:
    """The verdict, and whom it names."""
    verdicts = {
        "accused": found.say("已确定来源", "source found"),
        "investigate": found.say("有线索，证据不足以认定", "a lead, not enough to accuse"),
        "none": found.say("读到标记，但与任何下发件都不符", "marks were read, and no copy fits"),
        "untraceable": found.say("该文件无法追溯", "this file cannot be traced"),
        "open": found.say("仍在比对，请稍后查询", "still at work; ask again later"),
    }
    if not view.approved:
        verdicts["open"] = found.say(
            f"待另一机构批准：zhenglian trace approve {view.trace_id}",
            f"waits for another organisation: zhenglian trace approve {view.trace_id}",
        )
    console.print(
        f"{found.say('结论', 'Verdict')}: {verdicts.get(view.verdict, view.verdict)} ({view.trace_id})"
    )
    if view.matches:
        table = _releases(found, "log10(N·p)")
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
    if view.unnamed:
        _show_unnamed(found, console, view)
    console.print(
        found.say(f"比对的下链记录：{view.candidates} 条", f"Releases compared with: {view.candidates}"),
        style="dim",
    )
    for note in view.notes:
        console.print(note, style="dim", markup=False)
