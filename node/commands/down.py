"""`zhenglian down`: fetch what a grant opens in one call (傻瓜式下链)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.errors import DecodeError
from node.commands.context import hex_id, settings
from node.commands.progress import steps
from node.commands.release import Patience, To, TrustFile, show_retrieved, trust_of
from zhenglian.fetching import FORMATS


def down(
    ctx: typer.Context,
    grant: Annotated[
        str, typer.Argument(help="Grant id, hex; or give --purpose and --holder. 授权编号。")
    ] = "",
    purpose: Annotated[str, typer.Option(help="Purpose code of an active grant. 用途代码。")] = "",
    holder: Annotated[str, typer.Option(help="Account of the person. 持证人账户。")] = "",
    file_format: Annotated[str, typer.Option("--format", help="json | csv | files | all. 格式。")] = "json",
    certificate: Annotated[str, typer.Option(help="Only this certificate. 仅此证照。")] = "",
    field: Annotated[list[str] | None, typer.Option(help="Only this field; repeat. 仅这些字段。")] = None,
    to: To = Path(),
    operator: Annotated[str, typer.Option(help="Operator whose node is to do it. 办理的运营方账户。")] = "",
    patience: Patience = 120,
    trust: TrustFile = None,
) -> None:
    """Fetch what a grant opens: request, download, check against the ledger, acknowledge. 一键下链。"""
    found = settings(ctx)
    if bool(grant) is bool(purpose or holder) or (not grant and not (purpose and holder)):
        raise DecodeError(what="down", reason="a grant, or --purpose and --holder, is expected")
    if file_format not in FORMATS:
        raise DecodeError(what="--format", reason=f"one of {', '.join(FORMATS)} is expected")
    with found.client(signed=True, trust=trust_of(trust)) as client, steps(found) as report:
        got = client.fetch(
            hex_id(grant, "grant id") if grant else "",
            purpose=purpose,
            holder=hex_id(holder, "--holder") if holder else "",
            file_format=file_format,
            certificate=hex_id(certificate, "--certificate") if certificate else "",
            fields=field or (),
            to_dir=to,
            node=hex_id(operator, "--operator") if operator else "",
            patience_s=patience,
            report=report,
        )
    show_retrieved(found, got, to)
