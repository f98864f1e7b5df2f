"""`zhenglian person`: find people, enrol them, their keys, recovery.

Rule: an identity number is asked for or read from standard input; it is never an argument, and never leaves this machine unblinded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from contracts.people_records import AssertionMethod, AssertionUse
from contracts.records import KeyRole
from ledger.crypto.registry import load_suite
from node.commands.context import EXIT_NEGATIVE, hex_id, read_file, settings, write_output
from node.commands.identity_inputs import (
    identity_number,
    identity_numbers,
    public_key,
    read_assertion,
    read_request,
    read_secret,
)
from zhenglian.plain import to_plain
from zhenglian.plans.lookups import BASIS_DEFAULT
from zhenglian.plans.people import NO_EVIDENCE
from zhenglian.private_files import write_private

app = typer.Typer(no_args_is_help=True, help="People's accounts. 个人账户。")

Basis = Annotated[str, typer.Option(help="On what ground, a code; recorded. 查询依据代码，留痕。")]
RequestFile = Annotated[
    Path, typer.Option("--request", help="What the person handed over: `person request`. 身份请求文件。")
]
AssertionFile = Annotated[
    Path, typer.Option("--assertion", help="What an officer signed: `person assert`. 身份断言文件。")
]
SecretFile = Annotated[
    Path, typer.Option("--secret", help="The person's own secret; only its owner may read it. 本人号码密钥。")
]
Account = Annotated[str, typer.Argument(help="The person's account. 个人账户。")]


@app.command("find")
def find(ctx: typer.Context, basis: Basis = BASIS_DEFAULT) -> None:
    """Find an account by identity number (prompt or standard input); exit 1 if none. 按号码查找账户。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        account = client.find_person(identity_number(found), basis=basis)
    found.emit(
        {"account": account},
        account or found.say("此号码尚未开户。", "Nobody is enrolled under this number."),
    )
    if account is None:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command("find-many")
def find_many(ctx: typer.Context, basis: Basis = BASIS_DEFAULT) -> None:
    """Find several people, a number a line on standard input; another officer approves meanwhile. 批量查找。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        lookup = client.open_lookup(identity_numbers(), basis=basis)
        if lookup.count > 1:
            found.note(
                f"请本机构另一名经办人批准：zhenglian person approve {lookup.ticket_id}",
                f"Have another officer approve: zhenglian person approve {lookup.ticket_id}",
            )
            client.await_approval(lookup)
        accounts = [one.account for one in client.finish_lookup(lookup)]
    found.rows(
        {"ticket": lookup.ticket_id, "accounts": accounts},
        (found.say("序号", "line"), found.say("账户", "account")),
        ((number, account or "—") for number, account in enumerate(accounts, start=1)),
    )


@app.command("approve")
def approve(ctx: typer.Context, ticket: Annotated[str, typer.Argument(help="Ticket id. 票据编号。")]) -> None:
    """Approve another officer's lookup of several people. 批准批量查询。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.approve_lookup(hex_id(ticket, "ticket"))
    found.emit({"ticket": ticket}, found.say("已批准。", "Approved."))


@app.command("move-tags")
def move_tags(ctx: typer.Context) -> None:
    """After a new directory key: rewrite the tags of known people, a number a line on standard input. 索引换钥转写。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        lookup = client.open_lookup(identity_numbers(), basis="rotation")
        found.note(
            f"请本机构另一名经办人批准：zhenglian person approve {lookup.ticket_id}",
            f"Have another officer approve: zhenglian person approve {lookup.ticket_id}",
        )
        client.await_approval(lookup)
        moved = client.move_tags(lookup, client.finish_lookup(lookup))
    found.emit(
        {"ticket": lookup.ticket_id, "moved": moved},
        found.say(f"已转写 {moved} 个标签。", f"{moved} tags written."),
    )


@app.command("directory")
def directory(ctx: typer.Context) -> None:
    """Versions of the directory key, how many are found under each, and quotas. 人员索引概况。"""
    found = settings(ctx)
    with found.client() as client:
        found.emit(client.directory())


@app.command("request")
def request(
    ctx: typer.Context,
    public: Annotated[
        Path, typer.Option(help="The person's public key: output of `keys show --json`. 个人公钥文件。")
    ],
    secret: SecretFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="What to hand over. 写入位置。")] = Path(
        "identity-request.json"
    ),
) -> None:
    """The person: prepare what whoever identifies you needs; keep the secret as you keep your key. 生成身份请求。"""
    found = settings(ctx)
    _, key = public_key(public, KeyRole.HOLDER)
    with found.client() as client:
        made, own = client.identity_request(identity_number(found), key)
    write_private(secret, msgspec.json.encode(own))
    write_output(out, msgspec.json.encode(made))
    found.emit(
        {"request": str(out), "secret": str(secret)},
        found.say(
            f"请将 {out} 交给核验人员；{secret} 请自行保管。", f"Hand over {out}; keep {secret} to yourself."
        ),
    )


@app.command("assert")
def assert_identity(
    ctx: typer.Context,
    request_file: RequestFile,
    evidence: Annotated[
        Path | None, typer.Option(help="What is kept of it; only its hash is recorded. 核验凭据。")
    ] = None,
    use: Annotated[AssertionUse, typer.Option("--for", help="What for. 用途。")] = AssertionUse.ENROLL,
    method: Annotated[
        AssertionMethod, typer.Option(help="How you identified the person. 核验方式。")
    ] = AssertionMethod.CLERK,
    unreachable: Annotated[
        bool, typer.Option("--unreachable", help="No channel on which notices arrive. 无通知渠道。")
    ] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it. 写入位置。")] = Path(
        "assertion.json"
    ),
) -> None:
    """A registrar's officer: say that the owner of a key is the person of a number. 签发身份断言。"""
    found = settings(ctx)
    handed_over = read_request(request_file)
    content = b"" if evidence is None else read_file(evidence, "evidence")
    with found.client(signed=True) as client:
        digest = load_suite(client.network().suite).digest(content) if content else NO_EVIDENCE
        signed = client.assert_identity(
            identity_number(found),
            handed_over,
            use=use,
            method=method,
            reachable=not unreachable,
            evidence=digest,
        )
    write_output(out, msgspec.json.encode(to_plain(signed)))
    found.emit(
        {"assertion": str(out)},
        found.say(
            f"{out} 已签发，一小时内有效，由另一名经办人提交。",
            f"{out} counts for an hour; another officer brings it.",
        ),
    )


