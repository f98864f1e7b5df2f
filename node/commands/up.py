"""`zhenglian up`: put a file on the ledger in one call (傻瓜式上链).

Rule: what is needed to go on after a crash is on disk before the first row goes up, beside the file, readable by its owner only:
it holds the seed of every salt. The same file up again goes on with the same deposit; `--again` begins another.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ledger.decoders import decode_json
from ledger.errors import DecodeError
from node.commands.context import (
    EXIT_NEGATIVE,
    InputUnusable,
    Settings,
    hex_id,
    read_file,
    settings,
    write_output,
)
from node.commands.progress import steps
from node.home import write_file
from zhenglian.api_deposits import ReportRow
from zhenglian.plans.bulk import GOOD, Deposited, Resume

STATE_SUFFIX: Final = ".zhenglian-up.json"
_SHOWN_MAX: Final = 20
_FORMULA_STARTS: Final = ("=", "+", "-", "@")


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside the file. `file_hash` is of the file and the options, so that another content is another deposit."""

    file_hash: str
    key: str
    salt_seed: str
    node: str


def up(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="CSV, JSON, JSON Lines or XLSX; a certificate a row. 表格文件，每行一张证照。"),
    ],
    certificate_type: Annotated[str, typer.Option("--type", help="Type of its rows. 证照类型代码。")],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="COLUMN=FIELD, or COLUMN= to leave it out; repeat. 列映射。"),
    ] = None,
    holder: Annotated[str, typer.Option(help="Account of every row's holder. 所有行的持证人账户。")] = "",
    files: Annotated[
        Path | None, typer.Option(help="Folder of the attachments that rows name. 附件所在目录。")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check. 只检查，不上链。")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin anew, not go on. 重新开始一次新的上链。")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="CSV file for the report. 逐行报告写入 CSV。")
    ] = None,
) -> None:
    """Put a table on the ledger: read, check, seal, sign, with a report a row. 表格一键上链。"""
    found = settings(ctx)
    mapping = _mapping(column or [])
    state = file.with_name(file.name + STATE_SUFFIX)
    file_hash = _hash_of(file, certificate_type, mapping, holder)
    with found.client(signed=True) as client, steps(found) as progress:
        resume = None if again or dry_run else _kept(state, file_hash)
        if resume is None:
            resume = client.new_resume()
            if not dry_run:
                _keep(state, file_hash, resume)
        else:
            found.note("继续上次的上链任务。", "Going on with the deposit begun before.")
        done = client.deposit_file(
            file,
            certificate_type=certificate_type,
            mapping=mapping,
            holder=hex_id(holder, "--holder") if holder else "",
            files=files,
            dry_run=dry_run,
            resume=resume,
            report=progress,
        )
    if not dry_run:
        _keep(state, file_hash, done.resume)
    if report is not None:
        write_output(report, _csv(done.rows))
    _show(found, done, report)
    if not done.good:
        raise typer.Exit(EXIT_NEGATIVE)


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        name, equals, target = pair.partition("=")
        if not equals or not name.strip():
            raise DecodeError(what="--column", reason="COLUMN=FIELD is expected")
        mapping[name.strip()] = target.strip()
    return mapping


def _hash_of(file: Path, certificate_type: str, mapping: dict[str, str], holder: str) -> str:
    digest = hashlib.sha256(msgspec.json.encode([certificate_type, mapping, holder], order="deterministic"))
    try:
        with file.open("rb") as opened:
            while part := opened.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise InputUnusable(what=str(file), reason=error.strerror or str(error)) from None
    return digest.hexdigest()


def _kept(state: Path, file_hash: str) -> Resume | None:
    """What was begun with this very file, if anything was."""
    if not state.exists():
        return None
    try:
        kept = decode_json(read_file(state, "state file", size_bytes_max=4096), _Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DecodeError(
            what=f"state file {state}", reason="it is damaged; use --again to begin anew"
        ) from None
    if kept.file_hash != file_hash:
        return None
    return Resume(key=kept.key, salt_seed=kept.salt_seed, node=kept.node)


def _keep(state: Path, file_hash: str, resume: Resume) -> None:
    kept = _Kept(file_hash=file_hash, key=resume.key, salt_seed=resume.salt_seed, node=resume.node)
    write_file(Path(os.path.abspath(state)), msgspec.json.encode(kept), secret=True)  # noqa: PTH100  # links stay links


def _csv(rows: tuple[ReportRow, ...]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        (
            "行/row",
            "状态/state",
            "证照编号/certificate",
            "列/column",
            "代码/code",
            "问题",
            "怎么办",
            "problem",
            "what to do",
        )
    )
    for row in rows:
        lines = [
            (one.column, one.code, one.problem_zh, one.todo_zh, one.problem_en, one.todo_en)
            for one in row.problems
        ] + [(one.column, one.rule, one.text_zh, "", one.text_en, "") for one in row.notes]
        for line in lines or [("",) * 6]:
            cells = (str(row.row), row.state, row.certificate_id, *line)
            writer.writerow(["'" + cell if cell.startswith(_FORMULA_STARTS) else cell for cell in cells])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _show(found: Settings, done: Deposited, report: Path | None) -> None:
    good = sum(row.state in GOOD for row in done.rows)
    wrong = [row for row in done.rows if row.state not in GOOD]
    zh = [f"{good} 行{'可以上链' if done.job is None else '已上链'}，{len(wrong)} 行有问题。"]
    en = [f"{good} rows {'can go up' if done.job is None else 'are on the ledger'}, {len(wrong)} could not."]
    for row in wrong[:_SHOWN_MAX]:
        for one in row.problems:
            place = one.column or one.field
            zh.append(f"  第 {row.row} 行 {place}：{one.problem_zh}。{one.todo_zh}。")
            en.append(f"  row {row.row} {place}: {one.problem_en}; {one.todo_en}.")
    if len(wrong) > _SHOWN_MAX and report is None:
        zh.append(f"  …… 其余见 --report 报告（共 {len(wrong)} 行）")
        en.append(f"  … the rest is in a report, see --report ({len(wrong)} rows)")
    notes = sum(len(row.notes) for row in done.rows)
    if notes:
        zh.append(f"规范化了 {notes} 处写法，详见报告。")
        en.append(f"{notes} values were normalised; the report has each.")
    value = {
        "job": None if done.job is None else done.job.job,
        "state": "checked" if done.job is None else done.job.state,
        "good": good,
        "bad": len(wrong),
        "normalised": notes,
        "rows": done.rows,
    }
    found.emit(value, found.say("\n".join(zh), "\n".join(en)))
