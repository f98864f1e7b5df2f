"""`zhenglian question`, `count`, `form`, `present`: what is learned of data without the data, forms filled in, single
fields handed on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from contracts.form_records import FormEntry
from contracts.question_records import Question
from contracts.vocabulary import Code
from ledger.decoders import convert
from ledger.errors import DecodeError
from ledger.receipts import RECEIPT_FILE_SIZE_BYTES_MAX
from node.commands.context import (
    Settings,
    hex_id,
    moment_ms,
    now_ms,
    read_file,
    read_json,
    settings,
    write_output,
)
from zhenglian import Client, presentations
from zhenglian.api_questions import FilledFrom
from zhenglian.catalogue_rules import classification_rules
from zhenglian.disclosures import DISCLOSURE_FILE_SIZE_BYTES_MAX, part_names

questions = typer.Typer(
    no_args_is_help=True, help="Questions answered with yes or no. 提问：只答是否，不给数据。"
)
counts = typer.Typer(no_args_is_help=True, help="Counts of groups, rounded. 统计：只给舍入后的群体数量。")
forms = typer.Typer(no_args_is_help=True, help="Forms that fill themselves in. 表单与免填写。")

Asked = Annotated[
    list[str],
    typer.Option("--ask", help="TYPE.QUESTION:PARAMETER, repeat; 如 resident_identity_card.older_than:18"),
]
Node = Annotated[str, typer.Option("--by", help="Operator whose node does it. 由哪个运营方的节点办理。")]
CountId = Annotated[str, typer.Argument(metavar="ID", help="Count id, hex. 统计编号。")]
FormCode = Annotated[str, typer.Argument(metavar="CODE", help="Code of the form. 表单代码。")]


class FormFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `form register` reads."""

    code: Code
    name_zh: str
    name_en: str = ""
    purpose: Code
    entries: list[FormEntryFile]


class FormEntryFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One line of it."""

    name: str
    label_zh: str
    term: str
    label_en: str = ""
    required: bool = True


# --- questions ----------------------------------------------------------------------------------------------


@questions.command("list")
def list_questions(
    ctx: typer.Context, certificate_type: Annotated[str, typer.Argument(help="Type code. 类型代码。")]
) -> None:
    """What may be asked and counted about a type. 一种证照可以怎样提问与统计。"""
    found = settings(ctx)
    with found.client() as client:
        view = client.type_questions(certificate_type)
    rows = [(one.name, one.kind, one.field, ", ".join(one.parameters) or "-") for one in view.questions]
    rows += [(one.name, f"count/{one.period}", one.field, ", ".join(one.cells)) for one in view.partitions]
    found.rows(
        view,
        (
            found.say("提问", "question"),
            found.say("种类", "kind"),
            found.say("字段", "field"),
            found.say("可用参数", "parameters"),
        ),
        rows,
    )


@questions.command("classes")
def classes(
    ctx: typer.Context,
    certificate_type: Annotated[
        str, typer.Argument(help="Type code; the rules themselves if left out. 类型代码；缺省为分类规则。")
    ] = "",
) -> None:
    """Class and level of a type's data, and what follows. 数据分类分级及其后果。"""
    found = settings(ctx)
    if not certificate_type:
        rules = classification_rules()
        columns = (found.say("依据", "why"), found.say("敏感", "sensitivity"), found.say("级", "grade"))
        found.rows(rules, columns, [(one.why_zh, one.sensitivity, one.grade) for one in rules])
        return
    with found.client() as client:
        view = client.type_questions(certificate_type)
    found.rows(
        view.classes,
        (
            found.say("字段", "part"),
            found.say("级别", "level"),
            found.say("敏感", "sensitivity"),
            found.say("单独同意", "separate"),
            found.say("可申请者", "askers"),
            found.say("脱敏", "mask"),
        ),
        [
            (
                one.name,
                f"{one.grade}/{one.level}",
                one.sensitivity,
                one.consent_separate,
                ", ".join(one.askers),
                one.mask or "-",
            )
            for one in view.classes
        ],
    )


