"""`zhenglian region`: other networks whose certificates are recognised here (跨省互认).

Everything comes as files; no command asks the other network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.region_actions import DistrustRegion, TrustRegion
from ledger import codec
from ledger.crypto.registry import load_suite
from ledger.crypto.suite import SuiteUnavailable
from ledger.errors import DecodeError, NotFound, VerificationFailed
from ledger.light import check_trust
from ledger.receipts import (
    EPOCHS_FILE_SIZE_BYTES_MAX,
    RECEIPT_FILE_SIZE_BYTES_MAX,
    TRUST_FILE_SIZE_BYTES_MAX,
    StateReceipt,
    epochs_from_json,
    proof_from_json,
    trust_from_json,
    trust_to_json,
)
from ledger.types import Receipt, Trust
from node.commands.context import DEFAULT_NODE, Settings, moment_ms, read_file, settings, write_output
from zhenglian import Client, Mismatch
from zhenglian.api_regions import RegionView

app = typer.Typer(
    no_args_is_help=True, help="Other networks and trust in them. 其他地区网络及信任（跨省互认）。"
)

PROOF_AGE_DEFAULT: Final = "+1h"
LIFE_DEFAULT: Final = "+30d"

RegionName = Annotated[
    str, typer.Argument(metavar="REGION", help="Network name or chain id. 网络名称或链标识。")
]


@app.command("trust-file")
def trust_file(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")] = Path("region.json"),
) -> None:
    """This network's trust point at its present epoch, for another network's vote; every --node has to agree.
    本网络当前任期的信任文件，供其他地区表决。"""
    found = settings(ctx)
    first, *others = found.nodes or (DEFAULT_NODE,)
    trust = _present_trust(found, first)
    for url in others:
        if _present_trust(found, url) != trust:
            raise Mismatch(what=f"trust point of {url}", expected="the other nodes' one", actual="another")
    write_output(out, trust_to_json(trust).encode())
    known = fingerprint(trust)
    found.emit(
        {"trust": str(out), "network": trust.network, "chain_id": trust.chain_id.hex(), **known},
        found.say(
            f"信任文件已写入 {out}：网络 {trust.network}，任期 {known['epoch']}，指纹 {known['fingerprint']}。"
            "请经另一可信渠道把指纹告知对方。",
            f"{out} written: network {trust.network}, epoch {known['epoch']}, fingerprint {known['fingerprint']}. "
            "Tell the other side the fingerprint by another way.",
        ),
    )


@app.command("propose")
def propose(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Their trust file. 对方的信任文件。")],
    fingerknown: Annotated[
        str,
        typer.Option("--fingerprint", help="As they told it by another way. 经另一渠道得到的指纹。"),
    ],
    types: Annotated[
        list[str],
        typer.Option("--type", help="Certificate type to recognise; repeat. 互认的证照类型，可重复。"),
    ],
    proof_age: Annotated[
        str, typer.Option("--proof-age", help="How old a proof may be: +1h. 证明最长时效。")
    ] = PROOF_AGE_DEFAULT,
    life: Annotated[
        str, typer.Option("--life", help="How long one proof is good for: +30d. 一次证明的有效期。")
    ] = LIFE_DEFAULT,
) -> None:
    """Propose to trust another network; name every node with --node, so that each is asked for its crypto suites.
    提出信任一个地区网络；请用 --node 列出全部节点，以便逐一核对密码套件。"""
    found = settings(ctx)
    trust = _trust(found, file)
    actual = fingerprint(trust)["fingerprint"]
    if fingerknown.strip().lower() != actual:
        raise Mismatch(what=f"fingerprint of {file}", expected=fingerknown, actual=str(actual))
    action = TrustRegion(
        trust=trust,
        types=tuple(types),
        proof_age_ms_max=_span_ms(proof_age, "--proof-age"),
        recognition_life_ms=_span_ms(life, "--life"),
    )
    with found.client(signed=True) as client:
        _require_suite(found, trust.suite)
        _proposed(found, client.propose(action))


@app.command("distrust")
def distrust(
    ctx: typer.Context,
    region: RegionName,
    reason: Annotated[str, typer.Option(help="Reason code. 原因代码。")],
) -> None:
    """Propose to accept nothing more of a network. 提出取消信任。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        chain_id = bytes.fromhex(region_named(client, region).chain_id)
        _proposed(found, client.propose(DistrustRegion(chain_id=chain_id, reason=reason)))


