"""`zhenglian me`: my data, my notices, my export (我的数据)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.commands.context import Settings, hex_id, settings
from zhenglian.api_mydata import AccessView, MyData, NoticeView, Texts

app = typer.Typer(no_args_is_help=True, help="My data, my notices, my export. 我的数据、通知与导出。")

Principal = Annotated[
    str, typer.Option("--for", help="Account that the key acts for. 被代理的账户，缺省为本人。")
]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many. 最多条数。")]


def _principal(text: str) -> str:
    return hex_id(text, "--for") if text else ""


def _said(found: Settings, text: Texts) -> str:
    return text.zh if found.language == "zh" else text.en


@app.command("data")
def data(ctx: typer.Context, principal: Principal = "") -> None:
    """What is held, given, looked at and waiting. 持有、授出、被查看与待办一览。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        mine = client.my_data(principal=_principal(principal))
    found.emit(mine, lambda console: _show(found, console, mine))


def _show(found: Settings, console: Console, mine: MyData) -> None:
    def line(zh: str, en: str, total: int, command: str) -> None:
        console.print(f"{found.say(zh, en):<24}{total:>6}   {command}", markup=False)

    line("证照", "certificates", mine.certificates.total, "zhenglian me certificates")
    line("授权", "grants", mine.grants.total, "zhenglian me grants")
    line("被查看（含被拒绝）", "looks, refused too", mine.accesses.total, "zhenglian me accesses")
    line("代理", "representations", mine.representations.total, "zhenglian me representations")
    line("待办", "waiting for me", mine.requests.total, "zhenglian me requests")
    for one in mine.requests.items:
        console.print(f"  • {_said(found, one.text)}", markup=False)
    if mine.complete_from_height > 1:
        zh = f"此节点的记录从区块 {mine.complete_from_height} 开始；更早的请用 --node 向其他节点查询。"
        en = (
            f"This node knows everything from block {mine.complete_from_height} on; "
            "ask another one (--node) for what was before."
        )
        console.print(found.say(zh, en), markup=False)


@app.command("certificates")
def certificates(ctx: typer.Context, principal: Principal = "", limit: Limit = 200) -> None:
    """Certificates that I hold. 我的证照。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        held = client.my_certificates(principal=_principal(principal), limit=limit)
    columns = (
        "certificate_id",
        found.say("类型", "type"),
        found.say("颁发机构", "issuer"),
        found.say("有效", "valid"),
        found.say("数据项", "parts"),
    )
    rows = [
        (
            one.certificate.certificate_id,
            found.say(one.certificate.certificate_type_name_zh, one.certificate_type_name_en)
            or one.certificate.certificate_type,
            one.certificate.issuer_name,
            one.certificate.valid,
            len(one.parts),
        )
        for one in held
    ]
    found.rows(held, columns, rows)


@app.command("grants")
def grants(ctx: typer.Context, principal: Principal = "", limit: Limit = 200) -> None:
    """Grants on my data. 我数据上的授权。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        given = client.my_grants(principal=_principal(principal), limit=limit)
    columns = (
        "grant_id",
        found.say("被授权方", "grantee"),
        found.say("用途", "purpose"),
        found.say("状态", "state"),
        found.say("由谁给出", "given by"),
        found.say("到期", "until"),
    )
    rows = [
        (
            one.grant.grant_id,
            one.grant.grantee_name,
            _said(found, one.purpose_name),
            one.grant.state,
            _said(found, one.given_by),
            one.grant.consent_expiry,
        )
        for one in given
    ]
    found.rows(given, columns, rows)


