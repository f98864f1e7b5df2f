"""`zhenglian recognition`: certificates of other regions that are recognised here, and what is shown of them.

What people disclose is read, checked on this computer, and sent nowhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.crypto.registry import load_suite
from ledger.receipts import RECEIPT_FILE_SIZE_BYTES_MAX
from node.commands.context import EXIT_NEGATIVE, Settings, hex_id, read_file, settings, write_output
from node.commands.region import region_named
from zhenglian import certificate_proofs, disclosures
from zhenglian.api_regions import DisclosureCheckView, RecognitionView
from zhenglian.certificate_proofs import CertificateProof
from zhenglian.disclosures import DISCLOSURE_FILE_SIZE_BYTES_MAX

app = typer.Typer(no_args_is_help=True, help="Recognised certificates of other regions. 跨省互认的证照。")

Id = Annotated[str, typer.Argument(metavar="ID", help="Recognition id, hex. 互认记录编号。")]
Proof = Annotated[
    Path,
    typer.Argument(
        help="The certificate's proof, from its home (`zhenglian cert home-proof`). 对方网络出具的证照证明。"
    ),
]
Disclosed = Annotated[Path, typer.Argument(metavar="FILE", help="Disclosure file. 披露文件。")]


@app.command("add")
def add(
    ctx: typer.Context,
    proof: Proof,
    consent: Annotated[
        Path,
        typer.Option(
            help="The holder's signed consent; only its hash goes on the ledger. 持证人同意书，仅上链哈希。"
        ),
    ],
    basis: Annotated[str, typer.Option(help="Lawful basis, a code. 合法性基础代码。")] = "consent",
) -> None:
    """Have a certificate of another region recognised. 互认一份证照。"""
    found = settings(ctx)
    brought = _proof(proof)
    document = read_file(consent, "consent")
    with found.client(signed=True) as client:
        suite = load_suite(client.network().suite)
        recognition_id = client.recognize(brought, lawful_basis=basis, consent_hash=suite.digest(document))
        view = client.recognition(recognition_id)
    found.emit(view, found.say(f"已互认：{recognition_id}", f"Recognised: {recognition_id}"))


@app.command("refresh")
def refresh(ctx: typer.Context, recognition: Id, proof: Proof) -> None:
    """Bring a later proof of the certificate. 用新证明更新互认记录。"""
    found = settings(ctx)
    identity = hex_id(recognition, "recognition id")
    brought = _proof(proof)
    with found.client(signed=True) as client:
        client.refresh_recognition(identity, brought)
        view = client.recognition(identity)
    found.emit(view, _standing(found, view))


@app.command("list")
def list_(
    ctx: typer.Context,
    region: Annotated[str, typer.Option(help="Network name or chain id. 网络名称或链标识。")] = "",
    certificate: Annotated[str, typer.Option(help="Certificate id at home. 证照编号。")] = "",
) -> None:
    """Recognitions that the key may see. 列出可见的互认记录。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.recognitions(
            region=region_named(client, region).chain_id if region else "",
            certificate=hex_id(certificate, "--certificate") if certificate else "",
        )
    columns = (
        "recognition_id",
        found.say("地区", "region"),
        found.say("类型", "type"),
        found.say("发证机构", "issuer"),
        found.say("有效", "holds"),
        found.say("原因", "reason"),
    )
    rows: list[tuple[Any, ...]] = [
        (v.recognition_id, v.region_network, v.certificate_type, v.issuer_name, v.holds, v.reason)
        for v in views
    ]
    found.rows(views, columns, rows)


@app.command("show")
def show(ctx: typer.Context, recognition: Id) -> None:
    """One of them, and whether it holds now. 查看互认记录及其当前是否有效。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.recognition(hex_id(recognition, "recognition id")))


@app.command("proof")
def proof_(
    ctx: typer.Context,
    recognition: Id,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")],
    height: Annotated[
        int | None, typer.Option("--height", min=1, help="After which block. 区块高度，缺省为最新。")
    ] = None,
) -> None:
    """The recognition's own proof on this network, for `zhenglian verify`. 互认记录本身的状态证明。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        text = client.recognition_proof(hex_id(recognition, "recognition id"), height=height)
    write_output(out, text.encode())
    found.emit({"proof": str(out)}, found.say(f"状态证明已写入 {out}", f"{out} written."))


@app.command("check")
def check(ctx: typer.Context, recognition: Id, file: Disclosed) -> None:
    """Check what somebody shows: exit 0 if it is accepted, 1 if not. 核验所出示的字段。"""
    found = settings(ctx)
    shown = disclosures.from_json(
        read_file(file, "disclosure", size_bytes_max=DISCLOSURE_FILE_SIZE_BYTES_MAX)
    )
    with found.client(signed=True) as client:
        result = client.check_disclosure(hex_id(recognition, "recognition id"), shown)
    found.emit(result, _verdict(found, result))
    if not result.accepted:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command("disclose")
def disclose(
    ctx: typer.Context,
    file: Disclosed,
    part: Annotated[
        list[str],
        typer.Option("--part", help="Field or attachment to show; repeat. 出示的字段或附件，可重复。"),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")],
) -> None:
    """Take out of one's disclosure file only what is asked for. 从披露文件中只取出要出示的部分。"""
    found = settings(ctx)
    whole = disclosures.from_json(
        read_file(file, "disclosure", size_bytes_max=DISCLOSURE_FILE_SIZE_BYTES_MAX)
    )
    chosen = disclosures.selected(whole, part)
    write_output(out, disclosures.to_json(chosen))
    names = disclosures.part_names(chosen)
    found.emit(
        {"disclosure": str(out), "parts": names},
        found.say(f"{out} 只含：{'、'.join(names)}", f"{out} shows only {', '.join(names)}."),
    )


def _proof(path: Path) -> CertificateProof:
    return certificate_proofs.from_json(
        read_file(path, "certificate proof", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    )


def _standing(found: Settings, view: RecognitionView) -> str:
    if view.holds:
        return found.say(
            f"互认有效，依据高度 {view.home_height}。", f"It holds, by height {view.home_height}."
        )
    return found.say(f"互认当前无效：{view.reason}", f"It does not hold now: {view.reason}")


def _verdict(found: Settings, result: DisclosureCheckView) -> str:
    if result.accepted:
        shown = ", ".join(result.proven)
        return found.say(f"✓ 相符且有效：{shown}", f"✓ True and valid now: {shown}")
    if result.disproven:
        wrong = ", ".join(result.disproven)
        return found.say(f"✗ 与证照不符：{wrong}", f"✗ Not what the certificate says: {wrong}")
    if not result.holds:
        return found.say(
            f"✗ 互认当前无效：{result.reason}", f"✗ The recognition does not hold: {result.reason}"
        )
    return found.say("✗ 没有出示任何内容", "✗ Nothing is shown")