@app.command("follow")
def follow(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="Their epochs.json, as `zhenglian trust` writes it. 对方的任期变更文件。")
    ],
) -> None:
    """Bring another network's changes of validators. 提交对方验证节点的变更。"""
    found = settings(ctx)
    data = read_file(file, "epochs file", size_bytes_max=EPOCHS_FILE_SIZE_BYTES_MAX)
    try:
        changes = epochs_from_json(data)
    except VerificationFailed as error:
        raise DecodeError(what=f"epochs file {file}", reason=error.message(found.language)) from None
    with found.client(signed=True) as client:
        views = client.follow_region(changes)
        held = client.region(changes[0].header.chain_id.hex())
    found.emit(
        {"epoch": held.epoch, "transactions": [view.transaction_id for view in views]},
        found.say(
            f"已跟进到 {held.network} 的任期 {held.epoch}（提交 {len(views)} 笔交易）。",
            f"Epoch {held.epoch} of {held.network} is held now ({len(views)} transaction(s) sent).",
        ),
    )


@app.command("report-fork")
def report_fork(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(help="Receipt or state receipt. 回执或状态证明。")],
    second: Annotated[Path, typer.Argument(help="One that excludes it. 与之矛盾的另一份。")],
) -> None:
    """Show that another network has two final blocks at one height; nothing of it is accepted from then on.
    提交对方分叉的证据，立即暂停互认。"""
    found = settings(ctx)
    one, other = _any_receipt(found, first), _any_receipt(found, second)
    with found.client(signed=True) as client:
        view = client.report_fork(one, other)
    found.emit(view, found.say("分叉证据已上链，互认已暂停。", "The fork is on the ledger; trust has ended."))


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Every other network on record. 列出其他地区网络。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.regions()
    columns = (
        found.say("网络", "network"),
        found.say("状态", "state"),
        found.say("任期", "epoch"),
        found.say("套件", "suite"),
        found.say("证照类型", "types"),
        "chain_id",
    )
    found.rows(views, columns, [(v.network, v.state, v.epoch, v.suite, v.types, v.chain_id) for v in views])


@app.command("show")
def show(ctx: typer.Context, region: RegionName) -> None:
    """One of them. 查看一个地区网络。"""
    found = settings(ctx)
    with found.client() as client:
        found.emit(region_named(client, region))


def region_named(client: Client, wanted: str) -> RegionView:
    """The region that the user means, by name or chain id. Raises NotFound, also where a name is not unique."""
    views = [view for view in client.regions() if wanted in {view.chain_id, view.network}]
    if len(views) != 1:
        raise NotFound(what="region", id=wanted)
    return views[0]


def fingerprint(trust: Trust) -> dict[str, str | int]:
    """What people compare: the epoch, and the first 16 bytes of the digest of the whole trust point."""
    digest = load_suite(trust.suite).digest(codec.encode(trust))
    return {"epoch": trust.validators.epoch, "fingerprint": digest[:16].hex()}


def _present_trust(found: Settings, url: str) -> Trust:
    with Client(url, language=found.language) as client:
        return client.present_trust()


def _trust(found: Settings, path: Path) -> Trust:
    data = read_file(path, "trust file", size_bytes_max=TRUST_FILE_SIZE_BYTES_MAX)
    try:
        trust = trust_from_json(data)
        check_trust(load_suite(trust.suite), trust)
    except VerificationFailed as error:
        raise DecodeError(what=f"trust file {path}", reason=error.message(found.language)) from None
    return trust


def _any_receipt(found: Settings, path: Path) -> Receipt | StateReceipt:
    data = read_file(path, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    try:
        return proof_from_json(data)
    except VerificationFailed as error:
        raise DecodeError(what=f"receipt {path}", reason=error.message(found.language)) from None


def _require_suite(found: Settings, suite: str) -> None:
    """Every node that is named has to be able to judge the other network's proofs; one that cannot would stop."""
    for url in found.nodes or (DEFAULT_NODE,):
        with Client(url, language=found.language) as client:
            if suite not in client.protocol().suites:
                raise SuiteUnavailable(suite=suite, reason=url)


def _span_ms(text: str, what: str) -> int:
    span = moment_ms(text, what, now_ms=0)
    if not text.startswith("+") or span <= 0:
        raise DecodeError(what=what, reason="+1h, +30d or the like is expected")
    return span


def _proposed(found: Settings, proposal_id: str) -> None:
    found.emit(
        {"proposal_id": proposal_id},
        found.say(
            f"提案 {proposal_id} 已上链，等待其他运营方批准（zhenglian gov approve）。",
            f"Proposal {proposal_id} made; other operators approve now (zhenglian gov approve).",
        ),
    )
