"""`zhenglian gov`: what operators decide together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.calls import GovernancePropose
from node.commands.context import hex_id, read_json, settings
from zhenglian.plain import from_plain

app = typer.Typer(no_args_is_help=True, help="Operators' proposals and votes. 治理提案与表决。")


@app.command("propose")
def propose(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help='JSON action: {"type": "register_organization", …}. 提案内容 JSON。')
    ],
) -> None:
    """Propose an action; the proposer approves by it. 提出提案。"""
    found = settings(ctx)
    args = from_plain({"action": read_json(file, "action")}, GovernancePropose, "propose")
    with found.client(signed=True) as client:
        proposal_id = client.propose(args.action)
    found.emit(
        {"proposal_id": proposal_id},
        found.say(
            f"提案 {proposal_id} 已上链，等待其他运营方批准。",
            f"Proposal {proposal_id} made; other operators approve now.",
        ),
    )


@app.command("approve")
def approve(
    ctx: typer.Context, proposal: Annotated[str, typer.Argument(help="Proposal id, hex. 提案编号。")]
) -> None:
    """Approve a proposal. 批准提案。"""
    found = settings(ctx)
    proposal_id = hex_id(proposal, "proposal id")
    with found.client(signed=True) as client:
        client.approve_proposal(proposal_id)
        view = client.proposal(proposal_id)
    found.emit(view, found.say(f"已批准，提案状态：{view.state}", f"Approved; the proposal is {view.state}."))


@app.command("show")
def show(
    ctx: typer.Context,
    proposal: Annotated[str, typer.Argument(help="Proposal id; all if left out. 提案编号，默认全部。")] = "",
) -> None:
    """One proposal, or all. 查看提案。"""
    found = settings(ctx)
    with found.client() as client:
        if proposal:
            found.emit(client.proposal(hex_id(proposal, "proposal id")))
            return
        views = client.proposals()
    columns = (
        "proposal_id",
        found.say("内容", "action"),
        found.say("提出方", "proposer"),
        found.say("状态", "state"),
        found.say("已批准", "approvals"),
    )
    rows = [
        (view.proposal_id, view.action, view.proposer_name, view.state, len(view.approvals)) for view in views
    ]
    found.rows(views, columns, rows)
