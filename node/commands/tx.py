"""`zhenglian tx`: transactions by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from contracts.calls import CALLS
from ledger.errors import DecodeError
from node.commands.context import Settings, hex_id, read_json, settings, write_output
from zhenglian.api import TransactionView
from zhenglian.plain import from_plain

app = typer.Typer(no_args_is_help=True, help="Transactions. 交易。")

Id = Annotated[str, typer.Argument(help="Transaction id, hex. 交易编号。")]
Wait = Annotated[
    int, typer.Option("--wait", min=0, max=3600, help="Seconds to wait for finality. 等待秒数。")
]


@app.command("send")
def send(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(help="contract.method, as grants.revoke. 合约.方法。")],
    arguments: Annotated[
        str, typer.Argument(help="JSON object of arguments, bytes in hex; or @FILE. 参数 JSON，或 @文件。")
    ] = "{}",
    wait: Wait = 60,
) -> None:
    """Sign and submit any call. 签名并提交任意调用。"""
    found = settings(ctx)
    contract, _, name = method.partition(".")
    kind = CALLS.get((contract, name))
    if kind is None:
        known = ", ".join(".".join(pair) for pair in CALLS)
        raise typer.BadParameter(f"{method}; {known}", param_hint="METHOD")
    if arguments.startswith("@"):
        document = read_json(Path(arguments[1:]), "arguments")
    else:
        try:
            document = msgspec.json.decode(arguments)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DecodeError(what="arguments", reason=str(error)) from None
    args = from_plain(document, kind, method)
    with found.client(signed=True) as client:
        found.emit(client.submit(args, wait_s=wait))


@app.command("show")
def show(ctx: typer.Context, transaction: Id) -> None:
    """A transaction: pending, finalized with its result, or expired. 查看交易。"""
    found = settings(ctx)
    with found.client() as client:
        view = client.transaction(hex_id(transaction, "transaction id", size_bytes=32))
    found.emit(view)
    _tell_whose(found, view)


@app.command("wait")
def wait(ctx: typer.Context, transaction: Id, wait: Wait = 60) -> None:
    """Wait until a transaction is final; exit 1 when it was denied. 等待最终确认，被拒绝时退出码为 1。"""
    found = settings(ctx)
    with found.client() as client:
        view: TransactionView = client.wait(hex_id(transaction, "transaction id", size_bytes=32), wait_s=wait)
    found.emit(view)
    _tell_whose(found, view)
    if view.status == "pending":
        raise typer.Exit(3)


def _tell_whose(found: Settings, view: TransactionView) -> None:
    """A result is told to whom it concerns; everybody else learns that there is one."""
    if view.status == "finalized" and view.result is None:
        found.note(
            "结果只对签名者和当事方显示：请用其密钥再查（--key）。",
            "Its result is told to who signed it and whom it concerns: ask with their key (--key).",
        )


@app.command("receipt")
def receipt(
    ctx: typer.Context,
    transaction: Id,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; else shown. 写入文件。")
    ] = None,
) -> None:
    """Fetch the receipt that `zhenglian verify` checks. 下载可离线验证的回执。"""
    found = settings(ctx)
    with found.client() as client:
        text = client.receipt(hex_id(transaction, "transaction id", size_bytes=32))
    if out is None:
        typer.echo(text)
        return
    write_output(out, text.encode())
    found.emit({"receipt": str(out)}, found.say(f"回执已写入 {out}", f"Receipt written to {out}"))