@questions.command("ask")
def ask(
    ctx: typer.Context,
    person: Annotated[str, typer.Option(help="Account of the holder. 持证人账户。")],
    purpose: Annotated[str, typer.Option(help="Code of the purpose. 用途代码。")],
    asked: Asked,
    until: Annotated[str, typer.Option(help="End: 2027-01-31, or 30d. 截止时间。")] = "30d",
    uses: Annotated[int, typer.Option(help="How many answers. 应答次数。")] = 1,
    certificate: Annotated[str, typer.Option(help="Only about this one. 仅就此证照。")] = "",
) -> None:
    """Ask a holder for consent to questions, and to no data. 申请提问授权。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        grant = client.ask_questions(
            person=hex_id(person, "--person"),
            purpose=purpose,
            questions=[_question(client, text) for text in asked],
            uses_max=uses,
            consent_expiry_ms=moment_ms(until, "--until", now_ms=now_ms()),
            certificate=hex_id(certificate, "--certificate") if certificate else "",
        )
    found.emit({"grant_id": grant}, found.say(f"已申请：授权 {grant}", f"Requested: grant {grant}"))


@questions.command("answer")
def answer(
    ctx: typer.Context,
    grant: Annotated[str, typer.Argument(help="Grant id. 授权编号。")],
    certificate: Annotated[str, typer.Argument(help="Certificate id. 证照编号。")],
    asked: Annotated[str, typer.Argument(help="TYPE.QUESTION:PARAMETER")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the file. 存放文件夹。")] = Path(),
    by: Node = "",
) -> None:
    """Have a question answered: yes or no. 获取应答：是或否。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        got = client.answer(
            hex_id(grant, "grant id"),
            hex_id(certificate, "certificate id"),
            _question(client, asked),
            to,
            node=hex_id(by, "--by") if by else "",
        )
    yes = found.say("是", "yes") if got.answer.answer else found.say("否", "no")
    found.emit(
        {
            "answer": got.answer.answer,
            "as_of": got.answer.as_of,
            "release_id": got.retrieved.release.release_id,
            "file": str(got.retrieved.files[0]),
        },
        f"{asked} → {yes} ({got.answer.as_of.isoformat()})",
    )


def _question(client: Client, text: str) -> Question:
    """ "<type>.<name>:<parameter>" as its type declares it."""
    name, _, parameter = text.partition(":")
    kind, point, question = name.partition(".")
    if not point:
        raise DecodeError(what=f"question {text}", reason="TYPE.QUESTION:PARAMETER is expected")
    return client.question(kind, question, parameter)


# --- counts -------------------------------------------------------------------------------------------------


@counts.command("open")
def open_count(
    ctx: typer.Context,
    certificate_type: Annotated[str, typer.Argument(help="Type code. 类型代码。")],
    partition: Annotated[str, typer.Argument(help="Declared partition. 声明的分组。")],
    by: Node = "",
) -> None:
    """Begin this period's count. 发起本期统计。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        count = client.open_count(certificate_type, partition, node=hex_id(by, "--by") if by else "")
    found.emit({"count_id": count}, found.say(f"已发起统计 {count}", f"Count {count} is open."))


@counts.command("add")
def add(
    ctx: typer.Context,
    count: CountId,
    contribution: Annotated[
        list[str], typer.Argument(metavar="CERTIFICATE:GRANT…", help="Ids, hex. 证照编号:授权编号。")
    ],
) -> None:
    """Put certificates in, each by its grant to be counted. 计入证照。"""
    found = settings(ctx)
    pairs = [(one.partition(":")[0], one.partition(":")[2]) for one in contribution]
    checked = [(hex_id(one, "certificate id"), hex_id(grant, "grant id")) for one, grant in pairs]
    with found.client(signed=True) as client:
        added = client.contribute(hex_id(count, "count id"), checked)
    found.emit({"added": added}, found.say(f"已计入 {added} 份", f"{added} put in."))


@counts.command("request")
def request_count(ctx: typer.Context, count: CountId) -> None:
    """Have it counted; nothing more comes in. 提交统计。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.request_count(hex_id(count, "count id"))
        view = client.count(hex_id(count, "count id"))
    found.emit(view)


@counts.command("cancel")
def cancel(ctx: typer.Context, count: CountId) -> None:
    """Give up a count that is still collecting. 取消统计。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        client.cancel_count(hex_id(count, "count id"))
        view = client.count(hex_id(count, "count id"))
    found.emit(view)


@counts.command("show")
def show_count(ctx: typer.Context, count: CountId) -> None:
    """A count and what it told. 查看统计结果。"""
    found = settings(ctx)
    with found.client() as client:
        found.emit(client.count(hex_id(count, "count id")))


@counts.command("list")
def list_counts(ctx: typer.Context) -> None:
    """All counts, newest first. 列出统计。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.counts()
    found.rows(
        views,
        (
            "count_id",
            found.say("类型", "type"),
            found.say("分组", "partition"),
            found.say("期", "period"),
            found.say("状态", "state"),
        ),
        [(one.count_id, one.certificate_type, one.partition, one.period, one.state) for one in views],
    )


# --- forms --------------------------------------------------------------------------------------------------