@app.command("accesses")
def accesses(ctx: typer.Context, principal: Principal = "", limit: Limit = 200) -> None:
    """Who looked at my data, or tried to. 谁查看过，含被拒绝的尝试。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        looked = client.my_accesses(principal=_principal(principal), limit=limit)
    columns = (
        found.say("时间", "time"),
        found.say("机构", "organisation"),
        found.say("经办", "officer"),
        found.say("用途", "purpose"),
        found.say("数据项", "parts"),
        found.say("结果", "outcome"),
    )
    rows = [
        (
            one.time,
            one.organization_name,
            one.officer_label + (f" ({one.system})" if one.system else ""),
            _said(found, one.purpose_name),
            _parts(one),
            _said(found, one.outcome_text),
        )
        for one in looked
    ]
    found.rows(looked, columns, rows)


def _parts(one: AccessView) -> list[str]:
    return [name for part in one.parts for name in (*part.fields, part.attachment, part.question) if name]


@app.command("requests")
def requests(ctx: typer.Context, principal: Principal = "", limit: Limit = 200) -> None:
    """What waits for me. 等待我处理的事项。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        waiting = client.my_requests(principal=_principal(principal), limit=limit)
    columns = ("id", found.say("种类", "kind"), found.say("截止", "until"), found.say("说明", "what to do"))
    rows = [(one.id, one.kind, one.until, _said(found, one.text)) for one in waiting]
    found.rows(waiting, columns, rows)


@app.command("representations")
def representations(ctx: typer.Context, principal: Principal = "", limit: Limit = 200) -> None:
    """Who acts for me, and for whom I act. 代理关系。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        acting = client.my_representations(principal=_principal(principal), limit=limit)
    columns = (
        "mandate_id",
        found.say("我是", "I am"),
        found.say("依据", "basis"),
        found.say("用途", "purposes"),
        found.say("生效", "in force"),
        found.say("截止", "until"),
    )
    rows = [
        (
            one.mandate.mandate_id,
            one.role,
            one.mandate.basis,
            one.mandate.purposes,
            one.in_force,
            one.mandate.until,
        )
        for one in acting
    ]
    found.rows(acting, columns, rows)


@app.command("notices")
def notices(
    ctx: typer.Context,
    principal: Principal = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many. 最多条数。")] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what comes. 持续显示新通知。")] = False,
    read: Annotated[bool, typer.Option("--read", help="Mark them as read. 标为已读。")] = False,
) -> None:
    """What I was told, newest first. 通知，最新在前。"""
    found = settings(ctx)
    named = _principal(principal)
    with found.client(signed=True) as client:
        if watch:
            for one in client.stream_notices(principal=named):
                found.emit(one, _notice(found, one))
            return
        page = client.notices(principal=named, limit=limit)
        if read and page.items and not named:
            client.read_notices(page.items[0].position)
    if found.json:
        found.emit(page)
        return
    for one in reversed(page.items):
        found.emit(one, _notice(found, one))
    found.note(f"未读 {page.unread} 条。", f"{page.unread} unread.")


def _notice(found: Settings, one: NoticeView) -> str:
    text, action = _said(found, one.text), _said(found, one.action)
    mark = " " if one.read else "•"
    return f"{mark} {one.time:%Y-%m-%d %H:%M} {text}" + (f"\n    {action}" if action else "")


@app.command("export")
def export(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="Archive to write, .zip. 要写入的压缩包。")],
    principal: Principal = "",
    values: Annotated[
        Path | None,
        typer.Option("--values", help="Folder for the values, opened by releases on record. 同时取出数值。"),
    ] = None,
) -> None:
    """Everything with receipts and proofs, as a ZIP. 导出全部数据与凭据。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.note("正在导出……", "Exporting …")
        parts = client.export_my_data(path, principal=_principal(principal))
        opened = client.my_values(values) if values is not None else []
    missing = [name for part in parts for name in part.missing]
    count = sum(len(part.files) for part in parts)
    zh = f"已写入 {path}，共 {len(parts)} 个压缩包、{count} 个文件。"
    en = f"Written to {path}: {len(parts)} archive(s) with {count} files."
    if missing:
        zh += f"缺少 {len(missing)} 项，见各包内 manifest.json；可用 --node 向其他节点再导出。"
        en += f" {len(missing)} are missing, see manifest.json; another node (--node) may have them."
    files = [file for one in opened for file in one.files]
    if values is not None:
        zh += f"数值 {len(files)} 个文件在 {values}，每次打开均已上链记录。"
        en += f" The values are {len(files)} files in {values}; that you opened them is on the ledger."
    found.emit({"parts": parts, "values": [str(file) for file in files]}, found.say(zh, en))
