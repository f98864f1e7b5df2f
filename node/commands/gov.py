"""`zhenglian gov`: what operators decide together."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import typer

from node.commands import proposals
from node.commands.context import hex_id, settings
from node.commands.preflight import supporters

app = typer.Typer(no_args_is_help=True, help="Operators' proposals and votes. 治理提案与表决。")
app.add_typer(proposals.app, name="propose")


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


@app.command("validators")
def validators(
    ctx: typer.Context,
    epoch: Annotated[
        int, typer.Option(min=0, help="Of which epoch; 0 is the present one. 任期，0 为当前。")
    ] = 0,
) -> None:
    """Who votes in consensus and governance. 验证节点。"""
    found = settings(ctx)
    with found.client() as client:
        view = client.validators(epoch=epoch or None)
    found.note(
        f"任期 {view.epoch}，{len(view.validators)} 个验证节点，法定数 {view.quorum}",
        f"epoch {view.epoch}, {len(view.validators)} validators, quorum {view.quorum}",
    )
    columns = (
        "#",
        found.say("名称", "name"),
        found.say("账户", "account"),
        found.say("投票公钥", "vote key"),
    )
    rows = [(index, one.name, one.account, one.vote_key) for index, one in enumerate(view.validators)]
    found.rows(view, columns, rows)


@app.command("nodes")
def nodes(ctx: typer.Context) -> None:
    """Every node of the network, as the answering node sees it. 全部节点。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.nodes()
    columns = (
        found.say("名称", "name"),
        found.say("角色", "role"),
        found.say("地址", "address"),
        found.say("已连接", "connected"),
        found.say("高度", "height"),
        found.say("证书", "certificates"),
        found.say("账户", "account"),
    )
    rows = [
        (
            view.name,
            view.role,
            f"{view.host}:{view.port}",
            view.connected,
            view.height,
            [sha256(bytes.fromhex(one)).hexdigest()[:16] for one in view.certificates],
            view.account,
        )
        for view in views
    ]
    found.rows(views, columns, rows)


@app.command("contracts")
def contracts(ctx: typer.Context) -> None:
    """Versions of contracts: in force, set, and what each node's release has. 合约版本。"""
    found = settings(ctx)
    with found.client() as client:
        views, every = client.contracts(), client.nodes()
    columns = (
        found.say("合约", "contract"),
        found.say("现行版本", "in force"),
        found.say("起始高度", "since"),
        found.say("待启用", "set"),
        found.say("迁移", "migration"),
        found.say("各节点支持", "supported by"),
        found.say("历次变更", "changes"),
    )
    rows = [
        (
            view.name,
            view.version,
            view.since_height,
            "—" if view.next_version is None else f"{view.next_version} @ {view.next_height}",
            "—" if view.migration is None else f"{view.migration.step} ({view.migration.entries})",
            supporters(view.name, every, found.language),
            [f"{one.version} {one.outcome} @ {one.height} {one.reason}".rstrip() for one in view.changes],
        )
        for view in views
    ]
    found.rows({"contracts": views, "nodes": every}, columns, rows)


@app.command("evidence")
def evidence(ctx: typer.Context) -> None:
    """Validators that voted for what excludes each other. 验证节点矛盾投票的证据。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.evidence()
    columns = (
        "#",
        found.say("验证节点", "validator"),
        found.say("任期", "epoch"),
        found.say("视图", "view"),
        found.say("投票", "votes"),
        found.say("举报方", "reporter"),
        found.say("高度", "height"),
        found.say("时间", "time"),
    )
    rows = [
        (
            view.number,
            view.validator_name,
            view.epoch,
            view.view,
            f"{view.first.kind} / {view.second.kind}",
            view.reporter_name,
            view.height,
            view.time.isoformat(timespec="seconds"),
        )
        for view in views
    ]
    found.rows(views, columns, rows)
