"""`zhenglian verify`: check a receipt or a presentation with no network at all; `zhenglian trust`: what it is checked against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.state_keys import StateEntry, state_entry
from ledger.errors import DecodeError, VerificationFailed
from ledger.receipts import (
    EPOCHS_FILE_SIZE_BYTES_MAX,
    RECEIPT_FILE_SIZE_BYTES_MAX,
    TRUST_FILE_SIZE_BYTES_MAX,
    VerifiedReceipt,
    VerifiedState,
    epochs_from_json,
    time_text,
    trust_from_json,
)
from ledger.types import Trust
from node.commands.context import (
    DEFAULT_NODE,
    EXIT_NEGATIVE,
    Settings,
    read_file,
    settings,
    write_output,
)
from zhenglian import Client, Mismatch, presentations
from zhenglian.plain import to_plain
from zhenglian.plans.proofs import verify_any as check


def verify(
    ctx: typer.Context,
    receipt: Annotated[
        Path,
        typer.Argument(
            help="Receipt of a transaction or of the state, or a presentation. 交易回执、状态回执或出示文件。"
        ),
    ],
    trust: Annotated[
        Path | None, typer.Option(help="Trust file; trust.json beside the receipt if left out. 信任文件。")
    ] = None,
    epochs: Annotated[
        Path | None,
        typer.Option(
            help="Epoch changes, for a receipt that is younger than the trust file; "
            "epochs.json beside the trust file if left out and there. 纪元变更文件。"
        ),
    ] = None,
) -> None:
    """Check a receipt offline: exit 0 if it holds, 1 if not, 2 if unreadable. 离线验证回执。"""
    found = settings(ctx)
    trust_path = trust or receipt.parent / "trust.json"
    trusted, changes = trusted_files(found, trust_path, epochs)
    data = read_file(receipt, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    try:
        if presentations.is_presentation(data):
            _accept_presentation(found, presentations.verify_presentation(data, trusted, changes))
            return
        verified = check(data, trusted, changes)
    except VerificationFailed as error:
        _reject(found, error)
    else:
        if isinstance(verified, VerifiedState):
            _accept_state(found, verified)
        else:
            _accept(found, verified)


def trusted_files(found: Settings, trust_path: Path, epochs: Path | None) -> tuple[Trust, bytes | None]:
    """A trust file, and the epoch changes that are named, or lie beside it. Raises DecodeError."""
    trust_data = read_file(trust_path, "trust file", size_bytes_max=TRUST_FILE_SIZE_BYTES_MAX)
    beside = trust_path.parent / "epochs.json"
    epochs_path = epochs or (beside if beside.exists() else None)
    changes = None
    if epochs_path is not None:
        changes = read_file(epochs_path, "epochs file", size_bytes_max=EPOCHS_FILE_SIZE_BYTES_MAX)
    try:
        return trust_from_json(trust_data), changes
    except VerificationFailed as error:
        raise DecodeError(what=f"trust file {trust_path}", reason=error.message(found.language)) from None


def trust(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")] = Path("trust.json"),
) -> None:
    """Fetch the trust file, from every --node given; they have to agree. 下载信任文件，各节点须一致。

    Where the validators have changed since, the proofs of it are written beside it, as epochs.json.
    """
    found = settings(ctx)
    text = changes = ""
    for url in found.nodes or (DEFAULT_NODE,):
        with Client(url, language=found.language) as client:
            other = client.trust()
            changes = client.epochs()
        if text and other != text:
            raise Mismatch(what=f"trust file of {url}", expected="the other nodes' one", actual="another")
        text = other
    trust_from_json(text)
    write_output(out, text.encode())
    if epochs_from_json(changes):
        write_output(out.parent / "epochs.json", changes.encode())
    nodes = len(found.nodes or (DEFAULT_NODE,))
    found.emit(
        {"trust": str(out), "nodes": nodes},
        found.say(
            f"信任文件已写入 {out}（{nodes} 个节点一致）", f"{out} written; {nodes} node(s) agree on it."
        ),
    )


def _accept_presentation(found: Settings, verified: presentations.VerifiedPresentation) -> None:
    parts = {part.name: part.value for part in verified.disclosure.fields}
    files = {part.name: part.content_hash for part in verified.disclosure.attachments}
    certificate, time = verified.certificate, time_text(verified.state.time_ms)
    invalid = verified.why_not_valid
    found.emit(
        {
            "valid": True,
            "certificate_id": certificate.certificate_id.hex(),
            "certificate_type": certificate.certificate_type,
            "issuer": certificate.issuer.hex(),
            "holder": certificate.holder.hex(),
            "fields": parts,
            "attachments": files,
            "certificate_valid": not invalid,
            "reason": invalid,
            "height": verified.state.height,
            "time": time,
            "signers": list(verified.state.signers),
            "validators": verified.state.validator_count,
        },
        found.say(
            f"✓ 所示内容与证照 {certificate.certificate_id.hex()} 一致：{'、'.join([*parts, *files])}；"
            f"截至区块高度 {verified.state.height}（{time}），证照{'有效' if not invalid else '无效：' + invalid}",
            f"✓ What is shown belongs to certificate {certificate.certificate_id.hex()}: {', '.join([*parts, *files])}; "
            f"as of block {verified.state.height} ({time}) it is {'valid' if not invalid else 'not valid: ' + invalid}",
        ),
    )


def _reject(found: Settings, error: VerificationFailed) -> None:
    found.emit(
        {
            "valid": False,
            "check": error.fields.get("check", ""),
            "message_zh": error.message("zh"),
            "message_en": error.message("en"),
        },
        "✗ " + error.message(found.language),
    )
    raise typer.Exit(EXIT_NEGATIVE)


def _accept(found: Settings, verified: VerifiedReceipt) -> None:
    body = verified.receipt.transaction.body
    result = verified.receipt.result
    call = f"{body.call.contract}.{body.call.method}"
    time = time_text(verified.time_ms)
    signed = f"{len(verified.signers)}/{verified.validator_count}"
    found.emit(
        {
            "valid": True,
            "network": verified.receipt.network,
            "transaction_id": verified.transaction_id.hex(),
            "call": call,
            "account": body.account.hex(),
            "key_id": body.key_id.hex(),
            "result": result.code,
            "height": verified.height,
            "time": time,
            "block": verified.block_digest.hex(),
            "signers": list(verified.signers),
            "validators": verified.validator_count,
        },
        found.say(
            f"✓ 回执有效：{call}，结果 {result.code}，区块高度 {verified.height}，{time}，"
            f"{signed} 个验证者签名（{'、'.join(verified.signers)}）",
            f"✓ The receipt holds: {call}, result {result.code}, height {verified.height}, {time}, "
            f"signed by {signed} validators ({', '.join(verified.signers)})",
        ),
    )


def _accept_state(found: Settings, verified: VerifiedState) -> None:
    entry = state_entry(verified.key, verified.value)
    present = verified.value is not None
    record = to_plain(entry.record)
    time = time_text(verified.time_ms)
    signed = f"{len(verified.signers)}/{verified.validator_count}"
    what = f"{entry.table or '?'} {shown_name(entry)}"
    found.emit(
        {
            "valid": True,
            "network": verified.receipt.network,
            "present": present,
            "table": entry.table,
            "name": entry.name.hex(),
            "key": verified.key.hex(),
            "value": None if verified.value is None else verified.value.hex(),
            "record": record,
            "height": verified.height,
            "time": time,
            "block": verified.block_digest.hex(),
            "signers": list(verified.signers),
            "validators": verified.validator_count,
        },
        found.say(
            f"✓ 回执有效：区块高度 {verified.height}（{time}）之后，"
            + (f"账本中有 {what}" if present else f"账本中没有 {what}")
            + f"；{signed} 个验证者签名（{'、'.join(verified.signers)}）",
            f"✓ The receipt holds: after block {verified.height} ({time}) "
            + (f"the ledger held {what}" if present else f"the ledger held no {what}, nothing at all")
            + f"; signed by {signed} validators ({', '.join(verified.signers)})",
        ),
    )
    if present and not found.json:
        if isinstance(record, dict):
            found.record(record)
        else:
            found.emit(None, str(record if record is not None else (verified.value or b"").hex()))


def shown_name(entry: StateEntry) -> str:
    """The rest of a state key, for people: a code as it is, anything else in hex."""
    text = entry.name.decode("ascii", "replace")
    return text if text.isprintable() and text.isascii() and not text.isdigit() else entry.name.hex()
