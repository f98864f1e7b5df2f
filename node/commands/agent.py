"""`zhenglian org agent`: letting a node sign deposits and fetches for the own organisation; `zhenglian token`."""

from __future__ import annotations

from typing import Annotated

import typer

from node.commands.context import hex_id, settings
from zhenglian.plans.agents import AGENT_DAYS

app = typer.Typer(
    no_args_is_help=True,
    help="Agent keys: a node signs for the organisation's officers. 机构代签密钥：由节点代经办人签名。",
)


@app.command("create")
def create(
    ctx: typer.Context,
    days: Annotated[
        int, typer.Option(min=0, max=3650, help="How long it counts; 0 without end. 有效天数，0 为不限。")
    ] = AGENT_DAYS,
    label: Annotated[str, typer.Option(help="Label of the key. 密钥标签。")] = "agent",
) -> None:
    """Have the node make an agent key and put it on the ledger; by an administrator's key. 授权本节点代签。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        view = client.create_agent(label=label, days=days)
    found.emit(
        view,
        found.say(
            f"节点可代本机构经办人签名上链与下链（密钥 {view.key_id}，{days or '不限'} 天）。"
            f"吊销：zhenglian org agent revoke {view.key_id}",
            f"The node may now sign deposits and fetches for officers of this organisation (key {view.key_id}, "
            f"{days or 'unlimited'} days). End it with: zhenglian org agent revoke {view.key_id}",
        ),
    )


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The organisation's agent keys that the node keeps. 列出节点保管的代签密钥。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.agents()
    found.rows(
        views, ("key_id", found.say("状态", "standing")), [(view.key_id, view.standing) for view in views]
    )


@app.command("revoke")
def revoke(
    ctx: typer.Context, key: Annotated[str, typer.Argument(help="Id of the agent key, hex. 代签密钥编号。")]
) -> None:
    """End an agent key on the ledger, at once, and have the node destroy it. 立即吊销代签密钥。"""
    found = settings(ctx)
    name = hex_id(key, "key id")
    with found.client(signed=True) as client:
        client.revoke_agent(name)
    found.emit({"key_id": name, "revoked": True}, found.say("代签密钥已吊销。", "The agent key is revoked."))


def token(ctx: typer.Context) -> None:
    """A session's bearer token, for curl and programs without the SDK. 输出会话令牌，供 curl 等使用。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        session = client.login()
    found.emit(session, session.token)
