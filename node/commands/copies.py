"""`zhenglian copy`: derived copies of a signed PDF (授权副本), made and checked with no network, and the codes on copies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.crypto.registry import load_suite
from ledger.receipts import RECEIPT_FILE_SIZE_BYTES_MAX
from node.commands.context import EXIT_NEGATIVE, read_file, settings
from node.commands.verify import trusted_files
from zhenglian.copy_codes import maker_of, read_code
from zhenglian.presentations import PRESENTATION_SIZE_BYTES_MAX
from zhenglian.private_files import write_private

app = typer.Typer(no_args_is_help=True, help="Derived copies of signed PDFs. 授权副本。")

TrustFile = Annotated[Path, typer.Option("--trust", help="Trust file of the network. 信任文件。")]
# What signs and checks PDFs takes half a second to load; no other command shall wait for it.


@app.command("make")
def make(
    ctx: typer.Context,
    marked: Annotated[
        Path, typer.Argument(help="The marked PDF that the release handed out. 已加标记的 PDF。")
    ],
    out: Annotated[Path, typer.Argument(help="File to write. 写入文件。")],
    presentation: Annotated[
        Path, typer.Option(help="From `zhenglian present`: the attachment and the printed fields. 出示文件。")
    ],
    receipt: Annotated[Path, typer.Option(help="From `zhenglian proof release`. 下链的状态回执。")],
    attachment: Annotated[str, typer.Option(help="Which attachment the copy is of. 附件名。")],
    by: Annotated[str, typer.Option(help="Name of the releasing organisation. 提供方名称。")],
    recipient: Annotated[str, typer.Option("--for", help="Name of the receiving organisation. 取得方名称。")],
    certificate: Annotated[Path, typer.Option(help="Certificate that signs, PEM. 签名证书。")],
    signing_key: Annotated[Path, typer.Option(help="Its key, PKCS #8 PEM. 签名私钥。")],
    trust: TrustFile = Path("trust.json"),
) -> None:
    """Head, sign and furnish with proofs a marked copy of a signed PDF. 制作授权副本。"""
    from node.services.copy_checks import COPY_SIZE_BYTES_MAX
    from node.services.copy_papers import papers_of
    from node.services.derived_copies import CopySigner, derived_copy

    found = settings(ctx)
    trusted, epochs = trusted_files(found, trust, None)
    papers = papers_of(
        read_file(presentation, "presentation", size_bytes_max=PRESENTATION_SIZE_BYTES_MAX),
        read_file(receipt, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX),
        trusted,
        epochs,
        attachment=attachment,
        released_by_name=by,
        grantee_name=recipient,
    )
    signer = CopySigner(read_file(certificate, "certificate"), read_file(signing_key, "key"))
    data = derived_copy(read_file(marked, "PDF", size_bytes_max=COPY_SIZE_BYTES_MAX), papers, signer)
    write_private(out, data)
    found.emit(
        {"copy": str(out), "release_id": papers.statement.release_id, "size_bytes": len(data)},
        found.say(
            f"授权副本已写入 {out}，请用 zhenglian copy check 核对。",
            f"{out} written; check it with `zhenglian copy check`.",
        ),
    )


@app.command("check")
def check(
    ctx: typer.Context,
    copy: Annotated[Path, typer.Argument(help="The derived copy. 授权副本。")],
    trust: TrustFile = Path("trust.json"),
    certificate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Certificate of the releasing organisation or of its authority, PEM; repeat. 信任的证书。"
        ),
    ] = None,
) -> None:
    """Is the data sealed, who made the copy for whom, is what is printed proven? Exit 0 if all hold. 核对授权副本。"""
    from node.services.copy_checks import COPY_SIZE_BYTES_MAX, Answer, Finding, check_copy

    found = settings(ctx)
    trusted, epochs = trusted_files(found, trust, None)
    marks = {Answer.YES: "✓", Answer.NO: "✗", Answer.UNKNOWN: "?"}
    report = check_copy(
        read_file(copy, "PDF", size_bytes_max=COPY_SIZE_BYTES_MAX),
        trusted,
        certificates=[read_file(path, "certificate") for path in certificate or []],
        epochs=epochs,
    )

    def line(zh: str, en: str, finding: Finding) -> str:
        mark = marks[finding.answer]
        return found.say(f"{mark} {zh}：{finding.zh}", f"{mark} {en}: {finding.en}")

    found.emit(
        report.to_json(),
        "\n".join(
            (
                line("数据", "data", report.data),
                line("副本", "copy", report.copy),
                line("印刷文字", "printed text", report.printed),
            )
        ),
    )
    if not report.holds:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command("code")
def code(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="What the QR code on a copy says. 副本二维码的内容。")],
) -> None:
    """Who made the copy that a QR code stands on, for which release? Exit 0 if the signature holds. 核对副本上的二维码。"""
    found = settings(ctx)
    said = read_code(text)
    with found.client() as client:
        network = client.network()
        operators = [client.account(one) for one in sorted({node.account for node in client.nodes()})]
    maker = maker_of(load_suite(network.suite), bytes.fromhex(network.chain_id), said, operators)
    release_id = said.release_id.hex()
    if maker is None:
        found.emit(
            {"holds": False, "release_id": release_id, "made_by": None, "made_by_name": None},
            found.say(
                "此码不是本网络任何运营方的节点签发的，请勿采信。",
                "no operator's node of this network has signed this code; do not rely on it.",
            ),
        )
        raise typer.Exit(EXIT_NEGATIVE)
    found.emit(
        {"holds": True, "release_id": release_id, "made_by": maker.account, "made_by_name": maker.name},
        found.say(
            f"{maker.name} 的节点为下链 {release_id} 签发了此码；当事各方可查：zhenglian release show {release_id}",
            f"the node of {maker.name} has signed this code for release {release_id}; its parties can look at it: "
            f"zhenglian release show {release_id}",
        ),
    )
