"""`zhenglian grant`: ask for consent, give it, take it back, renew it, and state a deletion (授权)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from contracts.body_records import BodyKind
from contracts.grant_records import ConsentMode, GrantItem
from ledger.crypto.registry import load_suite
from ledger.errors import DecodeError
from node.commands import grant_access, grant_body, mandate
from node.commands.context import Settings, hex_id, moment_ms, now_ms, read_file, settings
from node.commands.grant_body import keep_or_save, new_body
from node.commands.grant_inputs import (
    DAY_MS,
    Id,
    Items,
    Often,
    StopAt,
    parse_frequency,
    parse_item,
    with_states,
)
from zhenglian import given_items
from zhenglian.api import GrantItemView, GrantView, TransactionView
from zhenglian.plans.grants import separate_parts

app = typer.Typer(no_args_is_help=True, help="Grants: who may have which data. 授权。")
app.add_typer(grant_access.app, name="access")
app.add_typer(mandate.app, name="represent")
app.add_typer(grant_body.app, name="body")
app.command("review")(grant_access.review)

Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="Field or attachment not given; repeat. 不授权的字段或附件，可重复。"),
]
Uses = Annotated[int | None, typer.Option("--uses", min=1, help="Fewer uses. 减少次数。")]
Until = Annotated[str, typer.Option("--until", help="Earlier end: 2027-01-31, +30d. 提前到期。")]
By = Annotated[
    str, typer.Option("--mandate", help="Mandate by which you act for the holder, hex. 代办依据的委托编号。")
]


@app.command("request")
def request(
    ctx: typer.Context,
    person: Annotated[str, typer.Option(help="Account of the holder, hex. 持有者账户。")],
    purpose: Annotated[str, typer.Option(help="Purpose code. 用途代码。")],
    item: Items,
    uses: Annotated[int, typer.Option(min=1, help="Number of releases. 使用次数。")] = 1,
    until: Annotated[str, typer.Option(help="End of consent: 2027-01-31, +30d. 授权到期时间。")] = "+30d",
    data_life: Annotated[int, typer.Option(min=0, help="Days that the data is used. 数据使用天数。")] = 1,
    retention: Annotated[
        int, typer.Option(min=0, help="Days that it is kept locked after that. 之后封存天数。")
    ] = 0,
    mode: Annotated[ConsentMode, typer.Option(help="view | store | stream. 查看 | 保存 | 持续推送。")] = (
        ConsentMode.STORE
    ),
    frequency: Often = "",
    stop_at: StopAt = None,
    legal_ref: Annotated[str, typer.Option(help="Legal reference. 法律依据。")] = "",
    body_commitment: Annotated[
        str, typer.Option(help="Commitment of a body that is kept elsewhere, hex. 链下正文的承诺值。")
    ] = "",
    note: Annotated[
        str, typer.Option(help="Why it is needed, for the holder; sealed, never on the ledger. 加密附言。")
    ] = "",
) -> None:
    """Ask a holder for data; over-asking is refused with the cap named. 请求授权。"""
    found = settings(ctx)
    if note and body_commitment:
        raise typer.BadParameter("--note or --body-commitment, not both")
    with found.client(signed=True) as client:
        body = new_body({"note": note}) if note else None
        if body is not None:
            body_commitment = body.commitment(load_suite(client.network().suite)).hex()
        grant_id = client.request_grant(
            person=hex_id(person, "--person"),
            purpose=purpose,
            items=with_states([parse_item(client, text) for text in item], stop_at),
            uses_max=uses,
            consent_expiry_ms=moment_ms(until, "--until", now_ms=now_ms()),
            data_life_ms=data_life * DAY_MS,
            retention_period_ms=retention * DAY_MS,
            frequency=parse_frequency(frequency),
            consent_mode=mode,
            legal_ref=legal_ref,
            body_commitment=(
                bytes.fromhex(hex_id(body_commitment, "--body-commitment", size_bytes=32))
                if body_commitment
                else b""
            ),
        )
        if body is not None:
            path = Path(f"{grant_id}.body.json")
            keep_or_save(found, client, grant_id, body, BodyKind.BODY, path)
    _requested(found, grant_id)


@app.command("renew")
def renew(
    ctx: typer.Context,
    grant: Id,
    until: Annotated[str, typer.Option(help="End of consent: 2027-01-31, +30d. 新的到期时间。")] = "+30d",
    uses: Annotated[int | None, typer.Option(min=1, help="Number of releases. 使用次数。")] = None,
) -> None:
    """Ask for an older grant again, as it was given; the holder decides anew. 续期。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        grant_id = client.renew_grant(
            hex_id(grant, "grant id"),
            consent_expiry_ms=moment_ms(until, "--until", now_ms=now_ms()),
            uses_max=uses,
        )
    _requested(found, grant_id)


