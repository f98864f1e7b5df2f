"""`zhenglian grant`: ask for consent, give it, take it back (授权)."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.records import GrantItem
from ledger.errors import DecodeError
from node.commands.context import Settings, hex_id, moment_ms, now_ms, settings
from zhenglian import Client, given_items
from zhenglian.api import GrantItemView, TransactionView

app = typer.Typer(no_args_is_help=True, help="Grants: who may have which data. 授权。")

DAY_MS = 86_400_000

Id = Annotated[str, typer.Argument(help="Grant id, hex. 授权编号。")]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="Field or attachment not given; repeat. 不授权的字段或附件，可重复。"),
]
Uses = Annotated[int | None, typer.Option("--uses", min=1, help="Fewer uses. 减少次数。")]
Until = Annotated[str, typer.Option("--until", help="Earlier end: 2027-01-31, +30d. 提前到期。")]


@app.command("request")
def request(
    ctx: typer.Context,
    person: Annotated[str, typer.Option(help="Account of the holder, hex. 持有者账户。")],
    purpose: Annotated[str, typer.Option(help="Purpose code. 用途代码。")],
    item: Annotated[
        list[str],
        typer.Option(
            "--item",
            help="type[@certificate]:name,name – fields and attachments wanted; repeat. 所需字段与附件。",
        ),
    ],
    uses: Annotated[int, typer.Option(min=1, help="Number of releases. 使用次数。")] = 1,
    until: Annotated[str, typer.Option(help="End of consent: 2027-01-31, +30d. 授权到期时间。")] = "+30d",
    data_life: Annotated[int, typer.Option(min=0, help="Days that the data is kept. 数据保存天数。")] = 1,
    legal_ref: Annotated[str, typer.Option(help="Legal reference. 法律依据。")] = "",
) -> None:
    """Ask a holder for data; over-asking is refused with the cap named. 请求授权。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        grant_id = client.request_grant(
            person=hex_id(person, "--person"),
            purpose=purpose,
            items=[parse_item(client, text) for text in item],
            uses_max=uses,
            consent_expiry_ms=moment_ms(until, "--until", now_ms=now_ms()),
            data_life_ms=data_life * DAY_MS,
            legal_ref=legal_ref,
        )
    found.emit(
        {"grant_id": grant_id},
        found.say(
            f"授权请求 {grant_id} 已上链，等待持有者同意。",
            f"Grant {grant_id} requested; the holder decides now.",
        ),
    )


def parse_item(client: Client, text: str) -> GrantItem:
    """`type[@certificate]:name,name` as a grant item; the type says which names are fields.

    Raises:
        DecodeError: not of that form, or the type has no such name.
    """
    head, _, names_text = text.partition(":")
    code, _, certificate = head.partition("@")
    names = [name.strip() for name in names_text.split(",") if name.strip()]
    if not code or not names:
        raise DecodeError(what="--item", reason="type:name,name or type@certificate:name,name is expected")
    kind = client.certificate_type(code)
    for name in names:
        if name not in kind.fields and name not in kind.attachments:
            known = ", ".join(kind.fields + kind.attachments)
            raise DecodeError(what="--item", reason=f"{code} has no {name}; it has {known}")
    return GrantItem(
        certificate_type=code,
        certificate=bytes.fromhex(hex_id(certificate, "certificate id")) if certificate else b"",
        fields=tuple(name for name in names if name in kind.fields),
        attachments=tuple(name for name in names if name in kind.attachments),
    )


@app.command("approve")
def approve(
    ctx: typer.Context, grant: Id, without: Without = None, uses: Uses = None, until: Until = ""
) -> None:
    """Consent to all that was asked for, or less. 同意，可只同意一部分。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        items = _less(client.grant(grant_id).requested_items, without)
        view = client.approve_grant(grant_id, items=items, uses_max=uses, consent_expiry_ms=_until(until))
    _done(found, grant_id, view, "已同意", "approved")


@app.command("narrow")
def narrow(
    ctx: typer.Context, grant: Id, without: Without = None, uses: Uses = None, until: Until = ""
) -> None:
    """Give less from now on. 缩小授权。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        items = _less(client.grant(grant_id).items, without)
        view = client.narrow_grant(grant_id, items=items, uses_left=uses, consent_expiry_ms=_until(until))
    _done(found, grant_id, view, "已缩小", "narrowed")


@app.command("reject")
def reject(ctx: typer.Context, grant: Id) -> None:
    """Refuse a request. 拒绝。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.reject_grant(grant_id), "已拒绝", "rejected")


@app.command("pause")
def pause(ctx: typer.Context, grant: Id) -> None:
    """Suspend a grant. 暂停。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.pause_grant(grant_id), "已暂停", "paused")


@app.command("resume")
def resume(ctx: typer.Context, grant: Id) -> None:
    """Let a paused grant act again. 恢复。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.resume_grant(grant_id), "已恢复", "resumed")


@app.command("revoke")
def revoke(ctx: typer.Context, grant: Id) -> None:
    """Take a grant back, for good. 撤销，不可恢复。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.revoke_grant(grant_id), "已撤销", "revoked")


@app.command("show")
def show(ctx: typer.Context, grant: Id) -> None:
    """One grant. 查看授权。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.grant(hex_id(grant, "grant id")))


@app.command("list")
def list_(
    ctx: typer.Context,
    role: Annotated[str, typer.Option(help="principal | grantee. 本人 | 被授权方。")] = "",
    state: Annotated[str, typer.Option(help="Only in this state. 仅此状态。")] = "",
) -> None:
    """The key's grants, as holder and as grantee. 列出授权。"""
    found = settings(ctx)
    if role not in {"", "principal", "grantee"}:
        raise typer.BadParameter("principal | grantee", param_hint="--role")
    with found.client(signed=True) as client:
        views = client.grants(role=role, state=state)
    columns = (
        "grant_id",
        found.say("被授权方", "grantee"),
        found.say("用途", "purpose"),
        found.say("状态", "state"),
        found.say("剩余次数", "uses left"),
        found.say("到期", "expiry"),
    )
    rows = [
        (view.grant_id, view.grantee_name, view.purpose, view.state, view.uses_left, view.consent_expiry)
        for view in views
    ]
    found.rows(views, columns, rows)


def _less(items: list[GrantItemView], without: list[str] | None) -> tuple[GrantItem, ...]:
    """The items less some names. Raises DecodeError for an unknown name, or when nothing is left."""
    asked = {name for item in items for name in (*item.fields, *item.attachments)}
    for name in without or ():
        if name not in asked:
            raise DecodeError(
                what="--without", reason=f"{name} is not in it; it has {', '.join(sorted(asked))}"
            )
    left = given_items(items, without=without or ())
    if not left:
        raise DecodeError(what="--without", reason="nothing would be left; use reject or revoke")
    return left


def _until(text: str) -> int | None:
    return moment_ms(text, "--until", now_ms=now_ms()) if text else None


def _done(found: Settings, grant_id: str, view: TransactionView, zh: str, en: str) -> None:
    found.emit(
        {"grant_id": grant_id, "transaction_id": view.transaction_id, "height": view.height},
        found.say(
            f"授权 {grant_id} {zh}，区块高度 {view.height}。",
            f"Grant {grant_id} {en} at height {view.height}.",
        ),
    )
