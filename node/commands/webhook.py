"""`zhenglian webhook`: notices pushed to a system of one's own (回调)."""

from __future__ import annotations

from typing import Annotated

import typer

from ledger.errors import DecodeError
from node.commands.context import Settings, hex_id, settings
from zhenglian.api_mydata import WebhookView

app = typer.Typer(no_args_is_help=True, help="Webhooks: notices pushed to a system of your own. 回调。")

Id = Annotated[str, typer.Argument(help="Webhook id, hex. 回调编号。")]
STATES = ("pending", "delivered", "failed")


@app.command("add")
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Where to, https. 接收地址。")],
    kind: Annotated[
        list[str] | None,
        typer.Option(help='Only these: "grants.requested", or "releases."; may be repeated. 通知种类。'),
    ] = None,
    name: Annotated[str, typer.Option(help="What to call it. 名称。")] = "",
) -> None:
    """Make a webhook at the node; its secret is shown once. 新建回调，签名密钥只显示一次。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        made = client.create_webhook(url, kinds=kind or (), name=name)
    found.emit(made, _with_secret(found, made))


def _with_secret(found: Settings, made: WebhookView) -> str:
    return found.say(
        f"回调 {made.webhook_id}\n签名密钥：{made.secret}\n"
        "请立即保存：以后不再显示。接收端用 zhenglian.webhooks.verify 验证。",
        f"Webhook {made.webhook_id}\nSecret: {made.secret}\n"
        "Keep it now: it is not shown again. The receiver checks with zhenglian.webhooks.verify.",
    )


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The account's webhooks at the node. 列出回调。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.webhooks()
    columns = (
        "webhook_id",
        found.say("名称", "name"),
        "URL",
        found.say("种类", "kinds"),
        found.say("状态", "state"),
        found.say("持续失败自", "failing since"),
    )
    rows = [
        (one.webhook_id, one.name, one.url, one.kinds, one.disabled_reason or one.state, one.failing_since)
        for one in views
    ]
    found.rows(views, columns, rows)


@app.command("show")
def show(ctx: typer.Context, webhook: Id) -> None:
    """One webhook. 查看回调。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.webhook(hex_id(webhook, "webhook id")))


@app.command("enable")
def enable(ctx: typer.Context, webhook: Id) -> None:
    """Let it go on; what it missed is delivered. 启用，补投停用期间的通知。"""
    _set(settings(ctx), webhook, enabled=True)


@app.command("disable")
def disable(ctx: typer.Context, webhook: Id) -> None:
    """Stop it for a time. 停用。"""
    _set(settings(ctx), webhook, enabled=False)


def _set(found: Settings, webhook: str, *, enabled: bool) -> None:
    with found.client(signed=True) as client:
        view = client.enable_webhook(hex_id(webhook, "webhook id"), enabled=enabled)
    zh, en = ("已启用", "enabled") if enabled else ("已停用", "disabled")
    found.emit(view, found.say(f"回调 {view.webhook_id} {zh}。", f"Webhook {view.webhook_id} is {en}."))


@app.command("rotate")
def rotate(ctx: typer.Context, webhook: Id) -> None:
    """Another secret; the old one still signs for a day. 更换签名密钥，旧密钥一天内仍有效。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        made = client.rotate_webhook_secret(hex_id(webhook, "webhook id"))
    found.emit(made, _with_secret(found, made))


@app.command("delete")
def delete(ctx: typer.Context, webhook: Id) -> None:
    """End it for good. 删除。"""
    found = settings(ctx)
    webhook_id = hex_id(webhook, "webhook id")
    with found.client(signed=True) as client:
        client.delete_webhook(webhook_id)
    found.emit(
        {"webhook_id": webhook_id, "deleted": True},
        found.say(f"回调 {webhook_id} 已删除。", f"Webhook {webhook_id} is deleted."),
    )


@app.command("deliveries")
def deliveries(
    ctx: typer.Context,
    webhook: Id,
    state: Annotated[str, typer.Option(help="pending | delivered | failed. 只看此状态。")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many. 最多条数。")] = 50,
) -> None:
    """What was delivered, and what was not and why. 投递记录。"""
    found = settings(ctx)
    if state not in {"", *STATES}:
        raise typer.BadParameter(" | ".join(STATES), param_hint="--state")
    with found.client(signed=True) as client:
        views = client.webhook_deliveries(hex_id(webhook, "webhook id"), state=state, limit=limit)
    columns = (
        "message_id",
        found.say("种类", "kind"),
        found.say("状态", "state"),
        found.say("次数", "attempts"),
        found.say("应答", "status"),
        found.say("错误", "error"),
        found.say("下次", "next"),
    )
    rows = [
        (one.message_id, one.kind, one.state, one.attempts, one.status, one.error, one.next_attempt)
        for one in views
    ]
    found.rows(views, columns, rows)


@app.command("replay")
def replay(
    ctx: typer.Context,
    webhook: Id,
    message: Annotated[
        str, typer.Option("--message", help="One delivery by its id; else all that failed. 只补投这一条。")
    ] = "",
) -> None:
    """Send again what has failed, or one delivery. 补投失败的，或指定的一条。"""
    found = settings(ctx)
    if message and not message.startswith("msg_"):
        raise DecodeError(what="--message", reason="an id that begins with msg_ is expected")
    with found.client(signed=True) as client:
        count = client.replay_webhook(hex_id(webhook, "webhook id"), message or None)
    found.emit({"replayed": count}, found.say(f"将补投 {count} 条。", f"{count} will be sent again."))
