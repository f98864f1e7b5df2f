"""`zhenglian proof`: have the ledger prove what it says of a record, now or after an earlier block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ledger.errors import DecodeError
from ledger.receipts import state_receipt_from_json
from ledger.store_records import STATE_KEY_SIZE_BYTES_MAX
from node.commands.context import Settings, hex_id, settings, write_output
from zhenglian import Client

app = typer.Typer(
    no_args_is_help=True, help="Proofs of the ledger's state, for `zhenglian verify`. 状态证明。"
)

Height = Annotated[
    int | None,
    typer.Option("--height", min=1, help="After which block; the newest if left out. 区块高度，缺省为最新。"),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write; else shown. 写入文件。")]


@app.command("certificate")
def certificate(
    ctx: typer.Context,
    certificate: Annotated[str, typer.Argument(help="Certificate id, hex. 证照编号。")],
    height: Height = None,
    out: Out = None,
) -> None:
    """Prove a certificate's record, or that there was none. 证明证照记录，或证明当时没有。"""
    certificate_id = hex_id(certificate, "certificate id")
    _fetch(settings(ctx), out, lambda client: client.certificate_proof(certificate_id, height=height))


@app.command("grant")
def grant(
    ctx: typer.Context,
    grant: Annotated[str, typer.Argument(help="Grant id, hex. 授权编号。")],
    height: Height = None,
    out: Out = None,
) -> None:
    """Prove a grant's record, or that there was none. 证明授权记录，或证明当时没有。"""
    grant_id = hex_id(grant, "grant id")
    _fetch(settings(ctx), out, lambda client: client.grant_proof(grant_id, height=height))


@app.command("release")
def release(
    ctx: typer.Context,
    release: Annotated[str, typer.Argument(help="Release id, 16 hex digits. 下链编号。")],
    height: Height = None,
    out: Out = None,
) -> None:
    """Prove a release's record, or that there was none. 证明下链记录，或证明当时没有。"""
    release_id = hex_id(release, "release id", size_bytes=8)
    _fetch(settings(ctx), out, lambda client: client.release_proof(release_id, height=height))


@app.command("state")
def state(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="State key, hex. 状态键。")],
    height: Height = None,
    out: Out = None,
) -> None:
    """Prove what is under any state key; for operators and auditors. 证明任一状态键的值。"""
    raw = _state_key(key)
    _fetch(settings(ctx), out, lambda client: client.state_proof(raw, height=height))


def _state_key(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        raw = b""
    if not 1 <= len(raw) <= STATE_KEY_SIZE_BYTES_MAX:
        raise DecodeError(
            what="state key", reason=f"1 to {STATE_KEY_SIZE_BYTES_MAX} bytes in hex are expected"
        )
    return raw


def _fetch(found: Settings, out: Path | None, ask: Callable[[Client], str]) -> None:
    with found.client(signed=True) as client:
        text = ask(client)
    if out is None:
        typer.echo(text, nl=False)
        return
    receipt = state_receipt_from_json(text)
    write_output(out, text.encode())
    there = receipt.value is not None
    found.emit(
        {"proof": str(out), "height": receipt.header.height, "present": there},
        found.say(
            f"证明已写入 {out}（区块高度 {receipt.header.height}，{'有此记录' if there else '无此记录'}），"
            f"可用 zhenglian verify {out} 离线验证",
            f"Proof written to {out} (height {receipt.header.height}, {'present' if there else 'absent'}); "
            f"check it offline with zhenglian verify {out}",
        ),
    )