@app.command("deletions")
def deletions(ctx: typer.Context, grant: Id) -> None:
    """What the recipient has to delete under a grant. 删除义务。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        views = client.deletions(hex_id(grant, "grant id"))
    columns = (
        "release_id",
        found.say("应删除时间", "due"),
        found.say("声明期限", "state by"),
        found.say("逾期", "late"),
        found.say("已声明", "stated"),
    )
    rows = [(view.release_id, view.due, view.state_by, view.late, view.stated or "") for view in views]
    found.rows(views, columns, rows)


@app.command("delete-statement")
def delete_statement(
    ctx: typer.Context,
    grant: Id,
    statement: Annotated[
        Path,
        typer.Argument(help="The signed statement; keep it, its hash goes on the ledger. 删除声明文件。"),
    ],
    release: Annotated[
        list[str] | None,
        typer.Option("--release", help="Only these releases; repeat. 仅这些下链，可重复，默认全部未声明的。"),
    ] = None,
) -> None:
    """State, as the recipient, that what a grant gave is deleted. 声明已删除。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    digest = hashlib.sha256(read_file(statement, "statement")).digest()
    chosen = [hex_id(one, "--release", size_bytes=8) for one in release] if release else None
    with found.client(signed=True) as client:
        done = client.state_deletion(grant_id, statement=digest, releases=chosen)
    found.emit(
        {
            "grant_id": grant_id,
            "statement": digest.hex(),
            "transactions": [one.transaction_id for one in done],
        },
        found.say(
            f"授权 {grant_id} 的删除声明已上链。" if done else f"授权 {grant_id} 没有待声明的删除。",
            f"The deletion under grant {grant_id} is stated."
            if done
            else f"Nothing is to be stated for grant {grant_id}.",
        ),
    )


@app.command("approve")
def approve(
    ctx: typer.Context,
    grant: Id,
    without: Without = None,
    uses: Uses = None,
    until: Until = "",
    frequency: Often = "",
    separately: Annotated[
        list[str] | None,
        typer.Option(
            "--separately", help="type.name that needs a consent of its own, given; repeat. 单独同意的项。"
        ),
    ] = None,
    mandate: By = "",
    assistance: Annotated[str, typer.Option(help="Record of a clerk's help, hex. 窗口协助记录编号。")] = "",
) -> None:
    """Consent to all that was asked for, or less. 同意，可只同意一部分。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        view = client.grant(grant_id)
        items = _less(view.requested_items, without)
        done = client.approve_grant(
            grant_id,
            items=items,
            uses_max=uses,
            consent_expiry_ms=_until(until),
            frequency=parse_frequency(frequency),
            separately=_separately(found, view, items, separately),
            mandate=_by(mandate),
            assistance=hex_id(assistance, "--assistance") if assistance else "",
        )
    _done(found, grant_id, done, "已同意", "approved")


@app.command("narrow")
def narrow(
    ctx: typer.Context,
    grant: Id,
    without: Without = None,
    uses: Uses = None,
    until: Until = "",
    frequency: Often = "",
    mandate: By = "",
) -> None:
    """Give less from now on. 缩小授权。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        view = client.narrow_grant(
            grant_id,
            items=_less(client.grant(grant_id).items, without),
            uses_left=uses,
            consent_expiry_ms=_until(until),
            frequency=parse_frequency(frequency),
            mandate=_by(mandate),
        )
    _done(found, grant_id, view, "已缩小", "narrowed")


@app.command("reject")
def reject(ctx: typer.Context, grant: Id, mandate: By = "") -> None:
    """Refuse a request. 拒绝。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.reject_grant(grant_id, mandate=_by(mandate)), "已拒绝", "rejected")


@app.command("pause")
def pause(ctx: typer.Context, grant: Id, mandate: By = "") -> None:
    """Suspend a grant. 暂停。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.pause_grant(grant_id, mandate=_by(mandate)), "已暂停", "paused")


@app.command("resume")
def resume(ctx: typer.Context, grant: Id, mandate: By = "") -> None:
    """Let a paused grant act again. 恢复。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.resume_grant(grant_id, mandate=_by(mandate)), "已恢复", "resumed")


@app.command("revoke")
def revoke(ctx: typer.Context, grant: Id, mandate: By = "") -> None:
    """Take a grant back, for good. 撤销，不可恢复。"""
    found = settings(ctx)
    grant_id = hex_id(grant, "grant id")
    with found.client(signed=True) as client:
        _done(found, grant_id, client.revoke_grant(grant_id, mandate=_by(mandate)), "已撤销", "revoked")


@app.command("show")
def show(ctx: typer.Context, grant: Id) -> None:
    """One grant. 查看授权。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.grant(hex_id(grant, "grant id")))


@app.command("list")
def list_(
    ctx: typer.Context,
    role: Annotated[
        str, typer.Option(help="principal | grantee | approver. 本人 | 被授权方 | 批准机构。")
    ] = "",
    state: Annotated[str, typer.Option(help="Only in this state. 仅此状态。")] = "",
) -> None:
    """The key's grants, as holder and as grantee. 列出授权。"""
    found = settings(ctx)
    if role not in {"", "principal", "grantee", "approver"}:
        raise typer.BadParameter("principal | grantee | approver", param_hint="--role")
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


def _separately(
    found: Settings, view: GrantView, items: tuple[GrantItem, ...], named: list[str] | None
) -> tuple[str, ...]:
    """The parts that need a consent each, every one agreed to by name, or by itself at the terminal.

    Raises:
        DecodeError: one is given that was not agreed to.
    """
    agreed = set(named or ())
    wanted = separate_parts(view, items)
    for part in wanted:
        if part not in agreed and sys.stdin.isatty():
            question = found.say(f"单独同意提供 {part}？", f"Do you agree to give {part}, by itself?")
            if typer.confirm(question, err=True):
                agreed.add(part)
    missing = [part for part in wanted if part not in agreed]
    if missing:
        raise DecodeError(
            what="--separately",
            reason=f"{', '.join(missing)} needs a consent of its own: name it, or leave it out with --without",
        )
    return wanted


def _by(text: str) -> str:
    return hex_id(text, "--mandate") if text else ""


def _requested(found: Settings, grant_id: str) -> None:
    found.emit(
        {"grant_id": grant_id},
        found.say(
            f"授权请求 {grant_id} 已上链，等待持有者同意。",
            f"Grant {grant_id} requested; the holder decides now.",
        ),
    )


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