@app.command("enroll")
def enroll(ctx: typer.Context, request_file: RequestFile, assertion: AssertionFile) -> None:
    """Another officer: open the account on the word of the assertion. 为个人开户。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        account = client.enroll(read_request(request_file).key(), read_assertion(assertion))
    found.emit({"account": account}, found.say(f"已开户：{account}", f"Enrolled: {account}"))


@app.command("own")
def own(ctx: typer.Context, secret: SecretFile) -> None:
    """The person: does your own number lead to your account? Exit 1 if not. 查询本人账户。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        account = client.own_account(identity_number(found), read_secret(secret))
    found.emit(
        {"account": account}, account or found.say("未指向您的账户。", "It does not lead to your account.")
    )
    if account is None:
        raise typer.Exit(EXIT_NEGATIVE)


@app.command("add-key")
def add_key(
    ctx: typer.Context,
    public: Annotated[Path, typer.Option(help="Output of `keys show --json`. 公钥文件。")],
) -> None:
    """Another device's key for the own account. 添加密钥。"""
    found = settings(ctx)
    _, key = public_key(public, KeyRole.HOLDER)
    with found.client(signed=True) as client:
        client.add_person_key(key)
    found.emit({"label": key.label}, found.say("已添加。", "Added."))


@app.command("revoke-key")
def revoke_key(ctx: typer.Context, key_id: Annotated[str, typer.Argument(help="Key id. 密钥编号。")]) -> None:
    """A lost device: its key is worth nothing any more. 吊销密钥。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.revoke_person_key(hex_id(key_id, "key id"))
    found.emit({"key_id": key_id}, found.say("已吊销。", "Revoked."))


@app.command("reachable")
def reachable(
    ctx: typer.Context,
    arrives: Annotated[bool, typer.Option("--yes/--no", help="Whether notices arrive. 能否收到通知。")],
) -> None:
    """Without a channel for notices, a recovery takes two identifications in person. 设置通知可达。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.set_reachable(arrives)
    found.emit({"reachable": arrives}, found.say("已记录。", "Recorded."))


@app.command("retag")
def retag(ctx: typer.Context, assertion: AssertionFile) -> None:
    """The person: take your tags under a new directory key, on an officer's word. 更新索引标签。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.retag(read_assertion(assertion))
    found.emit({"assertion": str(assertion)}, found.say("已更新。", "Done."))


@app.command("recover")
def recover(ctx: typer.Context, request_file: RequestFile, assertion: AssertionFile) -> None:
    """A registrar's officer: open a recovery for a person who has lost every key. 发起账户找回。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        account = client.recover(read_request(request_file).key(), read_assertion(assertion))
    found.emit(
        {"account": account},
        found.say(
            f"账户 {account} 的找回已发起，须由另一机构在 72 小时内确认。",
            f"Recovery of {account} opened; an officer of another organisation confirms it within 72 hours.",
        ),
    )


@app.command("confirm")
def confirm(ctx: typer.Context, account: Account, assertion: AssertionFile) -> None:
    """Another organisation's officer: confirm a recovery; 72 hours begin. 确认账户找回。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.confirm_recovery(hex_id(account, "account"), read_assertion(assertion))
    found.emit(
        {"account": account},
        found.say("已确认，72 小时内无异议则生效。", "Confirmed; it takes effect in 72 hours unless vetoed."),
    )


@app.command("veto")
def veto(ctx: typer.Context) -> None:
    """The person, with any key: end a recovery that was not you. 否决账户找回。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.veto_recovery()
    found.emit({"vetoed": True}, found.say("已否决。", "Vetoed."))


@app.command("recovery")
def recovery(ctx: typer.Context, account: Account) -> None:
    """How an account's latest recovery stands. 找回进展。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        found.emit(client.recovery(hex_id(account, "account")))