@forms.command("register")
def register(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="JSON of the form. 表单 JSON。")]
) -> None:
    """Register a form, or its next version. 登记表单。"""
    found = settings(ctx)
    try:
        wanted = convert(read_json(file, "form"), FormFile)
        entries = [FormEntry(**msgspec.structs.asdict(entry)) for entry in wanted.entries]
    except msgspec.ValidationError as error:
        raise DecodeError(what=f"form {file}", reason=str(error)) from None
    with found.client(signed=True) as client:
        client.register_form(
            wanted.code,
            name_zh=wanted.name_zh,
            name_en=wanted.name_en,
            purpose=wanted.purpose,
            entries=entries,
        )
        view = client.form(wanted.code)
    found.emit(view)


@forms.command("list")
def list_forms(ctx: typer.Context) -> None:
    """All forms. 列出表单。"""
    found = settings(ctx)
    with found.client() as client:
        views = client.forms()
    columns = (
        "code",
        found.say("版本", "version"),
        found.say("名称", "name"),
        found.say("用途", "purpose"),
        found.say("登记部门", "owner"),
    )
    rows = [
        (
            one.code,
            one.version,
            found.say(one.name_zh, one.name_en or one.name_zh),
            one.purpose,
            one.owner_name,
        )
        for one in views
    ]
    found.rows(views, columns, rows)


@forms.command("show")
def show_form(ctx: typer.Context, code: FormCode) -> None:
    """One form. 查看表单。"""
    found = settings(ctx)
    with found.client() as client:
        found.emit(client.form(code))


@forms.command("fill")
def fill(
    ctx: typer.Context,
    code: FormCode,
    grant: Annotated[str, typer.Argument(help="Grant id. 授权编号。")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File for the filled form, with proofs. 写入文件（含证明）。"),
    ] = None,
    by: Node = "",
) -> None:
    """Fill a form in under a grant. The screen shows masked values; the file has them whole. 免填写：屏幕脱敏，文件完整。"""
    found = settings(ctx)
    with found.client(signed=True) as client:
        filled = client.prefill(
            code, hex_id(grant, "grant id"), node=hex_id(by, "--by") if by else "", display=out is None
        ).form
    if out is not None:
        write_output(out, msgspec.json.format(msgspec.json.encode(filled), indent=2))
        found.emit(
            {"form": str(out), "complete": filled.complete, "unfilled": filled.unfilled},
            _summary(found, filled.complete, filled.unfilled, out),
        )
        return
    rows = [
        (entry.name, entry.value if entry.value is not None else "", entry.reason, _from(entry.sources))
        for entry in filled.entries
    ]
    columns = (
        found.say("项", "line"),
        found.say("值（脱敏）", "value (masked)"),
        found.say("未填原因", "why not"),
        found.say("来源", "from"),
    )
    found.rows(filled, columns, rows)


def _from(sources: list[FilledFrom]) -> str:
    return ", ".join(f"{one.certificate_type_name} {one.issuer_name}" for one in sources)


def _summary(found: Settings, complete: bool, unfilled: list[str], out: Path) -> str:
    if complete and not unfilled:
        return found.say(f"{out}：全部填好。", f"{out}: every line is filled in.")
    names = ", ".join(unfilled)
    return found.say(
        f"{out}：未填 {names}，原因见文件。", f"{out}: {names} not filled in; the file says why."
    )


# --- handing on ---------------------------------------------------------------------------------------------


def present(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="Released JSON, or disclosure file. 下链所得 JSON 或披露文件。")
    ],
    part: Annotated[list[str], typer.Option("--part", help="Field to show; repeat. 出示的字段，可重复。")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write. 写入文件。")],
    receipt: Annotated[
        Path | None,
        typer.Option(
            help="State receipt of the certificate; fetched if left out. 证照状态回执，缺省时向节点获取。"
        ),
    ] = None,
) -> None:
    """Hand on single fields with proof and receipt, for `zhenglian verify`. 连同证明与回执转交单个字段。"""
    found = settings(ctx)
    whole = presentations.read_disclosure(
        read_file(file, "disclosure", size_bytes_max=DISCLOSURE_FILE_SIZE_BYTES_MAX)
    )
    if receipt is None:
        with found.client(signed=True) as client:
            text = client.certificate_proof(whole.certificate_id).encode()
    else:
        text = read_file(receipt, "receipt", size_bytes_max=RECEIPT_FILE_SIZE_BYTES_MAX)
    made = presentations.present(whole, part, text)
    write_output(out, presentations.to_json(made))
    names = part_names(made.disclosure)
    found.emit(
        {"presentation": str(out), "parts": names},
        found.say(
            f"{out} 只含：{'、'.join(names)}，可用 zhenglian verify 离线核验",
            f"{out} shows only {', '.join(names)}; zhenglian verify checks it offline.",
        ),
    )
