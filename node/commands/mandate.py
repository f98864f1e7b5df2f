"""`zhenglian grant represent`: who may act for whom (代办、监护、法定代表、窗口协助)."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.grant_records import MANDATE_DEPTH_MAX, RepresentationBasis
from node.commands.context import Settings, hex_id, moment_ms, now_ms, settings
from zhenglian.api import TransactionView

app = typer.Typer(no_args_is_help=True, help="Acting for others. 代办、监护、法定代表。")

Id = Annotated[str, typer.Argument(help="Mandate id, hex. 委托编号。")]


@app.command("appoint")
def appoint(
    ctx: typer.Context,
    principal: Annotated[str, typer.Option(help="For whom, account in hex. 被代理人账户。")],
    representative: Annotated[str, typer.Option(help="Who acts, account in hex. 代理人账户。")],
    until: Annotated[str, typer.Option(help="End: 2027-01-31, +30d. 到期时间。")] = "+30d",
    basis: Annotated[
        RepresentationBasis,
        typer.Option(help="mandate | guardian | legal_representative. 委托 | 监护 | 法定代表。"),
    ] = RepresentationBasis.MANDATE,
    credential: Annotated[
        str, typer.Option(help="Certificate that shows a guardianship or office, hex. 证明监护或职务的证照。")
    ] = "",
    parent: Annotated[
        str, typer.Option(help="Own mandate, for a sub-mandate, hex. 转委托所依据的委托。")
    ] = "",
    purpose: Annotated[
        list[str] | None,
        typer.Option("--purpose", help="Only for this purpose; repeat. 仅限该用途，可重复。"),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, max=MANDATE_DEPTH_MAX, help="Sub-mandates allowed below. 可转委托层数。")
    ] = 0,
) -> None:
    """Let somebody act for a holder; it counts once he has accepted. 指定代理人。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        mandate_id = client.appoint(
            principal=hex_id(principal, "--principal"),
            representative=hex_id(representative, "--representative"),
            until_ms=moment_ms(until, "--until", now_ms=now_ms()),
            basis=basis,
            credential=hex_id(credential, "--credential") if credential else "",
            parent=hex_id(parent, "--parent") if parent else "",
            purposes=purpose or (),
            depth_max=depth,
        )
    found.emit(
        {"mandate_id": mandate_id},
        found.say(
            f"委托 {mandate_id} 已上链，待代理人接受后生效（grant represent accept）。",
            f"Mandate {mandate_id} is offered; it counts once the representative accepts it (grant represent accept).",
        ),
    )


@app.command("accept")
def accept(ctx: typer.Context, mandate: Id) -> None:
    """Take a mandate on. 接受委托。"""
    found = settings(ctx)
    mandate_id = hex_id(mandate, "mandate id")
    with found.client(signed=True) as client:
        _done(found, mandate_id, client.accept_mandate(mandate_id), "已接受", "accepted")


@app.command("end")
def end(ctx: typer.Context, mandate: Id) -> None:
    """End a mandate and all below it. 终止委托。"""
    found = settings(ctx)
    mandate_id = hex_id(mandate, "mandate id")
    with found.client(signed=True) as client:
        _done(found, mandate_id, client.end_mandate(mandate_id), "已终止", "ended")


@app.command("assist")
def assist(
    ctx: typer.Context,
    person: Annotated[str, typer.Option(help="Whom you help, account in hex. 被协助人账户。")],
    grant: Annotated[str, typer.Option(help="The request, hex. 授权编号。")],
    place: Annotated[str, typer.Option(help="Code of the window, e.g. city-hall.window-3. 窗口代码。")],
) -> None:
    """Put on record, as a clerk, that you help a person with a request here. 窗口协助。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        assistance = client.assist(
            person=hex_id(person, "--person"), grant_id=hex_id(grant, "--grant"), place=place
        )
    found.emit(
        {"assistance": assistance},
        found.say(
            f"协助记录 {assistance} 已上链，半小时内由本人签署（grant approve --assistance）。",
            f"Help {assistance} is on record; the person signs within half an hour (grant approve --assistance).",
        ),
    )


@app.command("show")
def show(ctx: typer.Context, mandate: Id) -> None:
    """One mandate. 查看委托。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.mandate(hex_id(mandate, "mandate id")))


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The key's mandates, on whichever side. 列出委托。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.mandates()
    columns = (
        "mandate_id",
        found.say("依据", "basis"),
        found.say("被代理人", "principal"),
        found.say("代理人", "representative"),
        found.say("状态", "state"),
        found.say("到期", "until"),
    )
    rows = [
        (view.mandate_id, view.basis, view.principal, view.representative, view.state, view.until)
        for view in views
    ]
    found.rows(views, columns, rows)


def _done(found: Settings, mandate_id: str, view: TransactionView, zh: str, en: str) -> None:
    found.emit(
        {"mandate_id": mandate_id, "transaction_id": view.transaction_id, "height": view.height},
        found.say(
            f"委托 {mandate_id} {zh}，区块高度 {view.height}。",
            f"Mandate {mandate_id} {en} at height {view.height}.",
        ),
    )
